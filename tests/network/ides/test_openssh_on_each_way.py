"""OpenSSH's client on every way in: what is exact on the direct port is so through the relay."""

import contextlib
import hashlib
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path

import asyncssh
import pytest

from tests.network.daemon.conftest import eventually
from tests.network.display import SHOWN, x_server
from tests.network.ides.conftest import Origin
from tests.network.ides.desk import WAYS, Desk, fetch, listening
from tests.ports import free_port

MIB = 1024 * 1024

pytestmark = pytest.mark.parametrize("way", WAYS)


def test_status_streams_and_quoting(desk: Desk, way: str) -> None:
    for status in (0, 1, 77, 254, 255):
        assert desk.run(*desk.ssh(way, f"exit {status}")).returncode == status
    done = desk.run(*desk.ssh(way, """printf '%s|' "a  b" '$HOME' \\"; echo err >&2; exit 3"""))
    assert (done.returncode, done.stdout, done.stderr) == (3, b'a  b|$HOME|"|', b"err\n")
    killed = desk.run(*desk.ssh(way, "kill -TERM $$"))
    assert killed.returncode == 255
    refused = desk.run(*desk.ssh("-s", way, "nonsense"))
    assert refused.returncode == 255
    assert b"subsystem request failed" in refused.stderr


def test_100_mib_there_and_back_with_a_rekey_each_mib(desk: Desk, way: str) -> None:
    data = os.urandom(100 * MIB)
    done = subprocess.run(
        desk.ssh("-v", "-o", "LogLevel=DEBUG1", "-o", "RekeyLimit=1M", way, "cat; exit 7"),
        input=data, capture_output=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr[-500:]
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    assert done.stderr.count(b"SSH2_MSG_KEXINIT received") > 50


def test_huge_output_then_exit_loses_nothing(desk: Desk, way: str) -> None:
    source = desk.folder / f"random-{way}"
    source.write_bytes(os.urandom(32 * MIB))
    expected = hashlib.sha256(source.read_bytes()).digest()
    for _ in range(5):
        done = desk.run(*desk.ssh(way, f"cat {source}; exit 5"))
        assert done.returncode == 5
        assert hashlib.sha256(done.stdout).digest() == expected


def test_a_command_closes_its_stdin_early(desk: Desk, way: str) -> None:
    done = desk.run(*desk.ssh(way, "head -c 10; exit 6"), stdin=b"x" * 3 * MIB)
    assert (done.returncode, done.stdout) == (6, b"x" * 10)


def test_ends_of_pipes_reach_the_other_end(desk: Desk, way: str) -> None:
    ssh = shlex.join(desk.ssh(way, "cat /dev/zero; exit $(($? - 100))"))
    done = desk.run("bash", "-o", "pipefail", "-c", f"{ssh} | head -c 9")
    assert (done.returncode, done.stdout) == (128 + signal.SIGPIPE - 100, bytes(9))
    ssh = desk.ssh("-v", "-o", "LogLevel=DEBUG1", way, "exec <&-; sleep 0.5; exit 6")
    done = desk.run(*ssh, stdin=bytes(MIB))
    assert done.returncode == 6
    assert b"rtype eow@openssh.com" in done.stderr


async def test_no_more_sessions_is_told_to_the_host(desk: Desk, way: str) -> None:
    """Even when it is the first that a client says, as with `ssh -N`."""
    to = desk.ways["port" if way == "jump" else way]  # a jump's bytes are passed on as a port's
    client = await asyncssh.connect(
        to["host"], to["port"], username=to["user"], client_keys=[str(desk.key)],
        known_hosts=None, config=None,
    )  # fmt: skip
    async with client:
        await client._make_global_request(b"no-more-sessions@openssh.com")  # pyright: ignore[reportPrivateUsage]
        remote = await client.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 1)
        assert remote.get_port()
        with pytest.raises((asyncssh.Error, ConnectionError)):
            await client.run("true")
        await client.wait_closed()


def test_a_terminal_of_the_right_size(desk: Desk, way: str) -> None:
    argv = desk.ssh("-tt", way, "tty; stty size; echo $TERM; exit 4")
    inner = f"stty rows 33 cols 91; exec {' '.join(argv[:-1])} '{argv[-1]}'"
    typescript = desk.folder / f"typescript-{way}"
    done = desk.run("script", "-qec", inner, str(typescript), TERM="xterm-256color")
    assert done.returncode == 4, done
    lines = done.stdout.split(b"\r\n")
    assert b"/dev/pts/" in lines[0]
    size = lines[1].removeprefix(b"^@")  # echoed: `script` passes on that its own input has ended
    assert (size, lines[2]) == (b"33 91", b"xterm-256color")


def test_a_command_goes_on_without_its_client(desk: Desk, way: str) -> None:
    started, ended = desk.home / f"started-{way}", desk.home / f"ended-{way}"
    client = desk.start(*desk.ssh(way, f"touch {started}; sleep 1; touch {ended}"))
    eventually(started.exists, "the command runs")
    client.kill()
    eventually(ended.exists, "the command ends by itself")


def test_fifty_channels_beside_one_that_is_stalled(desk: Desk, way: str) -> None:
    control = desk.folder / f"master-{way}"
    desk.start(*desk.ssh("-M", "-N", "-S", str(control), way))
    eventually(control.exists, "the master stands")
    stalled = desk.start(*desk.ssh("-S", str(control), way, "cat /dev/zero"))
    waiting = [
        desk.start(*desk.ssh("-S", str(control), way, "read line; echo got $line"))
        for _ in range(49)
    ]
    for number, client in enumerate(waiting):
        out, _ = client.communicate(f"{number}\n".encode(), timeout=30)
        assert (client.returncode, out) == (0, f"got {number}\n".encode())
    assert stalled.poll() is None


@contextlib.contextmanager
def echoing(path: Path) -> Generator[None]:
    """A Unix socket that sends back what it gets, once."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as sock:
                        sock.sendall(sock.recv(100)[::-1])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_dynamic_and_unix_forwards(desk: Desk, origin: Origin, way: str) -> None:
    page = origin.offer("/page", b"content")
    dynamic = free_port()
    there, back, here = (desk.folder / f"{name}-{way}" for name in ("there", "back", "here"))
    with echoing(there):
        desk.start(
            *desk.ssh("-N", "-o", "ExitOnForwardFailure=yes", "-D", f"127.0.0.1:{dynamic}"),
            "-L", f"{here}:{there}", "-R", f"{back}:{there}", way,
        )  # fmt: skip
        eventually(lambda: listening(dynamic) and back.exists(), "the forwards stand")
        assert fetch("--socks5-hostname", f"127.0.0.1:{dynamic}", page) == b"content"
        for path in (here, back):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
                sock.sendall(b"abc")
                assert sock.recv(100) == b"cba"
    refused = desk.run(*desk.ssh("-o", "LogLevel=INFO", "-W", f"127.0.0.1:{free_port()}", way))
    assert b"open failed: connect failed: Connection refused" in refused.stderr


def test_agent_and_display_of_the_client(desk: Desk, way: str) -> None:
    agent = desk.folder / f"agent-{way}"
    desk.start("ssh-agent", "-D", "-a", str(agent))
    eventually(agent.exists, "the agent listens")
    desk.ok("ssh-add", str(desk.key), SSH_AUTH_SOCK=str(agent))
    with x_server(desk.folder) as variables:
        settings = [f"{name}={value}" for name, value in variables.items()]
        ssh = desk.ssh("-Y", "-A", "-o", f"IdentityAgent={agent}", way, "ssh-add -l; xdpyinfo")
        out = desk.ok("env", *settings, *ssh)
    assert b"(ED25519)" in out
    assert SHOWN in out


def test_files_in_both_modes_of_scp(desk: Desk, way: str) -> None:
    data = os.urandom(2_000_003)
    (desk.folder / "up").write_bytes(data)
    for mode in ((), ("-O",)):
        scp = ("scp", *mode, "-F", str(desk.config))
        desk.ok(*scp, "up", f"{way}:scp{len(mode)}-{way}")
        desk.ok(*scp, f"{way}:scp{len(mode)}-{way}", "down")
        assert (desk.folder / "down").read_bytes() == data
        assert desk.run(*scp, f"{way}:none", "down").returncode == 1


def test_only_modern_algorithms_are_offered(desk: Desk, way: str) -> None:
    """Each server that is met: on the way of a jump that is the relay, then the host."""
    seen = desk.run(*desk.ssh("-vv", "-o", "LogLevel=DEBUG2", way, "true")).stderr.decode()
    proposals = seen.split("peer server KEXINIT proposal")[1:]
    assert proposals
    for proposal in proposals:
        offered = dict(re.findall(r"debug2: ([^:\n]+): (\S+)", proposal.split("languages", 1)[0]))
        names = {name for value in offered.values() for name in value.split(",")}
        assert "curve25519-sha256" in names
        old = re.compile(
            r"sha1|sha-1|cbc|umac-64|arcfour|3des|group1-|ssh-rsa$|ssh-dss|md5|@ssh\.com"
        )
        assert not [name for name in names if old.search(name)]
    accepted = re.findall(r"server-sig-algs=<([^>]*)>", seen)
    assert accepted
    for names in accepted:
        assert "rsa-sha2-256" in names
        assert not {"ssh-rsa", "ssh-dss"} & set(names.split(","))
    assert "strict KEX ordering" in desk.run(*desk.ssh("-vvv", way, "true")).stderr.decode()


def test_an_old_mac_gets_nobody_in(desk: Desk, way: str) -> None:
    old = ("-o", "Ciphers=aes128-ctr", "-o", "MACs=hmac-sha1")
    done = desk.run(*desk.ssh("-o", "LogLevel=INFO", *old, way, "true"))
    assert done.returncode == 255
    assert b"no matching MAC found" in done.stderr
