"""JetBrains Gateway: probes, a backend deployed by SFTP, its long run, and a tunnel to its port."""

import hashlib
import http.client
import io
import os
import shlex
import signal
import stat
import sys
import uuid
from collections.abc import Generator

import paramiko
import pytest

from tests.network.daemon.conftest import eventually
from tests.network.ides.desk import WAYS, Desk, alive
from tests.network.ides.vscode import main_program, program


@pytest.fixture(params=WAYS)
def gateway(desk: Desk, request: pytest.FixtureRequest) -> Generator[paramiko.SSHClient]:
    at = desk.ways[request.param]
    with connected(desk, at["host"], at["port"], at["user"]) as client:
        if request.param != "jump":
            yield client
            return
        transport = client.get_transport()
        assert transport is not None
        tunnel = transport.open_channel("direct-tcpip", (at["target"], 22), ("127.0.0.1", 0), 20)
        with connected(desk, at["target"], 22, "dev", tunnel) as beyond:
            yield beyond


def connected(
    desk: Desk, host: str, port: int, user: str, tunnel: paramiko.Channel | None = None
) -> paramiko.SSHClient:
    """A client to `host`, through the tunnel when there is one."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(
        host, port, user, key_filename=str(desk.key), allow_agent=False, look_for_keys=False,
        timeout=20, sock=tunnel,
    )  # fmt: skip
    return client


def probe(client: paramiko.SSHClient, command: str) -> tuple[int, str, str]:
    """Status, output and errors of a command, whose input is closed at once."""
    stdin, out, err = client.exec_command(command, timeout=20)
    stdin.close()
    text, errors = out.read().decode(), err.read().decode()
    return out.channel.recv_exit_status(), text, errors


def deploy(client: paramiko.SSHClient, folder: str) -> None:
    """Upload the backend piece by piece under another name, then give it its own."""
    with client.open_sftp() as sftp:
        with pytest.raises(FileNotFoundError):
            sftp.stat(folder)
        path = ""
        for part in folder.strip("/").split("/"):
            path += f"/{part}"
            try:
                sftp.stat(path)
            except FileNotFoundError:
                sftp.mkdir(path, 0o755)
        files = {"editor_server.py": main_program(), "backend.sh": program("editor_server.py"),
                 "blob.jar": bytes(range(256)) * 20_000}  # fmt: skip
        for name, data in files.items():
            sftp.putfo(io.BytesIO(data), f"{folder}/{name}.part", file_size=len(data))
            sftp.posix_rename(f"{folder}/{name}.part", f"{folder}/{name}")
            found = probe(client, f"sha256sum {shlex.quote(f'{folder}/{name}')}")[1]
            assert found.split()[0] == hashlib.sha256(data).hexdigest()
        sftp.chmod(f"{folder}/backend.sh", 0o700)
        mode = sftp.stat(f"{folder}/backend.sh").st_mode
        assert mode is not None
        assert stat.S_IMODE(mode) == 0o700
        assert sorted(sftp.listdir(folder)) == sorted(files)


def test_a_backend_is_deployed_and_reached(desk: Desk, gateway: paramiko.SSHClient) -> None:
    assert probe(gateway, "uname -sm")[1].startswith("Linux ")
    assert probe(gateway, "sh -c 'exit 3'")[0] == 3
    home = probe(gateway, 'printf %s "$HOME"')[1]
    assert home == str(desk.home)
    transport = gateway.get_transport()
    assert transport is not None
    folder = (
        f"{home}/.cache/JetBrains/RemoteDev/dist/{transport.remote_version[-4:]}-{uuid.uuid4()}"
    )
    deploy(gateway, folder)

    session = transport.open_session(timeout=20)
    session.exec_command(f"echo $$; exec {folder}/backend.sh --start-server --commit=backend")
    lines = session.makefile("r")
    pid, told = int(lines.readline()), lines.readline()
    port = int(told.split()[-1])
    for _ in range(3):
        tunnel = transport.open_channel("direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 0), 20)
        http_client = http.client.HTTPConnection("backend")
        http_client.sock = tunnel  # pyright: ignore[reportAttributeAccessIssue]
        http_client.request("POST", "/echo", body=b"x" * 300_000)
        assert http_client.getresponse().read() == b"x" * 300_000
        http_client.request("GET", "/version")
        assert http_client.getresponse().read() == b"backend"
        tunnel.close()
    assert not session.exit_status_ready()
    gateway.close()
    assert alive(pid)  # as with sshd: what it prints next ends it
    os.kill(pid, signal.SIGTERM)


def test_a_backend_in_the_background_stays(desk: Desk, gateway: paramiko.SSHClient) -> None:
    main = desk.home / "backend.py"
    main.write_bytes(main_program())
    log = desk.home / "backend.log"
    start = f"nohup {sys.executable} -IS {main} --start-server > {log} 2>&1 & echo $!"
    status, text, _ = probe(gateway, start)
    assert status == 0
    gateway.close()
    eventually(lambda: "listening on" in log.read_text(), "the backend listens")
    assert alive(int(text))
