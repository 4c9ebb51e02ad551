"""An editor whose key nobody knows yet: it waits within its own time-outs, or comes again."""

import time
from collections.abc import Generator

import pytest

from tests.network.daemon.conftest import eventually
from tests.network.ides.conftest import Origin, new_machine
from tests.network.ides.desk import WAYS, Desk, desk_of, fetch
from tests.network.ides.vscode import CONNECT_TIMEOUT, Install, Window, server_archive


@pytest.fixture(scope="module")
def asking() -> Generator[Desk]:
    with new_machine() as machine, desk_of(machine, "--unknown", "ask") as made:
        yield made


@pytest.fixture
def desk(asking: Desk) -> Generator[Desk]:
    """The host of this file, and a key that it has never seen."""
    asking.change_key()
    yield asking
    asking.leave()
    eventually(lambda: not asking.machine.json("clients")["clients"], "everybody is gone")


@pytest.fixture
def install(origin: Origin) -> Install:
    return Install(origin.offer("/server-linux-x64.tar.gz", server_archive()))


def approve(desk: Desk) -> None:
    waiting = eventually(lambda: desk.machine.json("clients")["pending"], "somebody waits")
    assert len(waiting) == 1
    done = desk.machine.run("approve", waiting[0]["id"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_window_that_waits_goes_on_once_it_is_approved(
    desk: Desk, install: Install, way: str
) -> None:
    window = Window(desk, way, install)
    began = time.monotonic()
    assert "waiting" in window.errors.next().lower()  # any output ends the editor's own time-out
    assert time.monotonic() - began < CONNECT_TIMEOUT
    assert window.lines.nothing()
    approve(desk)
    found = window.opened()
    at = f"127.0.0.1:{found['listeningOn']}"
    assert window.fetch("/version", at).decode() == install.commit


def test_a_tunnel_asked_for_while_waiting_is_held(
    desk: Desk, install: Install, origin: Origin
) -> None:
    url = origin.offer("/page", b"behind the tunnel")
    window = Window(desk, "port", install)
    assert "waiting" in window.errors.next().lower()
    proxy = ["-sS", "--max-time", "20", "--socks5-hostname", f"127.0.0.1:{window.port}"]
    tunnel = desk.start("curl", *proxy, url)
    assert window.lines.nothing()
    assert tunnel.poll() is None
    approve(desk)
    window.opened()
    out, err = tunnel.communicate(timeout=20)
    assert (out, err) == (b"behind the tunnel", b"")


def test_an_editor_that_gave_up_finds_itself_approved_when_it_retries(
    desk: Desk, install: Install
) -> None:
    late = Window(desk, "port", install)
    assert "waiting" in late.errors.next().lower()
    late.vanish()
    eventually(lambda: not desk.machine.json("clients")["clients"], "it is gone")
    approve(desk)
    again = Window(desk, "port", install)
    found = again.opened()
    assert not any("waiting" in line.lower() for line in again.errors.taken())
    proxy = ("--socks5-hostname", f"127.0.0.1:{again.port}")
    page = fetch(*proxy, f"http://127.0.0.1:{found['listeningOn']}/version")
    assert page.decode() == install.commit


def test_a_refused_editor_is_told_and_ends(desk: Desk, install: Install) -> None:
    window = Window(desk, "port", install)
    assert "waiting" in window.errors.next().lower()
    waiting = eventually(lambda: desk.machine.json("clients")["pending"], "somebody waits")
    assert desk.machine.run("deny", waiting[0]["id"]).returncode == 0
    assert window.client.wait(20) != 0
    assert window.lines.nothing() or window.lines.seen == []
    with pytest.raises(EOFError):
        window.lines.next()
