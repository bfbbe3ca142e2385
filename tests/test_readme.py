"""The README is true: its table of confs, its tree, its commands."""

import re
import shlex
from pathlib import Path

import pytest

from arena.config import CONF, confs, verb_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = README.splitlines() + [
    line
    for path in sorted(ROOT.glob("arena/*/README.md"))
    for line in path.read_text(encoding="utf-8").splitlines()
]
"""Of this README and those of the rooms."""


def conf_row(name: str) -> str:
    """The row of the table that a conf's first line makes."""
    head = (CONF / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    what, needs, takes = (part.strip() for part in head.removeprefix("#").split("|"))
    return f"| `{name}` | `arena.{verb_of(name)}` | {what} | {needs} | {takes} |"


def block(name: str) -> str:
    """What stands between the marks of a name."""
    match = re.search(rf"<!-- {name} -->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert match, name
    return match.group(1)


def test_the_table_of_confs_is_what_the_confs_say() -> None:
    """Every conf has its row, in the order of the files, and no other row stands there."""
    rows = [line for line in block("confs").splitlines() if line.startswith("| `")]
    assert rows == [conf_row(name) for name in confs()]


@pytest.mark.parametrize("name", ["run command", "test command"])
def test_the_two_commands_stand_in_the_readme(name: str) -> None:
    """One line each, that begins with setting up."""
    lines = [line for line in block(name).splitlines() if not line.startswith("```")]
    assert len(lines) == 1
    assert lines[0].startswith("pip install torch==2.13.0 && pip install -e")


COMMANDS = {
    "run": 1, "collect": 4, "revise": 4, "train": 6, "evaluate": 6, "chat": 2, "serve": 2, "judge": 3,
    "study": 2,
}  # fmt: skip
"""The fewest commands of each verb that the README shows."""
SCHEMA = {"judge": "calibration"}
"""Verbs whose settings have another name."""


@pytest.mark.parametrize(("verb", "least"), COMMANDS.items())
def test_every_override_in_a_command_is_a_key(verb: str, least: int) -> None:
    """The commands of the README compose."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from arena.config import register

    register()
    commands = [line for line in LINES if line.startswith(f"python -m arena.{verb}")]
    assert len(commands) >= least
    for command in commands:
        overrides = [word for word in shlex.split(command, comments=True)[3:] if "=" in word]
        if any("NAME" in word for word in overrides):
            continue
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            assert "agents" in compose(SCHEMA.get(verb, verb), overrides=overrides)


def test_nothing_is_left_to_be_filled_in() -> None:
    """No line is one word in capitals, no marker and no note to the author is left."""
    assert [
        line for line in LINES if re.fullmatch(r"[A-Z]{4,}|.*@@.*|.*(TODO|NOT YET|put .* here).*", line)
    ] == []
    for path in sorted(ROOT.glob("arena/*/README.md")):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 80]
        assert len(lines) == len(set(lines)), f"{path.name} of {path.parent.name} says something twice"


def test_files_that_the_readme_names_exist() -> None:
    """Every path in backticks that looks like one of ours."""
    for path in re.findall(r"`((?:agents|arena|rewards|conf|jobs|tests)/[\w./]+)`", README):
        if path != "conf/agent/mine.yaml":
            assert (ROOT / path).exists(), path


def test_the_tree_in_the_readme_is_the_tree_on_disk() -> None:
    """The rooms, one line each."""
    tree = re.search(r"## The house\n\n```\n(.*?)```", README, re.DOTALL)
    assert tree
    named = re.findall(r"^(\w+)/", tree.group(1), re.MULTILINE)
    assert named == ["agents", "rewards", "arena", "conf", "jobs", "tests"]
    assert all((ROOT / name).is_dir() for name in named)
