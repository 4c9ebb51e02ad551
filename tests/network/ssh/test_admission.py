"""Who gets in: keys, the relay's word, waiting for a person, and roles that change."""

import asyncio

import asyncssh
import pytest

from tests.network.ssh.conftest import Served, Server, new_key, start, until
from tests.network.ssh.terminal import window
from uptui.core.roles import DEVELOPER, VIEWER, Capability, Role
from uptui.errors import RefusedError
from uptui.host.sshd.access_control import Grant, Landing, StreamOrigin
from uptui.host.sshd.settings import SshLimits, SSHSettings
from uptui.protocol.names import RouteName

EXEC_ONLY = Role("runner", frozenset({Capability.EXEC}))


def undecided(served: Served) -> "asyncio.Future[Grant]":
    served.gate.decision = asyncio.get_running_loop().create_future()
    return served.gate.decision


async def test_the_gate_learns_who_came(served: Served) -> None:
    await served.ssh("true", user="alice")
    (arrival,) = served.gate.arrivals
    assert arrival.user == "alice"
    assert arrival.key.startswith("ssh-ed25519 ")
    assert arrival.fingerprint.startswith("SHA256:")
    assert arrival.program.startswith("OpenSSH_")
    assert (arrival.address, arrival.vouched, arrival.way) == ("127.0.0.1", False, "port")
    await until(lambda: served.gate.gone == [""])


async def test_a_key_that_is_not_accepted_is_refused(served: Served) -> None:
    served.gate.accepts = lambda _: False
    result = await served.ssh("true")
    assert result.status == 255
    assert b"Permission denied (publickey)" in result.err
    assert served.gate.arrivals == []


async def test_the_client_may_go_on_to_its_next_key(served: Served) -> None:
    other = new_key()
    wanted = asyncssh.read_private_key(served.key).get_fingerprint()
    served.gate.accepts = lambda arrival: arrival.fingerprint == wanted
    async with asyncssh.connect(
        "127.0.0.1", served.port, username="me", known_hosts=None, config=None,
        client_keys=[other, asyncssh.read_private_key(served.key)],
    ) as client:  # fmt: skip
        assert (await client.run("echo in")).stdout == "in\n"
    assert [arrival.fingerprint for arrival in served.gate.arrivals] == [wanted]


async def test_no_key_no_entry(served: Served) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(
            "127.0.0.1", served.port, username="me", known_hosts=None, config=None,
            client_keys=None, password="secret",
        )  # fmt: skip


async def test_plain_takes_the_relays_word_for_the_key(server: Server) -> None:
    key = new_key()
    public = key.export_public_key("openssh").decode().strip()

    def origin(address: tuple[str, int]) -> StreamOrigin:
        del address
        return StreamOrigin("plain", RouteName("demo"), "198.51.100.7", 4711, public, "demo", "X_1")

    served = await server.serve(origin=origin)
    async with asyncssh.connect(
        "127.0.0.1", served.port, username="demo", known_hosts=None, config=None, client_keys=None
    ) as relay:
        result = await relay.run("echo $SSH_CONNECTION")
        assert str(result.stdout).startswith("198.51.100.7 4711 ")
    (arrival,) = served.gate.arrivals
    assert arrival.vouched
    assert arrival.fingerprint == key.get_fingerprint()
    assert arrival.program == "X_1"


async def test_plain_with_a_key_that_is_not_accepted(server: Server) -> None:
    public = new_key().export_public_key("openssh").decode()

    def origin(address: tuple[str, int]) -> StreamOrigin:
        return StreamOrigin("plain", RouteName("demo"), *address, verified_key=public)

    served = await server.serve(origin=origin)
    served.gate.accepts = lambda _: False
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(
            "127.0.0.1",
            served.port,
            username="demo",
            known_hosts=None,
            config=None,
            client_keys=None,
        )


async def test_a_terminal_waits_visibly_and_is_let_in(server: Server) -> None:
    served = await server.serve(SSHSettings(host_name="demo-box"))
    decision = undecided(served)
    async with window(served, "--", "echo wel''come") as shell:
        await shell.expect("waiting for approval of demo-box, Ctrl-C to give up")
        assert served.gate.asked == ["exec: echo wel''come"]
        decision.set_result(Grant("x", DEVELOPER))
        await shell.expect("approved")
        await shell.expect("welcome")
        assert (await shell.ended()).code == 0


async def test_a_waiting_client_may_give_up(served: Served) -> None:
    undecided(served)
    async with window(served) as shell:
        await shell.expect("Ctrl-C to give up")
        shell.type("\x03")
        assert (await shell.ended()).code == 130
    await until(lambda: len(served.gate.gone) == 1)


async def test_a_command_waits_and_keeps_stdout_clean(served: Served) -> None:
    decision = undecided(served)
    process = await start(served.command("--", "cat"))
    await until(lambda: served.gate.asked == ["exec: cat"])
    decision.set_result(Grant("x", DEVELOPER))
    out, _ = await process.communicate(b"typed before")
    assert (process.returncode, out) == (0, b"typed before")


async def test_a_refusal_gives_the_message_and_a_status(served: Served) -> None:
    undecided(served).set_exception(RefusedError("not today"))
    result = await served.ssh("echo in")
    assert (result.status, result.out) == (77, b"")
    assert b"uptui: not today" in result.err
    async with window(served) as shell:
        await shell.expect("not today")
        assert (await shell.ended()).code == 77


async def test_a_refused_client_without_channels_is_disconnected(served: Served) -> None:
    undecided(served).set_exception(RefusedError("not today"))
    result = await served.ssh("-N", log="INFO")
    assert result.status == 255
    assert b"not today" in result.err


async def test_a_role_without_shells_gets_none(served: Served) -> None:
    served.gate.grant = Grant("x", EXEC_ONLY)
    assert (await served.ssh("echo yes")).out == b"yes\n"
    async with window(served) as shell:
        await shell.expect("your role here (runner) may not watch the shared terminal")
        assert (await shell.ended()).code == 77
    served.gate.grant = Grant("x", VIEWER)
    result = await served.ssh("echo no")
    assert (result.status, result.out) == (77, b"")
    assert b"your role here (viewer) may not run commands" in result.err


async def test_a_role_taken_away_ends_what_it_allowed(served: Served) -> None:
    process = await start(served.command("--", "echo on; sleep 100"))
    assert process.stdout is not None
    assert await process.stdout.readline() == b"on\n"
    served.gate.guests[0].apply(Grant("x", VIEWER))
    _, err = await process.communicate()
    assert process.returncode == 77
    assert b"your role is now viewer" in err


async def test_a_landing_may_be_a_command(served: Served) -> None:
    served.gate.grant = Grant("x", EXEC_ONLY, Landing("command", "echo landed; tty; exit 3"))
    async with window(served) as shell:
        await shell.expect("landed\r\n/dev/pts/")
        assert (await shell.ended()).code == 3


async def test_acts_go_on_record(served: Served) -> None:
    await served.ssh("echo a")
    assert ("session.exec", "runs echo a") in served.gate.notes


async def test_too_many_unknown_connections_are_turned_away(server: Server) -> None:
    served = await server.serve(SSHSettings(limits=SshLimits(logins=2)))
    silent = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(2)]
    for reader, _ in silent:
        assert (await reader.readline()).startswith(b"SSH-2.0-OpenSSH_uptui")
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    assert await reader.read() == b""
    for _, other in [*silent, (reader, writer)]:
        other.close()


async def test_a_client_that_never_logs_in_is_dropped(server: Server) -> None:
    served = await server.serve(SSHSettings(login_grace=0.3))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
