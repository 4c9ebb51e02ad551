"""Whatever a relay says: the share goes on with its shell, nothing is written or printed raw."""

import functools
import gzip
import itertools
import json
import re
import subprocess
from collections.abc import Generator
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.hostile.relay.evil import INFO, WELCOME, Attack, Evil, evil_relay
from tests.network.people.conftest import Crowd, eventually
from uptui.net.fetching import MAX_ANSWER

BOMB = 200 * 1024 * 1024
MOST_RSS = 200 * 1024
"""kB that the daemon may have after it was offered BOMB."""
MOST_BYTES = f"has more than {MAX_ANSWER} bytes"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
TOKEN = "a" * 26
DIAL = {
    "type": "dial", "stream_id": "a" * 32, "way": "port", "name": TOKEN, "client_host": "::1",
    "client_port": 1, "expires_in": 5.0,
}  # fmt: skip


def welcome(**change: Any) -> str:
    return json.dumps({**WELCOME, **change})


def moved(where: str) -> Response:
    return Response(status_code=302, headers={"Location": where})


def attacks(port: int) -> list[Attack]:
    deep = '{"type":"pong","n":1,"x":' + "[" * 2000 + "]" * 2000 + "}"
    bad: list[Attack] = [
        moved("http://["),
        moved("ws://x:99999/"),
        moved(f"http://127.0.0.1:{port}/elsewhere"),
        Response(status_code=503, headers={"Retry-After": "²"}),
        Response(b"\xff\x00" * 99, status_code=403),
        [welcome(), deep],
        [welcome(), '{"type":"pong","n":' + "9" * 9000 + "}"],
        [welcome(), '{"type":"pong","n":NaN}'],
        [welcome(), b"\xff\xfe\x00"],
        [welcome(), json.dumps({**DIAL, "stream_id": "x\r\nSET pwned by-relay"})],
        [welcome(), *[json.dumps({**DIAL, "client_host": "1.2.3.4 5\r\nX"})] * 100],
        [welcome(ping_interval=-1e9, stream_tls=True, stream_host="127.0.0.1", stream_port=port),
         json.dumps(DIAL)],
        ['{"type":"goodbye","reason":"quota","message":"\\ud800\\u0000","retry_after":-1}'],
    ]  # fmt: skip
    hosts = ("a" * 70, ".", "x..y", "h\0", "[::1]", "fe80::1%\n")
    bad += [[welcome(stream_host=host, stream_port=22)] for host in hosts]
    ports = (10**30, -1, 99999)
    return bad + [[welcome(stream_host="127.0.0.1", stream_port=number)] for number in ports]


@pytest.fixture
def evil() -> Generator[Evil]:
    with evil_relay() as made:
        yield made


def again(crowd: Crowd, evil: Evil) -> None:
    """Let the host try once more, and wait until that try has met the relay."""
    before = evil.done
    crowd.api("POST", "/v1/relay/reconnect")
    eventually(lambda: evil.done > before, "another try")


def test_the_share_and_its_shell_outlive_every_answer(crowd: Crowd, evil: Evil) -> None:
    evil.attacks = [moved("http://[")]
    process = crowd.start("host", "--json", "--relay", evil.url, log="host.log")
    eventually(lambda: crowd.api_socket.exists() and evil.done, "the first answer")
    window = crowd.attach()
    window.type("echo shell-$$\n")
    shell = eventually(lambda: re.search(r"shell-(\d+)", window.seen), "a shell")[1]
    for attack in attacks(evil.port):
        evil.attacks = [attack]
        again(crowd, evil)
        assert process.poll() is None, (attack, (crowd.folder / "host.log").read_text())
    bombs_are_not_opened(crowd, evil, process.pid)
    window.type("echo 'still'-$$\n")
    window.shows(f"still-{shell}")
    crowd.api("POST", "/v1/relay/reconnect")
    eventually(lambda: crowd.snapshot()["relay"]["status"] == "up", "served at last")
    assert "Traceback" not in (crowd.folder / "host.log").read_text()


def is_refused(crowd: Crowd, words: str) -> bool:
    return words in crowd.snapshot()["relay"]["reason"]


def bombs_are_not_opened(crowd: Crowd, evil: Evil, pid: int) -> None:
    """Neither packed nor as they are."""
    packed = gzip.compress(bytes(BOMB), 9)
    for answer, words in (
        (lambda: Response(packed, headers={"Content-Encoding": "gzip"}), "is compressed"),
        (lambda: StreamingResponse(itertools.repeat(bytes(4096), BOMB // 4096)), MOST_BYTES),
        (lambda: Response(b"{}" + b" " * MAX_ANSWER), MOST_BYTES),
    ):
        for info, said in ((answer, words), (lambda: JSONResponse(INFO, 500), "HTTP 500")):
            evil.info = info
            crowd.api("POST", "/v1/relay/reconnect")
            refused = functools.partial(is_refused, crowd, said)
            eventually(refused, f"the link is lost: {said}")
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123
        peak = re.search(r"VmHWM:\s+(\d+)", status.read())
    assert peak is not None
    assert int(peak[1]) < MOST_RSS
    evil.info = lambda: JSONResponse(INFO)


def test_no_text_of_a_relay_reaches_a_file_or_terminal_as_it_is(crowd: Crowd, evil: Evil) -> None:
    block = "relay.example\n    ProxyCommand true\nHost *\n    ProxyCommand touch PWNED; exit 1 #"
    bank = "x\n* ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2Jq0PDRyyFFR6kXeCqBDMvEMXN/s0pVb3QmVBdXo2B"
    hostile = (block, bank, "h\x1b]0;owned\x07")
    evil.welcome = {**WELCOME, "ways": {"public_host": hostile[0], "ssh_port": 22}}
    evil.names = {
        "name": "demo-box", "available": False, "reason": "no\x1b[2J",
        "suggestions": ["x\x1b]0;owned\x07\n", "y\x9b6n"],
    }  # fmt: skip
    crowd.start("host", "--json", "--relay", evil.url, log="host.log")
    eventually(lambda: crowd.api_socket.exists() and evil.done, "the first answer")
    for host in hostile:
        evil.welcome = {**WELCOME, "ways": {"public_host": host, "ssh_port": 22}}
        again(crowd, evil)
        assert crowd.snapshot()["url"]["strings"] == {}
    evil.welcome = {**WELCOME, "message": "hi\x1b]0;owned\x07", "software": "\x9b6n"}
    crowd.api("POST", "/v1/relay/reconnect")
    eventually(lambda: crowd.snapshot()["url"]["strings"], "strings")
    wanted = (
        "url --all", "status", "invite alice --text", "alias check demo-box", "doctor", "log",
    )  # fmt: skip
    said = [crowd.run(*words.split()) for words in wanted]
    for done in said:
        assert not CONTROL.search(done.stdout + done.stderr), done
    assert "free: x, y" in said[3].stdout
    written(crowd)


def written(crowd: Crowd) -> None:
    """What people paste from `uptui url` says nothing about other hosts."""
    config, known = crowd.folder / "pasted", crowd.folder / "pasted_hosts"
    config.write_text(crowd.run("url", "--format", "ssh_config").stdout)
    known.write_text(crowd.run("url", "--format", "known_hosts").stdout)
    asked = ["ssh", "-G", "-F", config, "bank.example"]
    shown = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert "proxycommand" not in shown
    look = ["ssh-keygen", "-F", "bank.example", "-f", known]
    assert subprocess.run(look, capture_output=True, check=False).stdout == b""


def test_a_relay_adds_no_key_of_its_own_to_known_hosts(crowd: Crowd, evil: Evil) -> None:
    """`alias rotate-key` prints what people paste: lines of our own key for one host each."""
    ours = crowd.start("host", "--json", "--relay", evil.url, log="host.log")
    eventually(lambda: crowd.api_socket.exists() and crowd.snapshot()["url"]["strings"], "strings")
    key = crowd.snapshot()["url"]["host_key"]
    theirs = " ".join(crowd.key_of("relay").with_suffix(".pub").read_text().split()[:2])
    good = ["demo-box " + key, f"[relay.example]:2201 {key} a comment"]
    bad = [
        f"demo-box {theirs}", f"* {key}", f"demo-box,bank.example {key}", f"!x {key}",
        f"@cert-authority demo-box {key}", f"demo-box {key}\n* {theirs}", f"?emo-box {key}",
        f"demo-box\t{key}", f"|1|salt=|hash= {key}", f"# {key}", key, "", " ", f"[x]:22:1 {key}",
        f"demo-box {key.split()[0]} {theirs.split()[1]}", f"\x1b]0;owned\x07 {key}",
    ]  # fmt: skip
    evil.names = {
        "name": "demo-box", "available": False, "reason": "taken", "suggestions": [],
        "owner": "SHA256:x", "port": None, "host_key_fingerprint": None, "created_at": 1.0,
        "last_used_at": 1.0, "expires_at": 1e9, "online": True, "known_hosts": [*bad, *good],
    }  # fmt: skip
    for further in ((), ("--relay", evil.url)):
        done = crowd.run(*further, "alias", "rotate-key", "demo-box")
        assert done.returncode == 0, done
        assert done.stdout.splitlines() == [f"demo-box {key}", f"[relay.example]:2201 {key}"]
    assert ours.poll() is None
