"""PuTTY's command line tools, with the settings of a saved session as its users keep them."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from tests.network.ssh.conftest import Ran, Served, Server, run
from uptui.host.sshd.client_services import GuestServices

MIB = 1024 * 1024
SIZE = 12 * MIB + 17
REKEYS = 3
"""At least; what is under way when a change begins still goes with the old keys."""
STARTED = b"Initiating key re-exchange (too much data "


@dataclass(frozen=True)
class Putty:
    """A user with a key and a session called `box` that changes keys after each MiB."""

    home: Path
    served: Served

    async def run(self, *command: str, stdin: bytes = b"") -> Ran:
        tool, *rest = command
        return await run([tool, "-batch", *rest], stdin, HOME=str(self.home))


@pytest.fixture
async def putty(server: Server, tmp_path: Path) -> Putty:
    served = await server.serve(services=GuestServices)
    ppk = tmp_path / "id.ppk"
    assert (await run(["puttygen", str(served.key), "-o", str(ppk), "-O", "private"])).status == 0
    scanned = (
        await run(["ssh-keyscan", "-t", "ed25519", "-p", str(served.port), "127.0.0.1"])
    ).out.split()
    host_key = asyncssh.import_public_key(b" ".join(scanned[1:3])).get_fingerprint()
    sessions = tmp_path / ".putty" / "sessions"
    sessions.mkdir(parents=True)
    saved = {
        "HostName": "127.0.0.1", "Protocol": "ssh", "PortNumber": served.port, "UserName": "me",
        "PublicKeyFile": ppk, "SSHManualHostKeys": f"{host_key}=", "RekeyBytes": "1M",
    }  # fmt: skip
    (sessions / "box").write_text("".join(f"{name}={value}\n" for name, value in saved.items()))
    return Putty(tmp_path, served)


async def test_plink(putty: Putty) -> None:
    data = os.urandom(MIB)
    result = await putty.run("plink", "-load", "box", "cat; echo err >&2; exit 4", stdin=data)
    assert (result.status, result.out, result.err) == (4, data, b"err\n")


async def test_keys_change_while_plink_sends_and_receives(putty: Putty) -> None:
    data = os.urandom(SIZE)
    result = await putty.run("plink", "-v", "-load", "box", "cat; exit 4", stdin=data)
    assert result.status == 4
    assert hashlib.sha256(result.out).digest() == hashlib.sha256(data).digest()
    assert result.err.count(STARTED) >= REKEYS


async def test_keys_change_each_hour(putty: Putty) -> None:
    """An hour of plink's clock lasts two seconds; PuTTY changes keys hourly by itself."""
    plink = ["faketime", "-f", "+0 x1800", "plink", "-batch", "-v", "-load", "box"]
    numbers = "for n in 1 2 3 4 5 6 7 8 9; do echo $n; sleep 0.5; done; exit 4"
    result = await run([*plink, numbers], HOME=str(putty.home))
    assert (result.status, result.out.split()) == (4, [b"%d" % n for n in range(1, 10)])
    assert result.err.count(b"Initiating key re-exchange (timeout)") >= 2


async def test_keys_change_while_pscp_copies_both_ways(putty: Putty) -> None:
    data = os.urandom(SIZE)
    up, there, down = (putty.home / name for name in ("up", "there", "down"))
    up.write_bytes(data)
    for source, target in ((str(up), f"box:{there}"), (f"box:{there}", str(down))):
        result = await putty.run("pscp", "-v", source, target)
        assert result.status == 0, result
        assert (result.out + result.err).count(STARTED) >= REKEYS
    assert there.read_bytes() == down.read_bytes() == data
