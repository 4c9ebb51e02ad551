"""Tunnels: bulk through -L and -D, and keep-alive HTTP requests as an editor makes them."""

import asyncio
import http.server
import socket
import statistics
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from benchmarks.latency import master
from benchmarks.measure import Row, interleaved, interleaved_many
from benchmarks.rig import Rig, Target, wait_for_port
from tests.ports import free_port

CHUNK = bytes(range(256)) * 1024
CONNECTIONS = 20
REQUESTS = 100
"""Requests that each of the connections makes."""


def _serve_bulk(listener: socket.socket, total: int) -> None:
    """`d` sends `total` bytes; `u` takes that many and answers one byte."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            if connection.recv(1) == b"d":
                for _ in range(total // len(CHUNK)):
                    connection.sendall(CHUNK)
            else:
                left = total
                while left > 0:
                    left -= len(connection.recv(1 << 18))
                connection.sendall(b".")


@contextmanager
def _bulk_server(total: int) -> Generator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve_bulk, args=(listener, total), daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def socks_connect(proxy: int, port: int) -> socket.socket:
    """A connection to 127.0.0.1:port through a SOCKS5 proxy (RFC 1928)."""
    connection = socket.create_connection(("127.0.0.1", proxy))
    connection.sendall(b"\x05\x01\x00")
    assert connection.recv(2) == b"\x05\x00"
    connection.sendall(
        b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + port.to_bytes(2, "big")
    )
    reply = b""
    while len(reply) < 10:
        reply += connection.recv(10 - len(reply))
    assert reply[1] == 0, reply
    return connection


def _transfer(connection: socket.socket, direction: bytes, total: int) -> float:
    start = time.perf_counter()
    with connection:
        connection.sendall(direction)
        if direction == b"d":
            left = total
            while left > 0:
                got = len(connection.recv(1 << 18))
                assert got, "the tunnel closed early"
                left -= got
        else:
            for _ in range(total // len(CHUNK)):
                connection.sendall(CHUNK)
            assert connection.recv(1) == b"."
    return total / 1e6 / (time.perf_counter() - start)


@contextmanager
def _tunnels(rig: Rig, server: int) -> Generator[dict[str, tuple[int, int]]]:
    """For each target its -L port to `server`, and its -D port."""
    ports = {target.name: (free_port(), free_port()) for target in rig.targets}

    def flags(target: Target) -> tuple[str, ...]:
        local, dynamic = ports[target.name]
        return ("-L", f"127.0.0.1:{local}:127.0.0.1:{server}", "-D", f"127.0.0.1:{dynamic}")

    sshd, port = rig.targets
    with master(rig, sshd, *flags(sshd)), master(rig, port, *flags(port)):
        for local, dynamic in ports.values():
            wait_for_port(dynamic)
            assert local
        yield ports


def bulk(rig: Rig, rounds: int, megabytes: int) -> Iterator[Row]:
    """-L and -D in both directions."""
    total = megabytes * 1_000_000 // len(CHUNK) * len(CHUNK)
    with _bulk_server(total) as server, _tunnels(rig, server) as ports:

        def through(target: Target, flag: str, direction: bytes) -> float:
            local, dynamic = ports[target.name]
            if flag == "-L":
                connection = socket.create_connection(("127.0.0.1", local))
            else:
                connection = socks_connect(dynamic, server)
            return _transfer(connection, direction, total)

        for flag in ("-L", "-D"):
            for direction, word in ((b"d", "download"), (b"u", "upload")):

                def run(target: Target, flag: str = flag, direction: bytes = direction) -> float:
                    return through(target, flag, direction)

                got = interleaved(rig.targets, rounds, run)
                yield Row(f"{flag} {word}", "MB/s", got["sshd"], got["port"], ">= 0.9x")


class _Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b"x" * 1024
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it
        """Stay quiet."""


async def _client(connection: socket.socket, samples: list[float]) -> None:
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader, writer = await asyncio.open_connection(sock=connection)
    for _ in range(REQUESTS):
        start = time.perf_counter()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head
        await reader.readexactly(1024)
        samples.append(1000 * (time.perf_counter() - start))
    writer.close()


async def _clients(connections: list[socket.socket], samples: list[float]) -> float:
    start = time.perf_counter()
    await asyncio.gather(*(_client(connection, samples) for connection in connections))
    return CONNECTIONS * REQUESTS / (time.perf_counter() - start)


def requests(rig: Rig, rounds: int) -> Iterator[Row]:
    """20 keep-alive HTTP connections through -L and -D: rate and p99."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with _tunnels(rig, server.server_port) as ports:
        for flag in ("-L", "-D"):

            def run(target: Target, flag: str = flag) -> tuple[float, float]:
                local, dynamic = ports[target.name]
                connections = [
                    socket.create_connection(("127.0.0.1", local))
                    if flag == "-L"
                    else socks_connect(dynamic, server.server_port)
                    for _ in range(CONNECTIONS)
                ]
                samples: list[float] = []
                rate = asyncio.run(_clients(connections, samples))
                return rate, statistics.quantiles(samples, n=100)[98]

            got = interleaved_many(rig.targets, rounds, run)
            (rate, p99), (sshd_rate, sshd_p99) = got["port"], got["sshd"]
            yield Row(f"HTTP through {flag}", "requests/s", sshd_rate, rate, ">= 0.7x")
            yield Row(f"HTTP through {flag}, p99", "ms", sshd_p99, p99, "<= 2x")
    server.shutdown()
    server.server_close()
