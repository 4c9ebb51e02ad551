"""Reads config.toml, environment and flags into Settings that know where each value came from."""

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from uptui.config import values as v
from uptui.config.option import Option
from uptui.config.table import OPTIONS, SECTIONS, HostSettings, RelaySection, TuiSettings
from uptui.core.destinations import valid_pattern
from uptui.errors import ConfigError
from uptui.protocol import host_api
from uptui.protocol.host_api import SettingOrigin, SettingValue

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_ROLES: Final = 100
_TABLES: Final = ("host", "tui", "relay", "roles")
_ROLE_KEYS: Final = (
    "capabilities", "forward_allow", "forward_deny", "files_root", "description"
)  # fmt: skip
CAPABILITIES: Final = (
    "view", "type", "shell", "exec", "read", "write", "forward-local", "forward-remote", "agent"
)  # fmt: skip
"""What a role table may list; the same words as core.roles.Capability."""
_OTHER_VARIABLES: Final = frozenset({
    "UPTUI_STATE_DIR", "UPTUI_CONFIG_DIR", "UPTUI_RUNTIME_DIR", "UPTUI_NAME", "UPTUI_CONFIG",
    "UPTUI_RELAY_API", "UPTUI_RELAY_TOKEN", "UPTUI_TERMINAL", "UPTUI_PROGRAM",
})  # fmt: skip

_SERVICE_NAME: Final = re.compile(
    r"_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$"
)
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")


@dataclass(frozen=True)
class ValueOrigin:
    """Where a value came from."""

    kind: SettingOrigin
    where: str = ""


DEFAULT: Final = ValueOrigin("default")


@dataclass(frozen=True)
class RoleTable:
    """[roles.NAME]: a role of the user's own."""

    name: str
    capabilities: frozenset[str]
    forward_allow: tuple[str, ...] = ()
    forward_deny: tuple[str, ...] = ()
    files_root: str | None = None
    description: str = ""


@dataclass(frozen=True)
class Settings:
    """Everything that was configured; immutable, replaced as a whole by `changed`."""

    host: HostSettings = field(default_factory=HostSettings)
    tui: TuiSettings = field(default_factory=TuiSettings)
    relay: RelaySection = field(default_factory=RelaySection)
    roles: Mapping[str, RoleTable] = field(default_factory=dict[str, RoleTable])
    keys: Mapping[str, str] = field(default_factory=dict[str, str])
    """[tui.keys]: action id -> key."""
    origins: Mapping[str, ValueOrigin] = field(default_factory=dict[str, ValueOrigin])
    file: Path | None = None
    """The configuration file, when it exists."""

    def get(self, key: str) -> Any:
        """The value of "section.name". Raises KeyError for a key that does not exist."""
        option = OPTIONS[key]
        return getattr(getattr(self, option.section), option.name)

    def origin(self, key: str) -> ValueOrigin:
        return self.origins.get(key, DEFAULT)

    def where(self, key: str) -> str:
        """How an error names this setting: its flag, its variable, or its file and key."""
        origin = self.origin(key)
        return f"{origin.where}: {key}" if origin.kind == "file" else origin.where or key

    def changed(self, key: str, value: object, origin: ValueOrigin) -> "Settings":
        """The same with one other value. Raises ConfigError when it does not fit."""
        option = find(key, key)
        return _with(self, {option.key: (_parsed(option, value, option.key), origin)})

    def rows(self) -> list[host_api.Setting]:
        """Every setting for people; secrets are left out."""
        return [
            host_api.Setting(
                key=key,
                value=None if option.secret else plain(self.get(key)),
                origin=self.origin(key).kind,
                where=self.origin(key).where,
                help=option.help,
                live=option.live,
                is_span=option.is_span,
            )
            for key, option in OPTIONS.items()
        ]


def plain(value: object) -> SettingValue:
    """A value as JSON can carry it."""
    if isinstance(value, v.Address | v.PortRange):
        return str(value)
    if isinstance(value, tuple):
        return [str(item) for item in cast("tuple[object, ...]", value)]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def _suggestion(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def find(key: str, where: str) -> Option:
    """The option called `key`; "relay" alone means "host.relay". Raises ConfigError."""
    option = OPTIONS.get(key) or OPTIONS.get(f"host.{key}")
    if option is None:
        raise ConfigError(where, f"there is no setting {key!r}{_suggestion(key, OPTIONS)}")
    return option


def _parsed(option: Option, value: object, where: str) -> object:
    try:
        return option.parse(value)
    except v.DiscreetError as error:
        raise ConfigError(where, str(error)) from None
    except ValueError as error:
        problem = "this value cannot be used (it is secret and not shown)"
        raise ConfigError(where, problem if option.secret else str(error)) from None


Found = dict[str, tuple[object, ValueOrigin]]


def _with(settings: Settings, found: Found) -> Settings:
    parts: dict[str, Any] = {}
    for section in SECTIONS:
        changes: dict[str, Any] = {
            OPTIONS[key].name: value
            for key, (value, _) in found.items()
            if OPTIONS[key].section == section
        }
        parts[section] = dataclasses.replace(getattr(settings, section), **changes)
    origins = {**settings.origins, **{key: origin for key, (_, origin) in found.items()}}
    return dataclasses.replace(settings, **parts, origins=origins)


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(str(path), f"larger than {MAX_FILE_BYTES} bytes")
    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"not valid TOML: {error}") from error


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(where, "expected a table")
    return cast("dict[str, Any]", value)


def _from_section(section: str, table: dict[str, Any], path: Path) -> Found:
    found: Found = {}
    names = [option.name for option in OPTIONS.values() if option.section == section]
    for name, value in table.items():
        where = f"{path}: {section}.{name}"
        if name not in names:
            raise ConfigError(where, f"there is no such key{_suggestion(name, names)}")
        option = OPTIONS[f"{section}.{name}"]
        found[option.key] = (_parsed(option, value, where), ValueOrigin("file", str(path)))
    return found


def _role(name: str, value: object, where: str) -> RoleTable:
    table = _table(value, where)
    for key in table:
        if key not in _ROLE_KEYS:
            raise ConfigError(
                f"{where}.{key}", f"there is no such key{_suggestion(key, _ROLE_KEYS)}"
            )
    if "capabilities" not in table:
        raise ConfigError(where, f"capabilities is missing: a list of {', '.join(CAPABILITIES)}")

    def checked(key: str, check: v.Parser[v.T], default: object) -> v.T:
        try:
            return check(table.get(key, default))
        except ValueError as error:
            raise ConfigError(f"{where}.{key}", str(error)) from error

    capabilities = checked("capabilities", v.many(v.choice(*CAPABILITIES)), None)
    root = checked("files_root", v.optional(v.absolute_path), None)
    allow = checked("forward_allow", v.many(v.one_line), [])
    deny = checked("forward_deny", v.many(v.one_line), [])
    description = checked("description", v.one_line, "")
    for key, patterns in (("forward_allow", allow), ("forward_deny", deny)):
        for pattern in patterns:
            if not valid_pattern(pattern):
                problem = f"{pattern!r} is no host:port pattern, such as 'db.local:5432' or '*:80'"
                raise ConfigError(f"{where}.{key}", problem)
    return RoleTable(name, frozenset(capabilities), allow, deny, root, description)


def _roles(table: dict[str, Any], path: Path) -> dict[str, RoleTable]:
    if len(table) > MAX_ROLES:
        raise ConfigError(f"{path}: roles", f"more than {MAX_ROLES} roles")
    return {name: _role(name, value, f"{path}: roles.{name}") for name, value in table.items()}


def _keys(table: dict[str, Any], path: Path) -> dict[str, str]:
    for action, key in table.items():
        if not isinstance(key, str):
            raise ConfigError(f"{path}: tui.keys.{action}", f"expected a key name, not {key!r}")
    return cast("dict[str, str]", table)


def _from_file(path: Path) -> Settings:
    document = _read(path)
    for name in document:
        if name not in _TABLES:
            raise ConfigError(
                f"{path}: {name}", f"there is no such table{_suggestion(name, _TABLES)}"
            )
    tables = {name: dict(_table(document.get(name, {}), f"{path}: {name}")) for name in _TABLES}
    keys = _keys(_table(tables["tui"].pop("keys", {}), f"{path}: tui.keys"), path)
    found: Found = {}
    for section in SECTIONS:
        found |= _from_section(section, tables[section], path)
    roles = _roles(tables["roles"], path)
    return _with(Settings(roles=roles, keys=keys, file=path), found)


def _from_environment(environment: Mapping[str, str]) -> Found:
    found: Found = {}
    for option in OPTIONS.values():
        written = environment.get(option.variable)
        if written is not None and written != "":
            value = _parsed(option, written, option.variable)
            found[option.key] = (value, ValueOrigin("env", option.variable))
    return found


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """One warning for each UPTUI_ variable that no setting has.

    Kubernetes sets some by itself, for Services whose names begin so: nobody has mistyped those.
    """
    known = {option.variable for option in OPTIONS.values()} | _OTHER_VARIABLES
    return [
        f"{name}: there is no such setting{_suggestion(name, known)}"
        for name in sorted(environment)
        if name.startswith("UPTUI_")
        and name not in known
        and not name.startswith("UPTUI_TEST_")
        and not _of_kubernetes(name, environment[name])
    ]


def _of_kubernetes(name: str, value: str) -> bool:
    """Whether this is how Kubernetes tells of a Service (the old way of container links)."""
    return _SERVICE_NAME.search(name) is not None or (
        name.endswith("_PORT") and _SERVICE_ADDRESS.match(value) is not None
    )


def load(
    path: Path,
    environment: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    *,
    required: bool = False,
) -> Settings:
    """Read everything; later sources win: file, environment, flags (by key).

    `required` makes a missing file an error. Raises ConfigError naming file, variable or flag.
    """
    settings = _from_file(path) if required or path.exists() else Settings()
    found = _from_environment(environment)
    for key, value in (flags or {}).items():
        option = find(key, key)
        parsed = _parsed(option, value, option.flag_name)
        found[option.key] = (parsed, ValueOrigin("flag", option.flag_name))
    return _checked(_with(settings, found))


def _checked(settings: Settings) -> Settings:
    """Refuse what contradicts itself."""
    roles = {"viewer", "pair", "developer", *settings.roles}
    for name in settings.roles:
        if name in {"viewer", "pair", "developer"}:
            raise ConfigError(f"{settings.file}: roles.{name}", "this role is built in")
    if settings.host.default_role not in roles:
        problem = f"there is no role {settings.host.default_role!r}"
        problem += _suggestion(settings.host.default_role, roles)
        raise ConfigError(settings.where("host.default_role"), problem)
    if (settings.relay.tls_cert is None) != (settings.relay.tls_key is None):
        raise ConfigError("relay.tls_cert, relay.tls_key", "either both are given or none")
    return settings
