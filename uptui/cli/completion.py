"""`uptui completion`: the script that teaches a shell our commands and flags."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script: eval "$(uptui completion bash)"."""
    from uptui.cli.root import root

    kind = get_completion_class(shell)
    assert kind is not None
    print(kind(root, {}, "uptui", "_UPTUI_COMPLETE").source())
