"""The house stays as STYLE has it: what starts without what, and how large rooms grow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent.parent / "uptui"
MAX_LINES = 500
MAX_FUNCTION_LINES = 60


@pytest.mark.parametrize("command", ["relay", "host", "status", "url"])
def test_only_the_tui_loads_textual(command: str) -> None:
    script = (
        "import sys\nfrom uptui.__main__ import main\n"
        f"sys.argv = ['uptui', {command!r}, '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', sorted(m for m in sys.modules if m.split('.')[0] == 'textual'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_relay_and_host_modules_do_not_load_textual() -> None:
    script = (
        "import sys, uptui.relay.server, uptui.host.daemon\n"
        "print([m for m in sys.modules if m.split('.')[0] == 'textual'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_host_and_tui_start_without_pydantic() -> None:
    script = (
        "import sys, uptui.host.daemon, uptui.app\n"
        "heavy = ('pydantic', 'fastapi', 'sqlalchemy')\n"
        "print([m for m in sys.modules if m.split('.')[0] in heavy])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_files_and_functions_stay_small() -> None:
    large: list[str] = []
    for path in sorted(SOURCE.rglob("*.py")):
        if path.parent.name == "versions":
            continue  # a migration is one list of statements
        text = path.read_text()
        if text.count("\n") > MAX_LINES:
            large.append(f"{path.relative_to(SOURCE)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    large.append(f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}: {length}")
    assert large == []


def test_every_module_says_its_job() -> None:
    silent = [
        str(path.relative_to(SOURCE))
        for path in sorted(SOURCE.rglob("*.py"))
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
