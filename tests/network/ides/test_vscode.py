"""VS Code Remote-SSH: install, tunnel, reconnect, several windows, and hosts that lack things."""

import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.network.daemon.conftest import eventually
from tests.network.ides.conftest import Origin
from tests.network.ides.desk import WAYS, Desk, alive, fetch
from tests.network.ides.vscode import Install, Window, server_archive
from tests.ports import free_port


@pytest.fixture
def install(origin: Origin) -> Install:
    return Install(origin.offer("/server-linux-x64.tar.gz", server_archive()))


@pytest.mark.parametrize("way", WAYS)
def test_a_window_opens_and_the_next_one_finds_its_server(
    desk: Desk, install: Install, origin: Origin, way: str
) -> None:
    first = Window(desk, way, install)
    found = first.opened()
    assert found["arch"] == os.uname().machine
    assert found["platform"] in {"linux", "alpine"}
    assert found["unpackResult"] == "success"
    at = f"127.0.0.1:{found['listeningOn']}"
    assert first.fetch("/version", at).decode() == install.commit
    page = first.fetch(f"/?tkn={found['connectionToken']}", at)
    assert page.startswith(b"workbench")
    assert first.fetch("/?tkn=wrong", at) == b"Forbidden."
    data = os.urandom(1_000_000)
    assert first.fetch("/echo", at, body=data) == data

    first.vanish()
    eventually(lambda: not alive(first.script_pid), "the script ends with its window")
    assert alive(install.pid(desk))
    again = Window(desk, way, install)
    assert again.opened()["listeningOn"] == found["listeningOn"]
    assert "Found running server..." in again.lines.seen
    assert again.fetch(f"/?tkn={found['connectionToken']}", at) == page
    assert origin.asked == ["/server-linux-x64.tar.gz"]


def test_a_half_installed_server_is_repaired(desk: Desk, install: Install, origin: Origin) -> None:
    """The client vanishes in mid-download, which goes on, as with sshd, until somebody ends it."""
    origin.go_on.clear()
    broken = Window(desk, "port", install)
    assert origin.half_sent.wait(20)
    assert broken.lines.next() == f"{broken.id}: running"
    broken.lines.next()
    broken.vanish()
    assert alive(broken.script_pid)
    os.killpg(os.getpgid(broken.script_pid), signal.SIGHUP)
    eventually(lambda: not alive(broken.script_pid), "the script ends")
    window = Window(desk, "port", install)
    window.lines.next()
    origin.go_on.set()
    found = window.results()
    assert "Found half-installed server, removing it" in window.lines.seen
    assert found["unpackResult"] == "success"
    at = f"127.0.0.1:{found['listeningOn']}"
    assert window.fetch("/version", at).decode() == install.commit


def test_three_windows_at_once_share_one_server(
    desk: Desk, install: Install, origin: Origin
) -> None:
    windows = [Window(desk, "port", install) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(Window.opened, windows))
    assert len({one["listeningOn"] for one in found}) == 1
    assert len(origin.asked) == 1
    at = f"127.0.0.1:{found[0]['listeningOn']}"
    for window in windows:
        assert window.fetch("/version", at).decode() == install.commit
    windows[0].vanish()
    assert windows[1].fetch("/version", at).decode() == install.commit


def test_without_dynamic_forwarding(desk: Desk, install: Install) -> None:
    found = Window(desk, "port", install, dynamic=False).opened()
    port = free_port()
    forward = f"{port}:127.0.0.1:{found['listeningOn']}"
    desk.start(*desk.ssh("-T", "-N", "-o", "ExitOnForwardFailure=yes", "-L", forward, "port"))
    assert fetch(f"http://127.0.0.1:{port}/version").decode() == install.commit


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_listens_on_a_socket(desk: Desk, install: Install, way: str) -> None:
    install.listen = "socket"
    found = Window(desk, way, install, dynamic=False).opened()
    assert found["listeningOn"].endswith(".sock")
    port = free_port()
    desk.start(*desk.ssh("-T", "-N", "-L", f"{port}:{found['listeningOn']}", way))
    assert fetch(f"http://127.0.0.1:{port}/version").decode() == install.commit


def test_a_tunnel_carries_many_connections_kept_alive(desk: Desk, install: Install) -> None:
    """The editor's own protocol: long connections, small messages, none waits for another."""
    window = Window(desk, "port", install)
    found = window.opened()
    port = free_port()
    desk.start(*desk.ssh("-N", "-L", f"{port}:127.0.0.1:{found['listeningOn']}", "port"))
    assert fetch(f"http://127.0.0.1:{port}/version").decode() == install.commit
    connections = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(20)]
    try:
        for turn in range(5):
            for number, connection in enumerate(connections):
                message = f"{number}.{turn}".encode()
                connection.sendall(
                    b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(message)
                    + message
                )
            for number, connection in enumerate(connections):
                answer = b""
                while not answer.endswith(f"\r\n\r\n{number}.{turn}".encode()):
                    piece = connection.recv(4096)
                    assert piece, answer
                    answer += piece
    finally:
        for connection in connections:
            connection.close()


def test_a_shell_without_terminal_that_is_typed_at(desk: Desk) -> None:
    """Newer versions name no command: they ask the login shell questions, then start sh in it."""
    client = desk.start(*desk.ssh("-T", "-D", str(free_port()), "-o", "ConnectTimeout=15", "port"))
    assert client.stdin is not None
    assert client.stdout is not None
    stdin, stdout = client.stdin, client.stdout

    def say(line: str) -> None:
        stdin.write(f"{line}\n".encode())
        stdin.flush()

    say("uname -s")
    assert stdout.readline() == b"Linux\n"
    say('echo "$SHELL"')
    assert stdout.readline().startswith(b"/")
    say("echo $$")
    login = int(stdout.readline())
    say("sh")  # a login shell that reads in blocks must not get the next line, too
    children = Path(f"/proc/{login}/task/{login}/children")
    eventually(children.read_text, "sh has started")
    say("echo $PPID")
    assert int(stdout.readline()) == login
    client.stdin.close()
    assert client.wait(20) == 0


def test_the_agent_socket_can_be_linked_to(desk: Desk) -> None:
    """The editor links a lasting name to SSH_AUTH_SOCK, from another channel."""
    agent = desk.folder / "agent"
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(agent)], stdout=subprocess.DEVNULL
    ) as process:
        try:
            eventually(agent.exists, "the agent listens")
            desk.ok("ssh-add", "-q", str(desk.key), SSH_AUTH_SOCK=str(agent))
            argv = desk.ssh("-T", "-A", "-o", f"IdentityAgent={agent}", "port", "bash")
            window = desk.start(*argv, SSH_AUTH_SOCK=str(agent))
            assert window.stdin is not None
            assert window.stdout is not None
            window.stdin.write(b'echo "SSH_AUTH_SOCK==$SSH_AUTH_SOCK=="\n')
            window.stdin.flush()
            path = window.stdout.readline().decode().split("==")[1]
            link = desk.home / "vscode-ssh-auth-sock"
            desk.ok(*desk.ssh("port", f"ln -f -s {path} {link}"))
            listed = desk.ok(*desk.ssh("port", f"SSH_AUTH_SOCK={link} ssh-add -l"))
            assert b"ED25519" in listed
        finally:
            process.terminate()
