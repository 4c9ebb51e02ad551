"""`python -m benchmarks [--rounds N] [--megabytes N] [--only WORD ...] [--keep]`."""

import argparse
import platform
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import forwards, latency, sessions, shared_terminal, storms, transfer
from benchmarks.measure import HEADER, STEAL, Row
from benchmarks.rig import Rig, rig

NOTES = """\
The clients of the small files ask and wait for each answer, four or more times a file, so theirs is
the row of the SFTP request. On loopback most of that time is the kernel's waking up of one process
after the other, of which the relay needs twice as many as sshd; host and relay poll for so short
waits (`uptui/runtime/busy_poll.py`). Over a network whose round trip is longer neither shows. So
these rows differ most from machine to machine: where waking up is dear we are ahead of sshd, where
it is cheap and the processor slow, Python's own time shows. Measure with an optimised build of
Python, as Debian's is; one that pyenv has compiled takes a tenth longer for each answer.

On a virtual machine two runs of one day differ by a tenth, in the rows of bulk by more: clients,
relay and server share two processors and their caches with other guests. The rows that are closest
to what is wanted fall on either side of it: exec upload and sftp get with AES-GCM.
"""

TABLE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def _parts(rounds: int, megabytes: int) -> dict[str, Callable[[Rig], Iterator[Row]]]:
    def echo(at: Rig) -> Iterator[Row]:
        return latency.echo(at, rounds, transfer.random_file(at.folder / "echo-bulk", megabytes))

    return {
        "latency": lambda at: latency.connecting(at, rounds),
        "echo": echo,
        "bulk": lambda at: transfer.bulk(at, rounds, megabytes),
        "small": lambda at: transfer.small_files(at, rounds),
        "forwards": lambda at: forwards.bulk(at, rounds, megabytes),
        "http": lambda at: forwards.requests(at, rounds),
        "sessions": sessions.idle,
        "storms": storms.storms,
        "shared": shared_terminal.shared,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of each measure")
    parser.add_argument("--megabytes", type=int, default=500, help="size of a bulk transfer")
    parser.add_argument("--only", nargs="*", help="names of the parts to run")
    parser.add_argument("--keep", action="store_true", help=f"write the table to docs/{TABLE.name}")
    options = parser.parse_args()
    parts = _parts(options.rounds, options.megabytes)
    lines = [HEADER]
    print(HEADER, flush=True)
    for name, part in parts.items():
        if options.only and name not in options.only:
            continue
        with rig() as at:
            for row in part(at):
                print(row.markdown(), flush=True)
                lines.append(row.markdown())
    print(f"\n{STEAL.sentence()}")
    if options.keep:
        command = (
            f"python -m benchmarks --rounds {options.rounds} --megabytes {options.megabytes} --keep"
        )
        python = platform.python_version()
        about = f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {python}"
        TABLE.write_text(
            "# Benchmarks\n\nA real OpenSSH client; a real sshd reached directly against our host "
            "reached through our\nrelay's direct port, both on loopback, in turns. Medians.\n\n"
            f"Made by `{command}` on {about}.\n{STEAL.sentence()}\n\n"
            + "\n".join(lines)
            + f"\n\n{NOTES}"
        )


if __name__ == "__main__":
    main()
