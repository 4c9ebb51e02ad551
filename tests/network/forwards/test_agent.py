"""Agent forwarding with a real ssh-agent."""

import asyncio
import stat
from pathlib import Path

from tests.network.files.host import Running


async def test_agent_answers_through_the_connection(box: Running) -> None:
    sock = box.directory / "agent"
    agent = await asyncio.create_subprocess_exec(
        "ssh-agent", "-D", "-a", sock, stdout=asyncio.subprocess.DEVNULL
    )
    env = {"SSH_AUTH_SOCK": str(sock)}
    try:
        async with asyncio.timeout(10):
            while not sock.exists():
                await asyncio.sleep(0.01)
        added = await box.run("ssh-add", box.key, env=env)
        assert added.code == 0, added
        forward = box.ssh("-A", "-o", f"IdentityAgent={sock}", "box")
        listed = await box.run(*forward, "ssh-add -l", env=env)
        assert listed.code == 0, listed
        assert b"ED25519" in listed.out
        shown = await box.run(
            *forward, 'stat -c %a "$SSH_AUTH_SOCK" "$(dirname "$SSH_AUTH_SOCK")"', env=env
        )
        assert shown.out.split() == [b"600", b"700"]
        path = await box.run(*forward, 'echo "$SSH_AUTH_SOCK"', env=env)
        left = Path(path.out.decode().strip())
        async with asyncio.timeout(10):
            while left.parent.exists():
                await asyncio.sleep(0.01)
    finally:
        agent.terminate()
        await agent.wait()


async def test_agent_outlives_the_session_that_asked(box: Running) -> None:
    sock = box.directory / "agent"
    agent = await asyncio.create_subprocess_exec(
        "ssh-agent", "-D", "-a", sock, stdout=asyncio.subprocess.DEVNULL
    )
    control = ["-o", f"ControlPath={box.directory}/cm", "-o", f"IdentityAgent={sock}", "-A"]
    env = {"SSH_AUTH_SOCK": str(sock)}
    master = await asyncio.create_subprocess_exec(
        *box.ssh(*control, "-M", "-N", "box"), env={**box.env, **env}
    )
    try:
        async with asyncio.timeout(10):
            while not (sock.exists() and (box.directory / "cm").exists()):
                await asyncio.sleep(0.01)
        first = await box.run(*box.ssh(*control, "box", 'echo "$SSH_AUTH_SOCK"'), env=env)
        path = Path(first.out.decode().strip())
        assert stat.S_ISSOCK(path.stat().st_mode)
        second = await box.run(
            *box.ssh(*control, "box", f"SSH_AUTH_SOCK={path} ssh-add -l"), env=env
        )
        assert b"no identities" in second.out
    finally:
        for process in (master, agent):
            process.terminate()
            await process.wait()
