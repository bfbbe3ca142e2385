"""The house: one direction of imports, sizes, names, and nothing that belongs to one site."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("agents", "rewards", "arena")
"""Each may import itself and those before it."""

FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
NAMES = [path.relative_to(ROOT).as_posix() for path in FILES]
TOP = {
    "agents", "rewards", "arena", "conf", "jobs", "tests", "logs", ".ci",
    "README.md", "LICENSE", "setup.cfg", "pyproject.toml", ".gitignore",
}  # fmt: skip
MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_LETTERS = 300, 60, 300
KNOWS_HYDRA = {"arena/config.py", "arena/command.py"}
"""Beside modules with a `main`."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(name: str) -> ast.Module:
    """The syntax of one of our files."""
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imported(name: str) -> set[str]:
    """Every module that a file imports, wherever it does, in full."""
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}, line {node.lineno}: imports name their room"
            found.add(node.module or "")
    return found


def functions(name: str) -> Iterator[Function]:
    """All functions and methods of a file."""
    return (node for node in ast.walk(tree(name)) if isinstance(node, Function))


def docstrings(name: str) -> set[ast.expr]:
    """The string expressions that document a module, class, function, field or constant."""
    return {
        statement.value
        for node in ast.walk(tree(name))
        if isinstance(body := getattr(node, "body", None), list)
        for statement in body
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    }


@cache
def listed() -> list[str]:
    """Every file that is tracked or would be, as git sees it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return sorted(name for name in done.stdout.splitlines() if (ROOT / name).is_file())


@pytest.mark.parametrize("name", NAMES)
def test_imports_go_one_way(name: str) -> None:
    """Agents, rewards, arena: each from those before it; nothing imports conf, jobs or tests."""
    room = name.partition("/")[0]
    allowed = ROOMS[: ROOMS.index(room) + 1]
    ours = {module.partition(".")[0] for module in imported(name)} & {*ROOMS, "conf", "jobs", "tests"}
    assert ours <= set(allowed)


@pytest.mark.parametrize("name", NAMES)
def test_only_commands_know_hydra(name: str) -> None:
    """Functions and classes take objects and plain values."""
    knows = {module.partition(".")[0] for module in imported(name)} & {"hydra", "omegaconf"}
    has_main = any(function.name == "main" for function in functions(name))
    assert not knows or has_main or name in KNOWS_HYDRA or name.startswith("arena/schemas/")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_short(name: str) -> None:
    """300 lines."""
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", NAMES)
def test_a_function_is_short(name: str) -> None:
    """60 lines."""
    lengths = {f.name: (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions(name)}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES_OF_A_FUNCTION} == {}


def test_functions_are_short_on_the_whole() -> None:
    """Half of them have 12 lines or fewer."""
    lengths = sorted((f.end_lineno or f.lineno) - f.lineno + 1 for name in NAMES for f in functions(name))
    assert lengths[len(lengths) // 2] <= 12


def test_no_module_hides_one_of_the_standard_library() -> None:
    """`python arena/run.py` puts its own folder first."""
    assert {path.stem for path in FILES} & sys.stdlib_module_names == set()


@pytest.mark.parametrize("name", NAMES)
def test_long_texts_are_files(name: str) -> None:
    """No string of more than 300 characters, but for docstrings."""
    documents = docstrings(name)
    long = [
        node.lineno
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if len(node.value) > MOST_LETTERS and node not in documents
    ]
    assert long == []


def test_the_top_holds_nothing_else() -> None:
    """Rooms, confs, jobs, tests, and what packaging needs."""
    assert {name.partition("/")[0] for name in listed()} <= TOP


def test_no_path_of_one_site_is_in_the_tree() -> None:
    """Homes, scratch disks and workplaces of somebody; Ada of the tests is nobody."""
    site = re.compile(
        r"(?<![\w.}/~*])/(?!home/ada\b)(?:home|Users|root|scratch|work|mnt|lustre|gpfs|project|data)/\w"
    )
    found = {}
    for name in listed():
        lines = (ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines()
        hits = [number for number, line in enumerate(lines, start=1) if site.search(line)]
        if hits and name != "tests/test_house.py":
            found[name] = hits
    assert found == {}


@pytest.mark.parametrize(
    "path",
    sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.txt")),
    ids=lambda path: path.name,
)
def test_every_text_is_used(path: Path) -> None:
    """Its name stands in a conf, in a default, or in the README."""
    name = path.stem if path.parent.name == "prompts" else path.name
    used = re.compile(rf'["\':{{`=/ ]{re.escape(name)}(?:\.txt)?["\'}}`\s]')
    texts = [*FILES, *(ROOT / "conf").rglob("*.yaml"), ROOT / "README.md"]
    assert any(used.search(text.read_text(encoding="utf-8")) for text in texts)


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--quiet", "."],
        ["ruff", "format", "--check", "--quiet", "."],
        pytest.param(["mypy"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_the_checks_pass(command: list[str]) -> None:
    """Style, form and types."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
