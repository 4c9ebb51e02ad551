"""What a client that nobody has let in can make the host hold: channels, bytes, requests."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncssh
from asyncssh.constants import MSG_CHANNEL_REQUEST, MSG_GLOBAL_REQUEST
from asyncssh.packet import Boolean, String, UInt32

from tests.network.ssh.conftest import Served, Server, new_key, until
from uptui.host.sshd.access_control import Grant
from uptui.host.sshd.settings import SshLimits, SSHSettings
from uptui.ssh.odd_requests import MIN_DATA_PACKET

LIMITS = SshLimits()


def undecided(served: Served) -> "asyncio.Future[Grant]":
    served.gate.decision = asyncio.get_running_loop().create_future()
    return served.gate.decision


@asynccontextmanager
async def stranger(served: Served) -> AsyncGenerator[asyncssh.SSHClientConnection]:
    async with asyncssh.connect(
        "127.0.0.1", served.port, username="me", known_hosts=None, config=None,
        client_keys=[new_key()], agent_path=None,
    ) as client:  # fmt: skip
        yield client


async def opened(client: asyncssh.SSHClientConnection, count: int) -> tuple[list[Any], int]:
    """Open session channels and ask nothing on them: those that opened, and how many failed."""
    made: list[Any] = []
    refused = 0
    for _ in range(count):
        channel = cast("Any", asyncssh.channel.SSHClientChannel)(
            client, asyncio.get_running_loop(), "strict", None, "strict", 1 << 20, 1 << 15
        )
        try:
            await channel._open(b"session")
        except asyncssh.ChannelOpenError:
            refused += 1
        else:
            made.append(channel)
    return made, refused


async def test_a_stranger_gets_few_channels_with_small_windows(served: Served) -> None:
    decision = undecided(served)
    async with stranger(served) as client:
        made, refused = await opened(client, LIMITS.channels_undecided + 8)
        assert (len(made), refused) == (LIMITS.channels_undecided, 8)
        assert {channel._send_window for channel in made} == {LIMITS.window_undecided}
        decision.set_result(served.gate.grant)
        await until(lambda: cast("Any", served.gate.guests[0]).grant is not None)
        more, refused = await opened(client, 8)
        assert (len(more), refused) == (8, 0)
        assert {channel._send_window for channel in more} == {LIMITS.window}


async def test_channels_that_ask_for_nothing_count(server: Server) -> None:
    served = await server.serve(SSHSettings(limits=SshLimits(channels=5)))
    async with stranger(served) as client:
        made, refused = await opened(client, 9)
        assert (len(made), refused) == (5, 4)


async def test_who_waited_may_send_as_fast_as_others_afterwards(served: Served) -> None:
    decision = undecided(served)
    sent = bytes(range(256)) * 4096 * 4
    async with stranger(served) as client:
        process = await client.create_process("cat", encoding=None)
        process.stdin.write(sent)
        process.stdin.write_eof()
        await until(lambda: any("cat" in what for what in served.gate.asked))
        decision.set_result(served.gate.grant)
        out, _ = await process.communicate()
        assert out == sent
        assert cast("Any", process.channel)._send_window > LIMITS.window_undecided


async def test_global_requests_of_a_stranger_do_not_pile_up(served: Served) -> None:
    undecided(served)
    async with stranger(served) as client:
        packet = String("tcpip-forward") + Boolean(True) + String("localhost") + UInt32(0)
        for _ in range(LIMITS.requests_waiting + 50):
            client.send_packet(MSG_GLOBAL_REQUEST, packet)
        await asyncio.wait_for(client.wait_closed(), 10)
    await until(lambda: served.gate.gone != [])
    assert "too many global requests" in served.gate.gone[0]


async def test_channel_requests_of_a_stranger_do_not_pile_up(served: Served) -> None:
    undecided(served)
    async with stranger(served) as client:
        (channel,), _ = await opened(client, 1)
        agent = String("auth-agent-req@openssh.com") + Boolean(False)
        for _ in range(LIMITS.requests_waiting + 50):
            client.send_packet(MSG_CHANNEL_REQUEST, UInt32(channel._send_chan) + agent)
        await asyncio.wait_for(client.wait_closed(), 10)
    await until(lambda: served.gate.gone != [])
    assert "too many requests wait" in served.gate.gone[0]


async def test_a_client_that_takes_tiny_packets_leaves_the_loop_to_the_others(
    served: Served,
) -> None:
    size = 40_000_000
    got = bytearray()

    class Session(asyncssh.SSHClientSession[bytes]):
        def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
            got.extend(data)

    async with stranger(served) as client:
        channel = cast("Any", asyncssh.channel.SSHClientChannel)(
            client, asyncio.get_running_loop(), None, None, "strict", 64 << 20, MIN_DATA_PACKET
        )
        await channel._open(b"session")
        channel._session = Session()
        channel.resume_reading()
        await channel._make_request(b"exec", String(f"head -c {size} /dev/zero"))
        await until(lambda: len(got) > 0)
        other = await served.ssh("--", "echo other")
        assert other.out == b"other\n"
        assert len(got) < size
        await until(lambda: len(got) == size)
