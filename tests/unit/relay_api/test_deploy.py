"""What lies in deploy/ is well-formed, hardened, and starts a relay with flags that exist."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from uptui.cli.context import flags_given
from uptui.cli.relay import relay
from uptui.config import load

DEPLOY = Path(__file__).parents[3] / "deploy"
UNIT = DEPLOY / "systemd" / "uptui-relay.service"
SOCKET = DEPLOY / "systemd" / "uptui-relay.socket"


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def exec_start() -> list[str]:
    [line] = re.findall(r"^ExecStart=(.*)$", UNIT.read_text(), re.MULTILINE)
    return shlex.split(line)


def docker_instructions() -> list[tuple[str, str]]:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in kept]


def command_lines() -> dict[str, list[str]]:
    """The arguments of `uptui relay` in each way of deploying."""
    compose = documents(DEPLOY / "compose.yaml")[0]["services"]["relay"]["command"]
    filled = [re.sub(r"\$\{RELAY_HOST:[^}]*\}", "relay.example", word) for word in compose]
    [stateful] = [d for d in documents(DEPLOY / "kubernetes" / "relay.yaml")
                  if d["kind"] == "StatefulSet"]  # fmt: skip
    container = stateful["spec"]["template"]["spec"]["containers"][0]
    image = dict(docker_instructions())["CMD"]
    return {
        "compose": filled,
        "kubernetes": container["args"],
        "systemd": exec_start()[2:],
        "docker": yaml.safe_load(image),
    }


@pytest.mark.parametrize("way", ["compose", "kubernetes", "systemd", "docker"])
def test_the_command_line_is_one_that_the_relay_takes(way: str, tmp_path: Path) -> None:
    arguments = command_lines()[way]
    context = relay.make_context("relay", list(arguments))
    settings = load(tmp_path / "none.toml", {}, flags_given(context.params))
    assert settings.relay.ssh is not None
    assert settings.relay.ssh.port == 2222


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    program = exec_start()[0]
    runnable = UNIT.read_text().replace(program, sys.executable)
    (tmp_path / UNIT.name).write_text(runnable)
    shutil.copy(SOCKET, tmp_path)
    command = [
        "systemd-analyze",
        "verify",
        "--man=no",
        tmp_path / UNIT.name,
        tmp_path / SOCKET.name,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "uptui-relay" in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


def test_systemd_finds_the_unit_well_hardened(tmp_path: Path) -> None:
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace(exec_start()[0], sys.executable))
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager",
               tmp_path / UNIT.name]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_the_sockets_are_those_the_relay_listens_on() -> None:
    arguments = exec_start()
    wanted = {arguments[arguments.index(flag) + 1] for flag in ("--http", "--ssh")}
    assert set(re.findall(r"^ListenStream=(.*)$", SOCKET.read_text(), re.MULTILINE)) == wanted


def test_the_image_runs_unprivileged_from_pinned_bases() -> None:
    instructions = docker_instructions()
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "EXPOSE", "STOPSIGNAL",
             "HEALTHCHECK", "ENTRYPOINT", "CMD"}  # fmt: skip
    assert {name for name, _ in instructions} <= known
    for name, value in instructions:
        if name == "FROM":
            assert re.search(r":[0-9.]+", value), value
        if name in {"ENTRYPOINT", "CMD"}:
            assert value.startswith("["), value
        if name == "COPY" and not value.startswith("--from"):
            for source in value.split()[:-1]:
                assert (DEPLOY.parent / source).exists(), source
    users = [n for n, (name, _) in enumerate(instructions) if name == "USER"]
    assert users
    assert not [name for name, _ in instructions[users[-1] :] if name in {"RUN", "COPY"}]


def test_the_compose_file_is_whole() -> None:
    [compose] = documents(DEPLOY / "compose.yaml")
    assert set(compose["services"]) == {"relay", "caddy"}
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).is_file()
            else:
                assert source in compose["volumes"]
    relay_port = compose["services"]["relay"]["command"][0].removeprefix("--http=")
    assert relay_port in (DEPLOY / "Caddyfile").read_text()


def test_the_kubernetes_objects_refer_to_each_other() -> None:
    found = documents(DEPLOY / "kubernetes" / "relay.yaml")
    kinds = [item["kind"] for item in found]
    assert sorted(kinds) == ["Ingress", "Namespace", "PersistentVolumeClaim", "Secret", "Service",
                             "Service", "StatefulSet"]  # fmt: skip
    by_kind = {item["kind"]: item for item in found}
    for item in found:
        assert item["apiVersion"]
        assert item["metadata"]["name"]
        if item["kind"] != "Namespace":
            assert item["metadata"]["namespace"] == by_kind["Namespace"]["metadata"]["name"]
    pod = by_kind["StatefulSet"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    for service in (item for item in found if item["kind"] == "Service"):
        assert service["spec"]["selector"] == pod["metadata"]["labels"]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    key = container["env"][0]["valueFrom"]["secretKeyRef"]
    assert key["key"] in by_kind["Secret"]["stringData"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
