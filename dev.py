#!/usr/bin/env python3
"""Set up everything and run a task: `python3 dev.py run`, `test`, `check`, `faults`, `clients` or
`audit`.

Needs only Python >= 3.11. Makes `.venv` beside this file and installs what uv.lock pins.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
TOOLS = ROOT / ".venv-tools"
UV = "uv>=0.9,<1"
PIP_AUDIT = "pip-audit>=2.10,<3"
BLACK_HOLES = "tests/network/isolated/test_black_hole.py"
PARALLEL = ["-n", "3", "--dist", "loadfile", "-m", "not alone"]
"""Three test processes: the tests wait for real programs more than they compute."""
ALONE = ["-m", "alone"]
"""What measures how an honest session fares beside an attack has the machine to itself."""
TESTS_FAILED = 1
"""pytest's exit status when everything ran and some tests failed."""
RETRIED = 3
"""So many failed tests at most are run once more, without others beside them, as CPython's own
test program does; each that passes then is named, and is a fault to mend. More are no accident."""
DEBIAN_PACKAGES = ROOT / "tests" / "debian-packages.txt"
CLIENT_PACKAGES = ROOT / "tests" / "clients" / "debian-packages.txt"


def _say(text: str) -> None:
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


def _uv() -> list[str]:
    """The uv command: the one on PATH, or one installed into its own environment."""
    found = shutil.which("uv")
    if found:
        return [found]
    python = TOOLS / "bin" / "python"
    if not (TOOLS / "bin" / "uv").exists():
        _say("setting up uv in .venv-tools")
        try:
            venv.create(TOOLS, with_pip=True, clear=True)
        except subprocess.CalledProcessError:
            sys.exit(
                "dev.py: this Python has no ensurepip; on Debian: apt-get install python3-venv"
            )
        subprocess.run([python, "-m", "pip", "install", "--quiet", UV], check=True)
    return [str(TOOLS / "bin" / "uv")]


def _sync(*groups: str) -> None:
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(VENV), "UV_NO_PROGRESS": "1"}
    flags = ["--frozen", "--quiet", "--compile-bytecode", "--python", sys.executable]
    command = [*_uv(), "sync", *flags, *groups]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def _debian_packages(*further: Path) -> None:
    """Install the real clients and servers that the tests drive, when this is a Debian as root."""
    wanted = [
        line.strip()
        for file in (DEBIAN_PACKAGES, *further)
        for line in file.read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    known = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Status}\n"],
        capture_output=True,
        text=True,
        check=False,
    )
    present = {line.split()[0] for line in known.stdout.splitlines() if line.endswith(" installed")}
    if shutil.which("npm") is None:
        wanted += ["nodejs", "npm"]
    missing = [name for name in wanted if name not in present]
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.exit(f"dev.py: the tests need these Debian packages: {' '.join(missing)}")
    _say(f"installing {' '.join(missing)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet, stdout=subprocess.DEVNULL)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
        check=True,
        env=quiet,
        stdout=subprocess.DEVNULL,
    )


def _node_packages() -> None:
    """Install the npm clients that the tests drive."""
    folder = ROOT / "tests" / "node"
    if shutil.which("npm") is None:
        sys.exit("dev.py: the tests need npm, for the client ssh2; on Debian: apt-get install npm")
    subprocess.run(["npm", "ci", "--silent", "--no-fund", "--no-audit"], cwd=folder, check=True)


def _in_venv(*command: str) -> int:
    environment = {**os.environ, "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the tests start uptui hundreds of times
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def run(arguments: list[str]) -> int:
    """Start uptui with these arguments."""
    _sync("--no-dev")
    os.execv(VENV / "bin" / "uptui", ["uptui", *arguments])  # noqa: S606 - this is our own program


def check(_arguments: list[str]) -> int:
    """Linter, types and import contracts."""
    _sync("--all-groups")
    commands = (["ruff", "check"], ["ruff", "format", "--check"], ["pyright"], ["lint-imports"])
    return max(_in_venv(*command) for command in commands)


def test(arguments: list[str]) -> int:
    """Install what the tests need, check the sources, run every test; `unit` is the fast ring."""
    if arguments == ["unit"]:
        _sync("--all-groups")
        return _in_venv("pytest", "-q", "-n", "2", "--dist", "loadfile", "tests/unit")
    _debian_packages()
    _sync("--all-groups")
    _node_packages()
    if not arguments and (failed := check([])):
        return failed
    if arguments:
        return _in_venv("pytest", *arguments)
    return max(_ring(*ring) for ring in (PARALLEL, ALONE))


def _ring(*selection: str) -> int:
    """Run these tests; the few that fail beside others are run once more by themselves."""
    status = _in_venv("pytest", "--cache-clear", *selection)
    failed = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
    names = list(json.loads(failed.read_text())) if failed.exists() else []
    if status != TESTS_FAILED or not 0 < len(names) <= RETRIED:
        return status
    _say(f"once more, without others beside them: {' '.join(names)}")
    if status := _in_venv("pytest", *names):
        return status
    _say(f"UNSTABLE, failed once and passed then: {' '.join(names)}")
    return 0


def faults(arguments: list[str]) -> int:
    """Every fault at full length, about ten minutes; writes the table of docs/reliability.md."""
    _debian_packages()
    _sync("--all-groups")
    os.environ["UPTUI_FAULTS"] = "whole"
    return _in_venv("pytest", *(arguments or ["tests/faults", BLACK_HOLES]))


def clients(arguments: list[str]) -> int:
    """Every family of clients, also those that CI does not install."""
    _debian_packages(CLIENT_PACKAGES)
    _sync("--all-groups")
    os.environ["UPTUI_CLIENTS"] = "whole"
    return _in_venv("pytest", *(arguments or ["tests/clients"]))


def audit(arguments: list[str]) -> int:
    """Write dist/sbom.cdx.json, and ask PyPI for known vulnerabilities of what uv.lock pins."""
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)
    locked = ["export", "--frozen", "--quiet", "--no-dev", "--all-extras", "--no-emit-project"]
    sbom, pins = dist / "sbom.cdx.json", dist / "pins.txt"
    for form, file in (("cyclonedx1.5", sbom), ("requirements.txt", pins)):
        command = [*_uv(), *locked, "--format", form, "--output-file", str(file)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    _say(f"the bill of materials is {sbom.relative_to(ROOT)}")
    command = [*_uv(), "tool", "run", PIP_AUDIT, "--strict", "--disable-pip", "-r", str(pins)]
    return subprocess.run([*command, *arguments], cwd=ROOT, check=False).returncode


TASKS = {
    "run": run,
    "check": check,
    "test": test,
    "faults": faults,
    "clients": clients,
    "audit": audit,
}


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - said here before anything fails obscurely
        sys.exit("dev.py: uptui needs Python 3.11 or newer")
    name, *arguments = sys.argv[1:] or ["run"]
    if name not in TASKS:
        sys.exit(f"dev.py: unknown task {name!r}; there are {', '.join(TASKS)}")
    try:
        return TASKS[name](arguments)
    except subprocess.CalledProcessError as error:
        sys.exit(f"dev.py: {Path(error.cmd[0]).name} failed, see above ({error.returncode})")


if __name__ == "__main__":
    sys.exit(main())
