"""What every command starts from: the instance, its settings, and a client of its daemon."""

import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from uptui.client import HostClient
from uptui.config import OPTIONS, Option, Settings, load
from uptui.errors import ConfigError
from uptui.paths import DEFAULT_NAME, Places, places

T = TypeVar("T")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


@dataclass
class Context:
    """Of one command line."""

    places: Places
    config: Path
    config_required: bool
    flags: dict[str, object] = field(default_factory=dict[str, object])

    def settings(self, further: Mapping[str, object] | None = None) -> Settings:
        """Everything configured. Raises ConfigError."""
        flags = {**self.flags, **(further or {})}
        return load(self.config, os.environ, flags, required=self.config_required)

    def call(self, act: Callable[[HostClient], Awaitable[T]]) -> T:
        """Run calls on the daemon. Raises NotRunningError, ApiError."""

        async def calling() -> T:
            async with HostClient(self.places.api_socket) as client:
                return await act(client)

        return asyncio.run(calling())

    def act(self, act: Callable[[HostClient], Awaitable[T]]) -> T:
        """Change something, and say so on stderr when it could not be saved.

        Raises NotRunningError, ApiError.
        """

        async def acting(client: HostClient) -> tuple[T, str]:
            return await act(client), (await client.snapshot()).share.unsaved

        done, unsaved = self.call(acting)
        if unsaved:
            print(f"uptui: done, but forgotten when the daemon ends: {unsaved}", file=sys.stderr)
        return done


def context_for(name: str | None, config: str | None) -> Context:
    """The instance that `--name` or UPTUI_NAME chooses. Raises ConfigError."""
    chosen = name or os.environ.get("UPTUI_NAME") or DEFAULT_NAME
    if _NAME.fullmatch(chosen) is None:
        where = "--name" if name else "UPTUI_NAME"
        raise ConfigError(where, "a name has 1 to 40 letters, digits, '-', '_' and '.'")
    found = places(chosen)
    file = config or os.environ.get("UPTUI_CONFIG")
    path = Path(file).expanduser().absolute() if file else found.config_file
    return Context(found, path, config_required=file is not None)


def setting_flags(*sections: str) -> Callable[[Decorated], Decorated]:
    """Add a click option for each setting of these sections that has a flag."""
    chosen = [key for key, option in OPTIONS.items() if option.section in sections and option.flag]
    return some_flags(*chosen)


def some_flags(*keys: str) -> Callable[[Decorated], Decorated]:
    """Add a click option for each of these settings."""
    chosen = [OPTIONS[key] for key in keys]

    def decorate(command: Decorated) -> Decorated:
        for option in reversed(chosen):
            command = _flag(option)(command)
        return command

    return decorate


def _flag(option: Option) -> Callable[[Decorated], Decorated]:
    text = f"{option.help} [{option.variable}]"
    parameter = option.key.replace(".", "__")
    if option.is_switch:
        names = f"{option.flag_name}/--no-{option.flag_name.removeprefix('--')}"
        return click.option(names, parameter, default=None, help=text)
    return click.option(
        option.flag_name,
        parameter,
        multiple=option.multiple,
        default=None,
        metavar=option.metavar,
        help=text,
    )


def flags_given(parameters: Mapping[str, Any]) -> dict[str, object]:
    """The settings among click's parameters that were really given, by key."""
    return {
        name.replace("__", ".", 1): list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType]
        for name, value in parameters.items()
        if "__" in name and value is not None and value != ()
    }
