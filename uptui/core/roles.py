"""Roles: named sets of capabilities with their limits on forwards and files."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Capability(StrEnum):
    """One thing that a client may be allowed to do."""

    VIEW = "view"
    TYPE = "type"
    SHELL = "shell"
    EXEC = "exec"
    READ = "read"
    WRITE = "write"
    FORWARD_LOCAL = "forward-local"
    FORWARD_REMOTE = "forward-remote"
    AGENT = "agent"


@dataclass(frozen=True)
class Role:
    """What somebody may do, and where."""

    name: str
    capabilities: frozenset[Capability]
    forward_allow: tuple[str, ...] = ()
    """`host:port` patterns (fnmatch; port may be `*` or `a-b`); empty allows every destination."""
    forward_deny: tuple[str, ...] = ()
    """Patterns that win over forward_allow."""
    files_root: str | None = None
    """Directory that file access is confined to; None is the whole file system."""
    description: str = field(default="", compare=False)
    forward_only: tuple[str, ...] = ()
    """Patterns of which one must match as well: what an authorized_keys line permits its key."""

    def can(self, capability: Capability) -> bool:
        return capability in self.capabilities


def has_programs(role: Role) -> bool:
    """Whether it runs programs of its choice as the host's user, which nothing here confines."""
    return role.can(Capability.SHELL) or role.can(Capability.EXEC)


VIEWER: Final = Role(
    "viewer", frozenset({Capability.VIEW}), description="watches the shared terminal"
)
PAIR: Final = Role(
    "pair",
    frozenset({Capability.VIEW, Capability.TYPE}),
    description="types in the shared terminal",
)
DEVELOPER: Final = Role(
    "developer",
    frozenset(Capability),
    description="own shells, commands, files and forwards: what an IDE needs",
)
BUILT_IN: Final = {role.name: role for role in (VIEWER, PAIR, DEVELOPER)}
