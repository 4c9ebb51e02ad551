"""Every decision path, driven by OpenSSH's ssh, scp and sftp."""

import asyncio
import socket
import sys
from pathlib import Path

import asyncssh
import pytest

from tests.network.access.conftest import PATIENCE, Open, Stand, eventually, finished
from uptui.core.keys import parse_authorized_keys
from uptui.core.policies import Rules
from uptui.core.share_state import ShareSettings
from uptui.errors import ApiError
from uptui.protocol.host_api import (
    Approve,
    ChangeRole,
    Deny,
    EditPerson,
    InviteView,
    Kick,
    Lock,
    NewInvite,
    Rotate,
    Say,
)
from uptui.protocol.names import RouteName, with_secret

REFUSED = 77


def authorize(stand: Stand, name: str = "alice", options: str = "") -> None:
    line = f"{options} {stand.key(name).public} {name}".strip()
    keys, problems = parse_authorized_keys(line, "keys", "authorized_keys")
    assert not problems
    stand.controller.authorize({k.key.fingerprint: k for k in keys})


async def test_exec_waits_and_runs_once_approved(stand: Stand) -> None:
    client = await stand.spawn(*stand.argv(stand.key(), "echo in; exit 3"))
    (request,) = await stand.pending()
    await eventually(lambda: "exec: echo in" in stand.parts.pending[0].wants, "what it wants")
    assert (request.user, request.fingerprint) == ("alice", stand.key().fingerprint)
    assert "OpenSSH" in request.program
    assert request.address == "198.51.100.7"
    assert client.returncode is None
    stand.desk.approve(request.id, Approve(name="Alice"))
    result = await finished(client)
    assert (result.status, result.out) == (3, "in\n")
    assert stand.recorded("client.joined")[0].name == "Alice"
    (run,) = stand.recorded("session.exec")
    assert (run.name, run.data["command"]) == ("Alice", "echo in; exit 3")
    with pytest.raises(ApiError) as error:
        stand.desk.approve(request.id, Approve())
    assert error.value.status == 404


@pytest.mark.parametrize("block", [False, True])
async def test_a_denial_is_told_with_a_status(stand: Stand, block: bool) -> None:
    client = await stand.spawn(*stand.argv(stand.key(), "echo in"))
    (request,) = await stand.pending()
    stand.desk.deny(request.id, Deny(block=block))
    result = await finished(client)
    assert result.status == REFUSED
    assert "declined" in result.err
    assert result.out == ""
    if block:
        result = await stand.exec(stand.key(), "echo in")
        assert result.status == 255
        assert "Permission denied" in result.err
        assert stand.parts.people[0].blocked


async def test_no_answer_is_no(open_stand: Open) -> None:
    stand = await open_stand(ShareSettings(approval_timeout=1.5))
    result = await stand.exec(stand.key(), "echo in")
    assert result.status == REFUSED
    assert "in time" in result.err
    assert stand.recorded("request.expired")


async def test_approved_as_another_role_may_not_run_commands(stand: Stand) -> None:
    client = await stand.spawn(*stand.argv(stand.key(), "echo in"))
    (request,) = await stand.pending()
    with pytest.raises(ApiError) as error:
        stand.desk.approve(request.id, Approve(role="emperor"))
    assert error.value.status == 422
    stand.desk.approve(request.id, Approve(role="viewer"))
    result = await finished(client)
    assert result.status == REFUSED
    assert "viewer" in result.err


async def test_once_is_for_the_visit_always_outlives_the_daemon(open_stand: Open) -> None:
    stand = await open_stand(ShareSettings())
    client = await stand.spawn(*stand.argv(stand.key("always"), "true"))
    (request,) = await stand.pending()
    stand.desk.approve(request.id, Approve(remember=True, name="Al"))
    assert (await finished(client)).status == 0
    client = await stand.spawn(*stand.argv(stand.key("once"), "true"))
    (request,) = await stand.pending()
    stand.desk.approve(request.id, Approve())
    assert (await finished(client)).status == 0
    assert (await stand.exec(stand.key("once"), "true")).status == 0
    token = stand.parts.token
    stand = await open_stand(ShareSettings())
    assert stand.parts.token == token
    assert (await stand.exec(stand.key("always"), "true")).status == 0
    assert stand.parts.people[0].name == "Al"
    client = await stand.spawn(*stand.argv(stand.key("once"), "true"))
    await stand.pending()


async def test_sftp_and_scp_wait(stand: Stand, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * 100_000)
    key = stand.key()
    client = await stand.spawn(
        "scp", *stand.options(key), "-P", str(stand.port), str(source), f"alice@127.0.0.1:{target}"
    )
    (request,) = await stand.pending()
    await eventually(lambda: "files" in stand.parts.pending[0].wants, "files wanted")
    assert not target.exists()
    stand.desk.approve(request.id, Approve())
    assert (await finished(client)).status == 0
    assert target.read_bytes() == source.read_bytes()


async def test_a_forward_waits(stand: Stand) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        local = free.getsockname()[1]
    port = server.sockets[0].getsockname()[1]
    await stand.spawn(
        *stand.argv(stand.key(), flags=("-N", "-L", f"127.0.0.1:{local}:127.0.0.1:{port}"))
    )
    (request,) = await stand.pending()

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", local)
        try:
            return await reader.read()
        finally:
            writer.close()

    asked = asyncio.create_task(ask())
    await eventually(
        lambda: f"forward-local: 127.0.0.1:{port}" in stand.parts.pending[0].wants, "the forward"
    )
    assert not asked.done()
    stand.desk.approve(request.id, Approve())
    assert await asyncio.wait_for(asked, PATIENCE) == b"hello"
    server.close()


async def test_a_terminal_sees_that_it_waits_and_may_give_up(stand: Stand) -> None:
    client = await stand.terminal(stand.key())
    await client.shows("waiting for approval of demo")
    (request,) = await stand.pending()
    client.type("\x03")
    assert await client.ended() == 130
    await stand.pending(0)
    with pytest.raises(ApiError) as error:
        stand.desk.approve(request.id, Approve())
    assert error.value.status == 404
    assert stand.recorded("client.gave-up")


async def test_a_terminal_is_let_in(stand: Stand) -> None:
    client = await stand.terminal(stand.key(), "tty; echo done")
    await client.shows("waiting for approval of demo")
    (request,) = await stand.pending()
    stand.desk.approve(request.id, Approve())
    await client.shows("/dev/pts/")
    assert await client.ended() == 0
    assert "approved" in client.text


async def test_who_was_too_slow_finds_itself_approved(stand: Stand) -> None:
    client = await stand.spawn(*stand.argv(stand.key(), "true"))
    (request,) = await stand.pending()
    client.kill()
    await client.wait()
    await eventually(lambda: not stand.parts.pending[0].present, "the client is lost")
    stand.desk.approve(request.id, Approve())
    assert (await stand.exec(stand.key(), "echo in")).out == "in\n"


async def test_approved_while_it_gives_up(stand: Stand) -> None:
    """Approve and Ctrl-C in the same moment: no error, no client left over, whoever wins."""
    for _ in range(3):
        client = await stand.terminal(stand.key())
        await client.shows("waiting")
        (request,) = await stand.pending()
        client.type("\x03")
        stand.desk.approve(request.id, Approve())
        client.process.kill()
        await client.ended()
        await stand.clients(0)
        await stand.pending(0)
        stand.share_forget(stand.key())


async def test_unknown_deny_lets_known_keys_in_and_the_next_key_be_tried(open_stand: Open) -> None:
    stand = await open_stand(ShareSettings(unknown="deny"))
    authorize(stand, "bob", 'uptui-role="developer",uptui-name="Bob"')
    result = await stand.exec(stand.key("alice"), "true")
    assert (result.status, "Permission denied" in result.err) == (255, True)
    flags = ("-i", str(stand.key("bob").file))
    assert (await stand.exec(stand.key("alice"), "true", flags=flags)).status == 0
    assert stand.recorded("client.joined")[0].name == "Bob"


async def test_unknown_accept_wants_the_secret(open_stand: Open) -> None:
    stand = await open_stand(ShareSettings(unknown="accept", alias="demo-box"))
    result = await stand.exec(stand.key(), "true", user="root")
    assert (result.status, "user name" in result.err) == (REFUSED, True)
    secret = stand.desk.secret
    for name in (RouteName("demo-box"), stand.parts.token):
        assert (await stand.exec(stand.key(), "true", user=name)).status == REFUSED
        user = with_secret(name, secret)
        assert (await stand.exec(stand.key(), "true", user=user)).status == 0


async def test_a_rotated_name_is_refused_and_who_is_in_stays(stand: Stand) -> None:
    authorize(stand)
    old = stand.parts.token
    stays = await stand.spawn(*stand.argv(stand.key(), "cat", user=old))
    await stand.clients()
    stand.desk.rotate(Rotate())
    result = await stand.exec(stand.key(), "true", user=old)
    assert (result.status, "rotated" in result.err) == (REFUSED, True)
    assert (await stand.exec(stand.key(), "true", user=stand.parts.token)).status == 0
    out, _ = await stays.communicate(b"still here")
    assert (stays.returncode, out) == (0, b"still here")


async def test_rotate_and_kick(stand: Stand) -> None:
    authorize(stand)
    client = await stand.spawn(*stand.argv(stand.key(), "sleep 60"))
    await stand.clients()
    stand.desk.rotate(Rotate(kick=True))
    result = await finished(client)
    assert result.status != 0
    assert "address of this share was changed" in result.err
    await stand.clients(0)


async def test_lock(open_stand: Open) -> None:
    stand = await open_stand(ShareSettings())
    authorize(stand)
    stand.desk.lock(Lock(locked=True))
    stand = await open_stand(ShareSettings())
    assert stand.parts.locked, "a restart does not unlock"
    authorize(stand)
    result = await stand.exec(stand.key(), "true")
    assert (result.status, "locked" in result.err) == (REFUSED, True)
    stand.desk.lock(Lock(locked=False))
    assert (await stand.exec(stand.key(), "true")).status == 0


def said(stand: Stand, invite: InviteView) -> str:
    """The user name that uses an invite."""
    kept = stand.controller.share.state.invites.get(invite.route)
    assert kept is not None
    return kept.user


@pytest.mark.parametrize("way", ["port", "jump"])
async def test_an_invite_on_each_way(stand: Stand, way: str) -> None:
    invite = stand.desk.invite(NewInvite(name="bob", role="developer"))
    stand.way = way  # type: ignore[assignment]
    stand.route = "demo-box" if way == "port" else invite.route
    half = await stand.exec(stand.key("bob"), "echo in", user=invite.route)
    assert (half.status, "half of an invite" in half.err) == (REFUSED, True)
    user = said(stand, invite)
    result = await stand.exec(stand.key("bob"), "echo in", user=user)
    assert (result.status, result.out) == (0, "in\n")
    result = await stand.exec(stand.key("eve"), "echo in", user=user)
    assert (result.status, "another key" in result.err) == (REFUSED, True)
    assert (await stand.exec(stand.key("bob"), "echo in", user=user)).status == 0
    (shown,) = stand.parts.invites
    assert (shown.used, shown.state) == (1, "used-up")
    assert shown.bound_to == stand.key("bob").fingerprint
    stand.desk.revoke(invite.route)
    result = await stand.exec(stand.key("bob"), "echo in", user=user)
    assert (result.status, "revoked" in result.err) == (REFUSED, True)
    with pytest.raises(ApiError) as error:
        stand.desk.revoke(invite.route)
    assert error.value.status == 409


async def test_two_at_once_for_the_last_use(stand: Stand) -> None:
    invite = stand.desk.invite(NewInvite(name="two", uses=1, bind_first_key=False))
    user = said(stand, invite)
    results = await asyncio.gather(
        *(stand.exec(stand.key(name), "true", user=user) for name in ("a", "b", "c"))
    )
    assert sorted(r.status for r in results) == [0, REFUSED, REFUSED]


async def test_kick_tells_and_ends_at_once(stand: Stand) -> None:
    authorize(stand)
    client = await stand.spawn(*stand.argv(stand.key(), "sleep 60"))
    (shown,) = await stand.clients()
    await eventually(lambda: bool(stand.recorded("session.exec")), "the command runs")
    stand.desk.kick(shown.id, Kick(message="lunch"))
    assert not stand.parts.clients
    result = await finished(client)
    assert result.status != 0
    assert "lunch" in result.err
    with pytest.raises(ApiError) as error:
        stand.desk.kick(shown.id, Kick())
    assert error.value.status == 404


async def test_block_ends_all_connections_of_a_key(stand: Stand) -> None:
    authorize(stand)
    clients = [await stand.spawn(*stand.argv(stand.key(), "sleep 60")) for _ in range(2)]
    await stand.clients(2)
    stand.desk.edit_person(stand.key().fingerprint, EditPerson(blocked=True))
    for client in clients:
        assert (await finished(client)).status != 0
    assert (await stand.exec(stand.key(), "true")).status == 255


async def test_a_demoted_client_loses_its_shell_and_is_told(stand: Stand) -> None:
    authorize(stand)
    client = await stand.terminal(stand.key())
    (shown,) = await stand.clients()
    await eventually(lambda: bool(stand.parts.clients[0].channels), "a channel")
    stand.desk.say(shown.id, Say(text="hi there\x1b[2J"))
    await client.shows("hi there")
    stand.desk.change_role(shown.id, ChangeRole(role="viewer"))
    await client.shows("your role is now viewer")
    await client.ended()
    assert stand.recorded("client.role")[0].data == {
        "address": "198.51.100.7",
        "role": "viewer",
        "was": "developer",
    }


async def test_a_role_changed_in_the_middle_of_a_transfer(stand: Stand, tmp_path: Path) -> None:
    authorize(stand)
    target = tmp_path / "target"
    client = await stand.spawn(
        *("sftp", *stand.options(stand.key()), "-P", str(stand.port)),
        *("-b", "-", "alice@127.0.0.1"),
    )
    assert client.stdin is not None
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(2 * 1024**3)
    client.stdin.write(f"put {big} {target}\n".encode())
    await eventually(lambda: target.exists() and target.stat().st_size > 0, "the upload runs")
    (shown,) = await stand.clients()
    stand.desk.change_role(shown.id, ChangeRole(role="viewer"))
    client.stdin.close()
    assert (await finished(client)).status != 0
    size = target.stat().st_size
    assert 0 < size < 2 * 1024**3


async def test_traffic_and_last_seen(stand: Stand) -> None:
    authorize(stand)
    client = await stand.spawn(*stand.argv(stand.key(), "head -c 300000 /dev/zero; cat"))
    (shown,) = await stand.clients()
    await eventually(lambda: stand.parts.traffic.sent >= 300_000, "traffic")
    await eventually(lambda: sum(stand.parts.traffic.seconds_sent) >= 300_000, "a tick")
    assert stand.parts.clients[0].sent >= 300_000
    assert len(stand.parts.traffic.seconds_sent) == 60
    assert shown.verified_by == "authorized_keys"
    out, _ = await client.communicate(b"")
    assert len(out) == 300_000
    await stand.clients(0)
    assert stand.parts.people[0].last_seen is not None
    assert stand.recorded("client.left")[0].name == "alice"


async def test_hostile_programs_and_commands(stand: Stand) -> None:
    """A program's name as the relay passes it on, and a command."""
    evil = "\x1b]0;owned\x07\x1b[31m\u202eecila\u200b"

    async def connect() -> str:
        async with asyncssh.connect(
            "127.0.0.1",
            stand.port,
            username="ali ce" * 40,
            client_keys=[str(stand.key().file)],
            known_hosts=None,
            config=None,
            agent_path=None,
        ) as connection:
            done = await connection.run(f"echo in '{evil}' | head -c 2")
            return str(done.stdout)

    stand.client_version = f"SSH-2.0-{evil}{'x' * 5000}"
    client = asyncio.create_task(connect())
    await stand.pending()
    await eventually(lambda: bool(stand.parts.pending[0].wants), "what it wants")
    (request,) = stand.parts.pending
    for text in (request.name, request.user, request.wants, request.program):
        assert text.isprintable()
        assert len(text) <= 200
    assert len(request.user) == 64
    assert "SSH-2.0-" not in request.program
    stand.desk.approve(request.id, Approve())
    assert await asyncio.wait_for(client, PATIENCE) == "in"
    assert stand.recorded("session.exec")
    raw = stand.log.path.read_text()
    for bad in ("\\u001b", "\x1b", "\u202e", "\u200b"):
        assert bad not in raw


HOSTILE = """
import sys, paramiko
transport = paramiko.Transport(("127.0.0.1", int(sys.argv[1])))
transport.local_version = "SSH-2.0-x\\x1b[2Jy"
transport.start_client(timeout=10)
try:
    key = paramiko.Ed25519Key.from_private_key_file(sys.argv[2])
    transport.auth_publickey("\\x1b]0;owned\\x07\\u202eroot", key)
except paramiko.SSHException as error:
    print("refused", type(error).__name__)
else:
    print("let in to wait")
transport.close()
"""


async def test_hostile_user_name_and_version_of_a_client(stand: Stand) -> None:
    """OpenSSH's ssh refuses to send such names, so another client does."""
    result = await stand.run(sys.executable, "-c", HOSTILE, str(stand.port), str(stand.key().file))
    assert "refused" in result.out or "let in" in result.out, result.err
    assert stand.log.flush()
    raw = stand.log.path.read_text() if stand.log.path.exists() else ""
    for bad in ("\\u001b", "\x1b", "\u202e"):
        assert bad not in raw
    authorize(stand)
    assert (await stand.exec(stand.key(), "true")).status == 0


async def test_a_hostile_version_string(stand: Stand) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(b"SSH-2.0-\x1b[2J" + b"x" * 5000 + b"\r\n" + bytes(range(256)) * 40)
    await writer.drain()
    writer.close()
    authorize(stand)
    assert (await stand.exec(stand.key(), "true")).status == 0


async def test_kick_during_the_handshake(stand: Stand) -> None:
    """Kicked in the very moment of being let in: nothing runs."""
    marker = stand.directory / "ran"
    client = await stand.spawn(*stand.argv(stand.key(), f"touch {marker}"))
    (request,) = await stand.pending()
    await eventually(lambda: bool(stand.parts.pending[0].wants), "what it wants")
    stand.desk.approve(request.id, Approve())
    stand.desk.kick(request.client_id, Kick(message="no"))
    result = await finished(client)
    assert result.status != 0
    assert not marker.exists()
    assert not stand.parts.clients


async def test_few_wait_per_source(stand: Stand) -> None:
    names = ("a", "b", "c")
    for name in names:
        await stand.spawn(*stand.argv(stand.key(name), "true"))
    await stand.pending(3)
    result = await stand.exec(stand.key("d"), "true")
    assert (result.status, "from your address" in result.err) == (REFUSED, True)


async def test_who_waits_at_the_door_is_not_present(stand: Stand) -> None:
    waiting = await stand.spawn(*stand.argv(stand.key("a"), "cat"))
    [request] = await stand.pending(1)
    assert stand.controller.presences() == []
    stand.desk.approve(request.id, Approve())
    await stand.clients(1)
    await eventually(
        lambda: [p.busy for p in stand.controller.presences()] == [True], "the command"
    )
    await waiting.communicate(b"")


async def test_an_unused_share_stops_itself_and_a_used_one_does_not(open_stand: Open) -> None:
    stand = await open_stand(ShareSettings(rules=Rules(stop_unused=2.0, stop_idle=2.0)))
    authorize(stand)
    client = await stand.spawn(*stand.argv(stand.key(), "cat"))
    await stand.clients()
    ends = asyncio.get_running_loop().time() + 3.5
    await eventually(lambda: asyncio.get_running_loop().time() > ends, "time to pass")
    assert not stand.stopped, "a running command counts as someone"
    await client.communicate(b"")
    await eventually(lambda: bool(stand.stopped), "the end")
    assert stand.recorded("share.warning")
    assert stand.recorded("share.ended")


async def test_a_full_state_disk_is_on_record_and_mended_later(stand: Stand) -> None:
    directory = stand.directory / "state"
    moved = directory.rename(stand.directory / "elsewhere")
    stand.desk.lock(Lock(locked=True))
    assert [e.event for e in stand.controller.log.newest][-1] == "state.failed"
    stand.desk.invite(NewInvite(name="bob"))
    assert len(stand.recorded("state.failed")) == 1
    moved.rename(directory)
    await eventually(lambda: bool(stand.recorded("state.saved")), "saved again")
    assert "bob" in (directory / "invites.json").read_text()
    assert (directory / "session.json").exists()
