"""Where uptui keeps things; computes paths and never creates anything.

`UPTUI_STATE_DIR`, `UPTUI_CONFIG_DIR` and `UPTUI_RUNTIME_DIR` move each place; otherwise
platformdirs decides. A Unix socket path is limited to about 100 bytes by the kernel, so the
runtime directory falls back to one below /tmp when the usual one would be too long.
"""

import hashlib
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import platformdirs

MAX_SOCKET_PATH = 100
"""Longest Unix socket path that every supported system accepts, in bytes."""

DEFAULT_NAME = "default"


@dataclass(frozen=True)
class Places:
    """Every path of one named instance."""

    name: str
    config_file: Path
    state_dir: Path
    runtime_dir: Path
    private: tuple[Path, ...] = ()
    """Directories and files that are ours alone; where no variable moves them, those of every
    instance and of a relay."""

    @property
    def api_socket(self) -> Path:
        return self.runtime_dir / "api.sock"

    @property
    def lock_file(self) -> Path:
        return self.state_dir / "daemon.lock"

    @property
    def identity_file(self) -> Path:
        return self.state_dir / "identity"

    @property
    def event_log(self) -> Path:
        return self.state_dir / "events.jsonl"

    @property
    def daemon_log(self) -> Path:
        return self.state_dir / "daemon.log"

    @property
    def recordings(self) -> Path:
        return self.state_dir / "recordings"

    @property
    def known_relays(self) -> Path:
        return self.state_dir / "known_relays"

    @property
    def embedded_relay(self) -> Path:
        return self.state_dir / "relay"


def _override(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).expanduser().absolute() if value else None


def _runtime_base(state: Path) -> Path:
    base = _override("UPTUI_RUNTIME_DIR")
    if base is not None:
        return base
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs tells of its fallback; ours is used below
        usual = Path(platformdirs.user_runtime_dir("uptui"))
    if usual.parent.is_dir() and os.access(usual.parent, os.W_OK):
        return usual
    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"uptui-{os.getuid()}-{digest}"


def config_file() -> Path:
    """The configuration file that is read when none is named."""
    base = _override("UPTUI_CONFIG_DIR") or Path(platformdirs.user_config_dir("uptui"))
    return base / "config.toml"


def relay_state_dir() -> Path:
    """Where `uptui relay` keeps its state unless told otherwise."""
    return Path(platformdirs.user_state_dir("uptui")) / "relay"


def places(name: str = DEFAULT_NAME) -> Places:
    """The paths of the instance called `name`."""
    state = _override("UPTUI_STATE_DIR") or Path(platformdirs.user_state_dir("uptui"))
    base = _runtime_base(state)
    runtime = base / name
    if len(os.fsencode(runtime / "api.sock")) > MAX_SOCKET_PATH:
        digest = hashlib.sha256(os.fsencode(runtime)).hexdigest()[:16]
        runtime = Path(tempfile.gettempdir()) / f"uptui-{os.getuid()}-{digest}"
    private = {
        state / name if _override("UPTUI_STATE_DIR") else state,
        runtime if _override("UPTUI_RUNTIME_DIR") else base,
        runtime,
        config_file() if _override("UPTUI_CONFIG_DIR") else config_file().parent,
        relay_state_dir().parent,
    }
    return Places(name, config_file(), state / name, runtime, tuple(sorted(private)))
