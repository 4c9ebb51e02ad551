"""The house stays as STYLE has it: what starts without what, and how large rooms grow."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

SOURCE = Path(__file__).parent.parent.parent / "uptui"
MAX_LINES = 500
MAX_FUNCTION_LINES = 60
METAPHORS = re.compile(
    "(board|crossing|desk|door|drawn|estate|farewell|gate|inbox|joint|ledger|leg|lifeline|namebook"
    "|outlet|reception|seat|switchboard|wall|walled)s?|rooms"
)
"""Words that once stood in names where the field has a word of its own (docs/paths.md)."""


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


def test_every_attack_that_the_threat_model_names_is_there() -> None:
    """Each promise of docs/security.md names a test, each test a file, and in it what is named."""
    text = (SOURCE.parent / "docs" / "security.md").read_text()
    table = text.split("## Which attack tests which promise")[1].split("\n\n")[1]
    rows = [row.split("|")[1:3] for row in table.splitlines()[2:]]
    assert len(rows) > 30
    for promise, attacks in rows:
        named = re.findall(r"`([^`]+)`", attacks)
        assert named, promise
        folder = Path()
        for name in named:
            where, _, test = name.partition("::")
            path = Path(where) if "/" in where else folder / where
            folder = path.parent
            found = SOURCE.parent / path
            assert found.exists(), f"{promise}: {name}"
            assert not test or f"def {test}(" in found.read_text(), f"{promise}: {name}"


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


def test_names_of_modules_and_classes_are_the_fields_words() -> None:
    found: list[str] = []
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE).with_suffix("")
        classes = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef))
        for name in (*place.parts, *(node.name for node in classes)):
            words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
            if any(METAPHORS.fullmatch(word.lower()) for word in words):
                found.append(f"{place}: {name}")
    assert found == []


def test_a_class_name_means_one_thing() -> None:
    """A wire model and its domain object are told apart by a suffix, so a name can be looked up."""
    places: dict[str, list[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(SOURCE)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions count; those for type checkers alone do not run."""
    graph = grimp.build_graph("uptui", cache_dir=None, exclude_type_checking_imports=True)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    while leaves := {name for name, below in imports.items() if not below}:
        imports = {n: below - leaves for n, below in imports.items() if n not in leaves}
    while unused := imports.keys() - {name for below in imports.values() for name in below}:
        imports = {name: below for name, below in imports.items() if name not in unused}
    assert imports == {}, "these import each other"


def test_each_promise_names_tests_that_are_there() -> None:
    """docs/security.md: what attacks a promise can be found and run."""
    page = (SOURCE.parent / "docs" / "security.md").read_text()
    folder, missing = Path(), list[str]()
    for name in re.findall(r"`((?:tests/[\w/]*)?(?:test_\w+\.py(?:::\w+)?)|tests/[\w/*]+)`", page):
        file, _, test = name.partition("::")
        path = SOURCE.parent / file if file.startswith("tests/") else folder / file
        folder = path.parent
        if file.endswith("*"):
            continue
        if not path.exists() or (test and f"def {test}(" not in path.read_text()):
            missing.append(name)
    assert missing == []


def test_each_library_we_import_is_declared() -> None:
    """What another library happens to bring may be gone with its next version."""
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["postgres"]]
    declared = {re.split(r"[^\w-]", line)[0].lower() for line in wanted}
    imported: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    foreign = imported - sys.stdlib_module_names - {"uptui", "_typeshed"}
    owners = packages_distributions()
    assert {
        name
        for name in foreign
        if not {one.lower().replace("_", "-") for one in owners[name]} & declared
    } == set()


def test_each_page_is_in_the_index() -> None:
    docs = SOURCE.parent / "docs"
    index = (docs / "README.md").read_text()
    assert [page.name for page in docs.glob("*.md") if f"({page.name})" not in index] == [
        "README.md"
    ]
