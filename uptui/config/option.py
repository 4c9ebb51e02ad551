"""What is known of one setting, and how it is declared as the field of a dataclass."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from uptui.config import values as v

T = TypeVar("T")
Section = Literal["host", "tui", "relay"]
_OPTION: Final = "uptui"


@dataclass(frozen=True)
class Option:
    """What is known of one setting."""

    section: Section
    name: str
    default: Any
    help: str
    parse: v.Parser[Any]
    secret: bool
    live: bool
    flag: bool
    multiple: bool
    metavar: str

    @property
    def key(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        prefix = "" if self.section == "host" else f"{self.section}_"
        return f"UPTUI_{prefix}{self.name}".upper()

    @property
    def flag_name(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def is_switch(self) -> bool:
        return self.parse is v.boolean

    @property
    def is_span(self) -> bool:
        return self.parse in {v.duration, v.wait, v.off_duration}


@dataclass(frozen=True)
class _Spec:
    help: str
    parse: v.Parser[Any]
    secret: bool
    live: bool
    flag: bool
    metavar: str


def setting(
    default: T,
    parse: v.Parser[T],
    text: str,
    *,
    secret: bool = False,
    live: bool = False,
    flag: bool = True,
    metavar: str = "TEXT",
) -> T:
    spec = _Spec(text, parse, secret, live, flag, metavar)
    return dataclasses.field(default=default, metadata={_OPTION: spec})


def options_of(section: Section, kind: type[Any]) -> Iterator[Option]:
    """The settings that `kind` declares, in order."""
    for field in dataclasses.fields(kind):
        spec: _Spec = field.metadata[_OPTION]
        default: object = field.default
        yield Option(
            section=section,
            name=field.name,
            default=default,
            multiple=type(default) is tuple,
            **vars(spec),
        )
