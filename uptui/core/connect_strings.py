"""Turns the ways in into what people paste: commands, editor links and configuration blocks.

Formats of links: VS Code and its relatives `SCHEME://vscode-remote/ssh-remote+USER@HOST:PORT/PATH`
(an IPv6 host only fits their hex-coded JSON authority); JetBrains `jetbrains-gateway://connect#...`
with `type=ssh`; Zed `zed://ssh/USER@HOST:PORT/PATH` and `zed ssh://...`.
"""

import json
import shlex
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from uptui.protocol.host_api import JumpWay, PlainWay, PortWay, Strings, Ways

FORMATS: Final = (
    "ssh", "ssh-port", "ssh-jump", "ssh-plain", "scp", "sftp", "rsync", "git", "sshfs",
    "vscode", "vscode-cli", "cursor", "vscodium", "windsurf", "jetbrains", "zed", "zed-cli",
    "ssh_config", "known_hosts",
)  # fmt: skip
"""Every format, primary first; one that the ways do not allow is absent."""
SSH_PORT: Final = 22


@dataclass(frozen=True)
class Target:
    """What the strings are about."""

    name: str
    """Route name that clients use."""
    nickname: str
    """`Host` of the ssh_config block: a word without wildcards."""
    directory: str
    """Directory that editors open."""
    host_keys: tuple[str, ...]
    """Each as an OpenSSH public key line, that of the identity first."""


def strings(target: Target, ways: Ways) -> Strings:
    """All strings for these ways in; none while there is no way."""
    found = {**_commands(target, ways), **_links(target, ways), **_files(target, ways)}
    ordered = {name: found[name] for name in FORMATS if name in found}
    return Strings(
        name=target.name,
        host_key=target.host_keys[0],
        host_keys=list(target.host_keys),
        ways=ways,
        strings=ordered,
    )


def bracketed(host: str) -> str:
    """A host as URLs, scp and ProxyJump want it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def _ssh(way: PortWay | PlainWay | JumpWay) -> str:
    if isinstance(way, JumpWay):
        return shlex.join(["ssh", "-J", _jump(way), _inner(way)])
    port = [] if way.port == SSH_PORT else ["-p", str(way.port)]
    return shlex.join(["ssh", *port, f"{way.user}@{way.host}"])


def _inner(way: JumpWay) -> str:
    return f"{way.login}@{way.target}" if way.login else way.target


def _jump(way: JumpWay) -> str:
    port = "" if way.port == SSH_PORT else f":{way.port}"
    return f"{way.user}@{bracketed(way.host)}{port}"


def _commands(target: Target, ways: Ways) -> dict[str, str]:
    found: dict[str, str] = {}
    if ways.port is not None:
        found["ssh-port"] = _ssh(ways.port)
    if ways.jump is not None:
        found["ssh-jump"] = _ssh(ways.jump)
    if ways.plain is not None:
        found["ssh-plain"] = _ssh(ways.plain)
    best = ways.port or ways.jump or ways.plain
    if best is None:
        return found
    found["ssh"] = _ssh(best)
    if isinstance(best, JumpWay):
        found |= _copies_by_jump(target, best)
    else:
        found |= _copies(target, best)
    return found


def _copies(target: Target, way: PortWay | PlainWay) -> dict[str, str]:
    default = way.port == SSH_PORT
    upper = [] if default else ["-P", str(way.port)]
    at = f"{way.user}@{bracketed(way.host)}"
    ssh = "ssh" if default else f"ssh -p {way.port}"
    url = f"ssh://{at}:{way.port}{quote(target.directory)}"
    port = [] if default else ["-p", str(way.port)]
    return {
        "scp": shlex.join(["scp", *upper, "FILE", f"{at}:"]),
        "sftp": shlex.join(["sftp", *upper, at if ":" in way.host else f"{way.user}@{way.host}"]),
        "rsync": shlex.join(["rsync", "-a", "-e", ssh, "FILES", f"{at}:"]),
        "git": shlex.join(["git", "clone", url]),
        "sshfs": shlex.join(["sshfs", *port, f"{at}:{target.directory}", "MOUNTPOINT"]),
    }


def _copies_by_jump(target: Target, way: JumpWay) -> dict[str, str]:
    jump = ["-J", _jump(way)]
    ssh = shlex.join(["ssh", *jump])
    return {
        "scp": shlex.join(["scp", *jump, "FILE", f"{_inner(way)}:"]),
        "sftp": shlex.join(["sftp", *jump, _inner(way)]),
        "rsync": shlex.join(["rsync", "-a", "-e", ssh, "FILES", f"{_inner(way)}:"]),
        "git": f"GIT_SSH_COMMAND={shlex.quote(ssh)} "
        + shlex.join(["git", "clone", f"ssh://{_inner(way)}{quote(target.directory)}"]),
        "sshfs": shlex.join(
            ["sshfs", "-o", f"ssh_command={ssh}", f"{_inner(way)}:{target.directory}", "MOUNTPOINT"]
        ),
    }


def _authority(way: PortWay | PlainWay) -> str:
    """What VS Code calls the host of a remote, after `ssh-remote+`."""
    if ":" not in way.host:
        return f"{way.user}@{way.host}:{way.port}"
    where = {"hostName": way.host, "user": way.user, "port": way.port}
    return json.dumps(where, separators=(",", ":")).encode().hex()


def _links(target: Target, ways: Ways) -> dict[str, str]:
    """Editors take a port, but no jump host: without a port, the name of the ssh_config block."""
    way = ways.port or ways.plain
    if way is None and ways.jump is None:
        return {}
    path = quote(target.directory)
    authority = _authority(way) if way else target.nickname
    remote = f"vscode-remote/ssh-remote+{authority}{path}"
    url = f"{way.user}@{bracketed(way.host)}:{way.port}" if way else target.nickname
    host, port, user = (way.host, way.port, way.user) if way else (target.nickname, None, None)
    gateway = {"type": "ssh", "deploy": "false", "host": host, "port": port, "user": user,
               "projectPath": target.directory}  # fmt: skip
    fields = (f"{key}={quote(str(value), safe='')}" for key, value in gateway.items() if value)
    return {
        "vscode": f"vscode://{remote}",
        "vscode-cli": shlex.join(["code", "--remote", f"ssh-remote+{authority}", target.directory]),
        "cursor": f"cursor://{remote}",
        "vscodium": f"vscodium://{remote}",
        "windsurf": f"windsurf://{remote}",
        "jetbrains": "jetbrains-gateway://connect#" + "&".join(fields),
        "zed": f"zed://ssh/{url}{path}",
        "zed-cli": shlex.join(["zed", f"ssh://{url}{path}"]),
    }


def _files(target: Target, ways: Ways) -> dict[str, str]:
    way = ways.port or ways.jump or ways.plain
    if way is None:
        return {}
    lines = [f"Host {target.nickname}"]
    if isinstance(way, JumpWay):
        lines += [f"HostName {way.target}", f"ProxyJump {_jump(way)}"]
        lines += [f"User {way.login}"] if way.login else []
        known = way.target
    else:
        lines += [f"HostName {way.host}", f"Port {way.port}", f"User {way.user}"]
        known = way.host if way.port == SSH_PORT else f"[{way.host}]:{way.port}"
    lines.append("ServerAliveInterval 15")
    return {
        "ssh_config": "\n    ".join(lines) + "\n",
        "known_hosts": "\n".join(f"{known} {key}" for key in target.host_keys),
    }
