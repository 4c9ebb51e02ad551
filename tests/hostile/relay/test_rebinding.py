"""A relay whose stream host answers the probe and then leads to something else (DNS rebinding)."""

import contextlib
import socket
import threading
from collections.abc import Generator
from dataclasses import dataclass, field

from tests.hostile.relay.evil import WELCOME, evil_relay
from tests.hostile.relay.test_answers import DIAL
from tests.network.people.conftest import Crowd, eventually
from uptui.protocol.stream import PROBE_ANSWER

NAME = "stream.example"
RELAY, VICTIM = "127.0.0.1", "127.0.0.3"
BOUND = 'mount --bind "$1" /etc/hosts; shift; exec "$@"'


@dataclass
class Listener:
    """Takes connections and keeps what the first line of each says."""

    port: int = 0
    answer: bytes = b""
    lines: list[bytes] = field(default_factory=list[bytes])


@contextlib.contextmanager
def listening(host: str, port: int, answer: bytes) -> Generator[Listener]:
    with socket.create_server((host, port)) as server:
        heard = Listener(server.getsockname()[1], answer)

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = server.accept()
                    with sock, sock.makefile("rb") as file:
                        heard.lines.append(file.readline(200))
                        sock.sendall(answer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield heard
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_streams_go_where_the_probe_went(crowd: Crowd) -> None:
    hosts = crowd.folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{RELAY} {NAME}\n")
    crowd.under = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", BOUND, "sh",
                   str(hosts))  # fmt: skip
    with (
        evil_relay() as evil,
        listening(RELAY, 0, PROBE_ANSWER) as relay,
        listening(VICTIM, relay.port, b"-ERR unknown command\r\n") as victim,
    ):
        evil.welcome = {**WELCOME, "stream_host": NAME, "stream_port": relay.port}
        crowd.start("host", "--json", "--relay", evil.url, log="host.log")
        eventually(
            lambda: crowd.api_socket.exists() and crowd.snapshot()["relay"]["transport"] == "tcp",
            "the probe is answered",
        )
        probes = len(relay.lines)
        hosts.write_text(f"127.0.0.1 localhost\n{VICTIM} {NAME}\n")
        evil.push({**DIAL, "name": evil.names_told[0]})
        eventually(lambda: len(relay.lines) > probes, "the stream goes to the relay")
        assert str(DIAL["stream_id"]).encode() in relay.lines[-1]
        assert not victim.lines

        before = len(crowd.events())
        crowd.api("POST", "/v1/relay/reconnect")
        eventually(lambda: victim.lines, "a new probe goes where the name leads now")
        eventually(
            lambda: crowd.snapshot()["relay"]["transport"] == "websocket", "it is not believed"
        )
        evil.push({**DIAL, "name": evil.names_told[0], "stream_id": "b" * 32})
        eventually(lambda: len(crowd.events()) > before, "the dial is tried")
        assert not any(b"b" * 32 in line for line in victim.lines)
