"""Keys from files and from a web server on loopback."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.access.builders import key
from uptui.core.keys import parse_public_key
from uptui.errors import ConfigError
from uptui.host.keys.sources import MAX_BYTES, KeyServices, KeySources, parse_source


@dataclass
class Web:
    """Answers each path with what `pages` says."""

    pages: dict[str, tuple[int, bytes]] = field(default_factory=dict[str, tuple[int, bytes]])
    asked: list[str] = field(default_factory=list[str])
    base: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split()[1].decode()
        self.asked.append(path)
        status, body = self.pages.get(path, (404, b"no"))
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    made = Web()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    await server.wait_closed()


def services(web: Web) -> KeyServices:
    return KeyServices(github=web.base, gitlab=web.base + "/lab")


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "authorized_keys"
    file.write_text(f"{key(1)} alice\nnonsense here\n")
    reported: list[str] = []
    changes: list[int] = []
    sources = KeySources(
        [str(file)],
        tmp_path / "cache",
        report=reported.append,
        changed=lambda keys: changes.append(len(keys)),
    )
    await sources.refresh()
    await sources.refresh()
    assert [k.name for k in sources.keys.values()] == ["alice"]
    assert len(reported) == 1
    assert reported[0].startswith(f"{file}:2: ")
    file.write_text(f"{key(1)} alice\n{key(2)} bob\n")
    os.utime(file, (1, 1))
    await sources.refresh()
    assert changes == [1, 2]
    assert sources.problems == []
    file.unlink()
    await sources.refresh()
    assert sources.keys == {}, "a file that is gone lets nobody in"
    assert "No such file" in reported[-1]


async def test_github_gitlab_and_urls(web: Web, tmp_path: Path) -> None:
    web.pages = {
        "/alice.keys": (200, f"{key(1)}\n".encode()),
        "/lab/bob.keys": (200, f"{key(2)} bob@x\n".encode()),
        "/team": (200, f'uptui-role="developer" {key(3)} carol\n'.encode()),
    }
    given = ["github:alice", "gitlab:bob", f"{web.base}/team"]
    sources = KeySources(given, tmp_path, services=services(web))
    await sources.refresh()
    keys = list(sources.keys.values())
    assert [(k.name, k.source) for k in keys[:2]] == [
        ("alice", "github:alice"),
        ("bob@x", "gitlab:bob"),
    ]
    assert (keys[2].name, keys[2].role) == ("carol", ""), "a site gives no roles"
    await sources.refresh()
    assert len(web.asked) == 3, "not asked again so soon"
    await sources.refresh(force=True)
    assert len(web.asked) == 6


async def test_the_cache_serves_when_the_network_does_not(web: Web, tmp_path: Path) -> None:
    web.pages = {"/alice.keys": (200, key(1).encode())}
    await KeySources(["github:alice"], tmp_path, services=services(web)).refresh()
    web.pages = {"/alice.keys": (500, b"")}
    now = 0.0
    reported: list[str] = []
    sources = KeySources(
        ["github:alice"],
        tmp_path,
        services=services(web),
        report=reported.append,
        clock=lambda: now,
    )
    assert parse_public_key(key(1)).fingerprint in sources.keys
    await sources.refresh()
    assert parse_public_key(key(1)).fingerprint in sources.keys
    assert "answered 500" in reported[0]
    assert "stay in use" in reported[0]
    web.pages = {"/alice.keys": (200, b"")}
    now = 61.0
    await sources.refresh()
    assert sources.keys == {}, "who removes a key at GitHub is out"


async def test_an_answer_that_is_no_list_of_keys_keeps_the_last_good_one(
    web: Web, tmp_path: Path
) -> None:
    web.pages = {"/alice.keys": (200, key(1).encode())}
    reported: list[str] = []
    now = 0.0
    sources = KeySources(
        ["github:alice"],
        tmp_path,
        services=services(web),
        report=reported.append,
        clock=lambda: now,
    )
    await sources.refresh()
    web.pages = {"/alice.keys": (200, b"<!DOCTYPE html>\n<p>Down for maintenance</p>\n")}
    now = 10_000.0
    await sources.refresh()
    assert parse_public_key(key(1)).fingerprint in sources.keys
    assert "no list of keys" in reported[0]
    assert "stay in use" in reported[0]
    assert KeySources(["github:alice"], tmp_path, services=services(web)).keys == sources.keys


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
async def test_files_as_editors_save_them(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "authorized_keys"
    file.write_bytes(f"{key(1)} alice\r\n{key(2)} bob\r\n".encode(encoding))
    sources = KeySources([str(file)], tmp_path / "cache")
    await sources.refresh()
    assert [one.name for one in sources.keys.values()] == ["alice", "bob"]
    assert not sources.problems


async def test_too_large_unreachable_and_missing(web: Web, tmp_path: Path) -> None:
    web.pages = {"/big": (200, b"#" * (MAX_BYTES + 1))}
    given = [f"{web.base}/big", f"{web.base}/gone", "http://127.0.0.1:1/keys"]
    sources = KeySources(given, tmp_path)
    await sources.refresh()
    assert len(sources.problems) == 3
    assert "more than" in sources.problems[0]
    assert "answered 404" in sources.problems[1]
    assert sources.problems[2].startswith("http://127.0.0.1:1/keys: ")
    assert sources.keys == {}


@pytest.mark.parametrize(
    "text",
    ["github:../x", "github:", "http://example.com/keys", "https://", "https://u:p@h/keys", " "],
)
def test_sources_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_source(text)
    assert ":p@" not in str(error.value)
