"""Strings: what each way gives, quoting, IPv6, and editors that know no jump host."""

import json
import shlex
from urllib.parse import parse_qs, urlsplit

import pytest

from uptui.core.connect_strings import FORMATS, Target, strings
from uptui.protocol.host_api import JumpWay, PlainWay, PortWay, Ways

TARGET = Target("demo-box", "demo-box", "/home/me/my work", ("ssh-ed25519 AAAA", "ssh-rsa BBBB"))
PORT = PortWay(host="relay.example", port=20017, user="demo-box")
JUMP = JumpWay(host="relay.example", port=2222, user="jump", target="demo-box")
PLAIN = PlainWay(host="relay.example", port=2222, user="demo-box")


def of(**ways: object) -> dict[str, str]:
    return strings(TARGET, Ways(**ways)).strings  # pyright: ignore[reportArgumentType]


def test_all_formats_in_order_with_all_ways() -> None:
    assert tuple(of(port=PORT, jump=JUMP, plain=PLAIN)) == FORMATS


def test_by_jump_only_the_user_name_has_the_secret() -> None:
    said = JumpWay(host="relay.example", port=2222, user="jump", target="inv-p", login="inv-p-s")
    found = of(jump=said)
    assert found["ssh"] == "ssh -J jump@relay.example:2222 inv-p-s@inv-p"
    assert found["scp"] == "scp -J jump@relay.example:2222 FILE inv-p-s@inv-p:"
    assert "    HostName inv-p\n" in found["ssh_config"]
    assert "    User inv-p-s\n" in found["ssh_config"]
    assert found["known_hosts"].startswith("inv-p ssh-ed25519")
    everywhere = " ".join(found.values())
    assert everywhere.count("inv-p-s") == everywhere.count("inv-p-s@inv-p") + 1


def test_nothing_without_a_way() -> None:
    assert of() == {}


def test_the_primary_string_is_the_most_private_one_offered() -> None:
    assert of(port=PORT, jump=JUMP, plain=PLAIN)["ssh"] == "ssh -p 20017 demo-box@relay.example"
    assert of(jump=JUMP, plain=PLAIN)["ssh"] == "ssh -J jump@relay.example:2222 demo-box"
    assert of(plain=PLAIN)["ssh"] == "ssh -p 2222 demo-box@relay.example"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scp", "scp -P 20017 FILE demo-box@relay.example:"),
        ("sftp", "sftp -P 20017 demo-box@relay.example"),
        ("rsync", "rsync -a -e 'ssh -p 20017' FILES demo-box@relay.example:"),
        ("git", "git clone ssh://demo-box@relay.example:20017/home/me/my%20work"),
        (
            "vscode",
            "vscode://vscode-remote/ssh-remote+demo-box@relay.example:20017/home/me/my%20work",
        ),
        (
            "vscode-cli",
            "code --remote ssh-remote+demo-box@relay.example:20017 '/home/me/my work'",
        ),
        ("zed", "zed://ssh/demo-box@relay.example:20017/home/me/my%20work"),
        (
            "known_hosts",
            "[relay.example]:20017 ssh-ed25519 AAAA\n[relay.example]:20017 ssh-rsa BBBB",
        ),
    ],
)
def test_by_port(name: str, expected: str) -> None:
    assert of(port=PORT)[name] == expected


def test_the_default_port_is_left_out() -> None:
    way = PortWay(host="h", port=22, user="demo-box")
    found = of(port=way)
    assert found["ssh"] == "ssh demo-box@h"
    assert found["scp"] == "scp FILE demo-box@h:"
    assert found["known_hosts"].startswith("h ")


def test_the_gateway_link_carries_each_field() -> None:
    link = urlsplit(of(port=PORT)["jetbrains"])
    assert (link.scheme, link.netloc) == ("jetbrains-gateway", "connect")
    assert parse_qs(link.fragment) == {
        "type": ["ssh"],
        "deploy": ["false"],
        "host": ["relay.example"],
        "port": ["20017"],
        "user": ["demo-box"],
        "projectPath": ["/home/me/my work"],
    }


def test_by_jump_alone_editors_use_the_name_of_the_configuration_block() -> None:
    found = of(jump=JUMP)
    assert found["vscode"] == "vscode://vscode-remote/ssh-remote+demo-box/home/me/my%20work"
    assert found["ssh_config"].splitlines() == [
        "Host demo-box",
        "    HostName demo-box",
        "    ProxyJump jump@relay.example:2222",
        "    ServerAliveInterval 15",
    ]
    assert found["scp"] == "scp -J jump@relay.example:2222 FILE demo-box:"
    assert shlex.split(found["rsync"])[3] == "ssh -J jump@relay.example:2222"


def test_ipv6_is_bracketed_where_a_port_or_path_follows() -> None:
    way = PortWay(host="2001:db8::1", port=20017, user="u")
    found = of(port=way, jump=JumpWay(host="2001:db8::1", port=2222, user="jump", target="u"))
    assert shlex.split(found["ssh"]) == ["ssh", "-p", "20017", "u@2001:db8::1"]
    assert shlex.split(found["scp"])[-1] == "u@[2001:db8::1]:"
    assert shlex.split(found["ssh-jump"])[2] == "jump@[2001:db8::1]:2222"
    assert found["zed"].startswith("zed://ssh/u@[2001:db8::1]:20017/")
    assert found["known_hosts"].startswith("[2001:db8::1]:20017 ")
    coded = found["vscode"].split("+", 1)[1].split("/", 1)[0]
    assert json.loads(bytes.fromhex(coded)) == {
        "hostName": "2001:db8::1",
        "user": "u",
        "port": 20017,
    }
