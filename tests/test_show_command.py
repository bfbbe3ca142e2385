"""The command that shows transcripts: names, mistakes, pipes and terminals."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from example_run import CONTROL, Example, add_draft, refused, shown

from arena.show import main


def test_the_newest_dialogue_of_the_newest_run_is_shown(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run that changed last, also one of a sweep; the dialogue that was written to last."""
    for age, name in enumerate(["sweep/zeta=1", "old", "sweep/zeta=0"]):
        Example().write(runs / name)
        for file in (runs / name).glob("*.json*"):
            os.utime(file, (1e9 - age, 1e9 - age))
    text = shown(capsys)
    assert text.startswith("d0000  glaciers\n")
    assert "runs/sweep/zeta=1 · conf example · done · ada opens" in text
    add_draft(runs / "sweep/zeta=1", "d0001.04a", "bob", "Just now")
    assert shown(capsys).startswith("d0001  tariffs\n")


def test_a_run_is_named_by_its_path_or_below_runs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both mean the same folder."""
    Example().write(runs / "sweep" / "a")
    assert shown(capsys, "sweep/a") == shown(capsys, "runs/sweep/a/")


def test_a_filter_or_a_name_can_not_command_the_terminal(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error repeats what was typed."""
    Example().write(runs / "a")
    for arguments in (["\x1b[2J"], ["a", "\x1b[2J"], ["--where", "\x1b[2J"], ["--as", "\x1b[2J"]):
        assert not CONTROL.search(refused(capsys, *arguments).rstrip("\n"))


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["exampel"], "'exampel' is no run, did you mean 'example'? runs here: example, sweep/zeta=0"),
        (["sweep"], "'sweep' is no run but holds 1: name one, runs/sweep/zeta=0"),
        (["example", "d001"], "'d001' is no dialogue of 'runs/example', did you mean 'd0001'? there is"),
        (["example", "x"], "'x' is no dialogue of 'runs/example'; there is d0000 to d0001, or all"),
        (["example", "--as", "adda"], "'adda' has not spoken, did you mean 'ada'? these have: ada, bob"),
        (["d0001"], "for d0001 of the newest run: python -m arena.show runs/example d0001"),
        (["--as", "ada", "--where", "turn=1"], "take one of them"),
    ],
)
def test_a_mistyped_name_is_answered_with_what_there_is(
    arguments: list[str], answer: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2."""
    for name in ("sweep/zeta=0", "example"):
        Example().write(runs / name)
    os.utime(runs / "sweep/zeta=0/run.json", (1, 1))
    os.utime(runs / "sweep/zeta=0/turns.jsonl", (1, 1))
    assert answer in refused(capsys, *arguments)


def test_without_runs_the_way_to_one_is_told(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was run here yet."""
    assert "no runs in 'runs' here: start one with python -m arena.run" in refused(capsys)


def test_a_run_without_turns_is_no_mistake_of_the_user(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1: look again later."""
    (runs / "a").mkdir(parents=True)
    (runs / "a" / "turns.jsonl").touch()
    assert main([]) == 1
    assert "has no turns to show: look again when the first drafts" in capsys.readouterr().err


def test_reading_loads_neither_torch_nor_hydra(example: str) -> None:
    """So that it answers at once."""
    script = (
        "from arena.show import main; import sys; main(); "
        "print({'torch', 'hydra', 'transformers'} & {m.partition('.')[0] for m in sys.modules})"
    )
    command = [sys.executable, "-c", script, example]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.endswith("\nset()\n")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_who_leaves_ends_it_quietly(form: list[str], example: str) -> None:
    """As with `| head -1`."""
    command = [sys.executable, "-m", "arena.show", example, "all", *form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def on_terminal(*arguments: str, **environment: str) -> str:
    """What the command writes where input and output are a terminal."""
    outer, inner = pty.openpty()
    known = {
        key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "LESS")
    }
    env = known | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"} | environment
    command = [sys.executable, "-m", "arena.show", *arguments]
    with subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, env=env) as process:
        os.close(inner)
        text = b""
        try:
            while chunk := os.read(outer, 4096):
                text += chunk
        except OSError:  # how Linux says that the other side of a terminal is closed
            pass
        assert process.wait(timeout=60) == 0
    os.close(outer)
    return text.decode()


def test_a_terminal_gets_a_colour_for_each_speaker(example: str) -> None:
    """The first is cyan, the second yellow, whoever opens."""
    for dialogue in ("d0000", "d0001"):
        text = on_terminal(example, dialogue, "--no-pager")
        assert "\x1b[1;36mada\x1b[0m" in text
        assert "\x1b[1;33mbob\x1b[0m" in text


def test_no_color_is_respected(example: str) -> None:
    """No code for a colour, though there may be bold."""
    assert not re.search(r"\x1b\[[\d;]*3[0-7]m", on_terminal(example, "--no-pager", NO_COLOR="1"))


def test_more_than_a_screen_goes_through_the_pager(example: str) -> None:
    """And less than one does not."""
    pager = "echo paged; cat > /dev/null; true"
    assert on_terminal(example, PAGER=pager).strip() == "paged"
    assert "paged" not in on_terminal(example, "--where", "turn=9", PAGER=pager)
    assert "paged" not in on_terminal(example, "--no-pager", PAGER=pager)
