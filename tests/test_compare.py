"""The command that compares runs: names, forms, warnings, and that it only reads."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from example_compared import TOPICS, Planted
from example_run import CONTROL, HOSTILE
from example_session import hold

from agents.dialogue import Reply, Turn
from arena.compare import main
from arena.comparing.forest import forest
from arena.comparing.recorded import Recorded
from arena.records import line, turn_row

Out = pytest.CaptureFixture[str]


def shown(capsys: Out, *arguments: str) -> str:
    """What the command writes for good arguments."""
    assert main(arguments) == 0
    return capsys.readouterr().out


def refused(capsys: Out, *arguments: str, code: int = 2) -> str:
    """What the command answers to a mistake, in one line."""
    assert main(arguments) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


def parsed(capsys: Out, *arguments: str) -> dict[str, Any]:
    """The JSON that the command writes."""
    found: dict[str, Any] = json.loads(shown(capsys, *arguments, "--json"))
    assert found["schema"] == "arena.compare/1"
    return found


def warnings(capsys: Out, *planted: Planted) -> dict[str, str]:
    """What is said against a comparison of runs that are written for it."""
    names = [each.write(Path("runs") / f"r{place}").as_posix() for place, each in enumerate(planted)]
    found: dict[str, str] = parsed(capsys, *names)["comparisons"][0]["warnings"]
    return found


def two(**different: Any) -> None:
    """Runs a and b, of which b differs."""
    Planted().write(Path("runs/a"))
    Planted(**{"noise": 1, **different}).write(Path("runs/b"))


def test_the_table_has_both_sides_the_difference_and_its_interval(runs: Path, capsys: Out) -> None:
    """At most 80 columns wide, with what was set differently, and how to read it."""
    two(effect=0.1, settings={"agents.ada.system": "x" * 200, "turns": 4})
    text = shown(capsys, "a", "b")
    assert re.search(
        r"^reward +-?0\.\d{3} +-?0\.\d{3} +\+0\.\d{3} +\+0\.\d{3} to \+0\.\d{3} 48 \(12\)$", text, re.M
    )
    assert "paired on topic, seed and turn: 48 drafts of 12 topics, " in text.replace("\n", " ")
    assert re.search(r"^turns +not set +4 *$", text, re.M)
    assert re.search(r"intervals\s+leave\s+0\s+out;\s+about\s+\d\.\d\s+would\s+by\s+chance", text)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_three_runs_make_a_block_each(runs: Path, capsys: Out) -> None:
    """Both beside the first."""
    two()
    Planted(effect=0.2, noise=2).write(runs / "c")
    text = shown(capsys, "a", "b", "c")
    assert (
        text.count("\nA  a ·") + text.startswith("A  a ·"),
        text.count("B - A "),
        text.count("C - A "),
    ) == (2, 2, 2)
    assert max(map(len, text.splitlines())) <= 80
    found = parsed(capsys, "a", "b", "c")
    assert [(each["a"], each["b"]) for each in found["comparisons"]] == [("A", "B"), ("A", "C")]


def test_all_forms_have_the_same_numbers(runs: Path, capsys: Out) -> None:
    """JSON and CSV in full, Markdown rounded as the table."""
    two(effect=0.1)
    rows = parsed(capsys, "a", "b")["comparisons"][0]["rows"]
    lines = list(csv.DictReader(io.StringIO(shown(capsys, "a", "b", "--csv"))))
    assert len(lines) == 2 * len(rows)
    page = shown(capsys, "a", "b", "--md")
    plain = shown(capsys, "a", "b")
    for row, own, other in zip(rows, lines[::2], lines[1::2], strict=True):
        assert (own["measure"], own["arm"], own["run"], own["difference"]) == (row["measure"], "A", "a", "")
        assert float(own["value"]) == row["a"]["value"]
        assert float(other["value"]) == row["b"]["value"]
        assert float(other["difference"]) == row["difference"]["value"]
        low = row["difference"]["low"]
        assert other["difference_low"] == ("" if low is None else repr(low))
        rounded = f"{row['difference']['value']:+.4f}"[:-1] if row["measure"] == "reward" else ""
        assert rounded[:-1] in page and rounded[:-1] in plain
    assert json.loads(json.dumps(rows)) == rows


def test_some_measures_only(runs: Path, capsys: Out) -> None:
    """In the order of all; a mistyped one is answered."""
    two()
    rows = parsed(capsys, "a", "b", "--metrics", "words,reward")["comparisons"][0]["rows"]
    assert [row["measure"] for row in rows] == ["reward", "words"]
    assert "'rewrad' is not measured, did you mean 'reward'? there is" in refused(
        capsys, "a", "b", "--metrics", "rewrad"
    )


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (["a"], "a comparison needs two runs or more, found 1"),
        (["a", "runs/a"], "is named twice"),
        (["a", "bb"], "'bb' is no run, did you mean 'b'?"),
        (["a", "\x1b[2J"], "is no run"),
    ],
)
def test_a_mistake_is_answered_in_a_line(names: list[str], answer: str, runs: Path, capsys: Out) -> None:
    """Exit code 2, and nothing that could command the terminal."""
    two()
    told = refused(capsys, *names)
    assert answer in told and not CONTROL.search(told.rstrip("\n"))


def test_a_folder_of_runs_means_all_of_them(runs: Path, capsys: Out) -> None:
    """Those of a sweep, in the order of their names; seeds alone make one arm."""
    for zeta in ("0", "1"):
        for seed in (0, 1):
            given = {"agents.ada.system": zeta}
            Planted(seed=seed, settings=given).write(runs / f"sweep/zeta={zeta},seed={seed}")
    found = parsed(capsys, "sweep")
    assert [each["seeds"] for each in found["arms"]] == [[0, 1], [0, 1]]
    assert "has 2 seeds, which are few" in found["comparisons"][0]["warnings"]["few_seeds_A"]
    assert "one_seed" not in found["comparisons"][0]["warnings"]
    rows = {row["measure"]: row for row in found["comparisons"][0]["rows"]}
    assert (rows["words"]["difference"]["clusters"], rows["words"]["these_seeds"]["clusters"]) == (2, 12)
    text = shown(capsys, "sweep")
    assert "these seeds" in text and max(map(len, text.splitlines())) <= 80


def test_unpaired_data_is_never_compared_in_silence(runs: Path, capsys: Out) -> None:
    """It is refused with the reason; with the flag every row says so."""
    two(topics=[f"other {i}" for i in range(12)])
    assert "their topics or prompts are others (A begins with 'topic 0'" in refused(capsys, "a", "b", code=1)
    text = shown(capsys, "a", "b", "--unpaired")
    assert "NOT PAIRED" in text and "95 %, unpaired" in text
    found = parsed(capsys, "a", "b", "--unpaired")["comparisons"][0]
    assert {row["paired"] for row in found["rows"]} == {False}
    assert "unpaired" in found["warnings"]
    lines = csv.DictReader(io.StringIO(shown(capsys, "a", "b", "--unpaired", "--csv")))
    assert {each["paired"] for each in lines} == {"False"}


@pytest.mark.parametrize(
    ("other", "name", "text"),
    [
        (Planted(words=40, noise=1), "length_moved", r"B are 7\d% longer \(\+19\.\d to \+20\.\d words\)"),
        (Planted(truncated=0.6), "truncated_B", "of the drafts of B were cut"),
        (Planted(outcome="tie"), "ties_B", "100% of B's comparisons ended in a tie"),
        (Planted(abstained=12), "abstained_B", "B's judge gave no verdict on 25% of what it saw"),
        (Planted(info={"status": "stopped"}), "not_done_B", r"r1 is not done \(stopped\)"),
        (Planted(info={"status": "done", "alarms": {"x": "it is flat"}}), "alarm_B_x", "it is flat"),
        (Planted(identity={"lab/tiny": "sha 2"}), "weights_differ", "lab/tiny"),
        (Planted(settings={"judge.zeta": 0.0}), "judges_differ", "two scales"),
        (Planted(scale=lambda n: "rating" if n else "rating+wim"), "scales_differ_reward", "44 pairs"),
        (Planted(turns=1), "left_out", r"of A 24 of 48 \(24 a turn that the other side lacks\)"),
        (Planted(noise=1), "one_seed", "do not say what another seed would give: another"),
        (Planted(effect=0.001, noise=5), "undecided_reward", r"reward: The difference of .* more to see"),
    ],
)  # fmt: skip
def test_what_speaks_against_it_is_said(
    other: Planted, name: str, text: str, runs: Path, capsys: Out
) -> None:
    """Each doubt by its name, where there is reason for it."""
    found = warnings(capsys, Planted(), other)
    assert re.search(text, found[name])


def test_without_a_reason_nothing_is_said(runs: Path, capsys: Out) -> None:
    """Of two runs that wrote the same there is only one thing to say: they are single trainings."""
    assert list(warnings(capsys, Planted(), Planted())) == ["one_seed"]
    assert "48 of them word for word the same" in shown(capsys, "r0", "r1").replace("\n", " ")


def test_comparisons_that_flip_are_counted(runs: Path, capsys: Out) -> None:
    """Of those whose both orders were read; an abstention is none of them."""
    two()
    for name, statuses in (("a", ["about"] * 12), ("b", ["flipped"] * 6 + ["about"] * 5 + ["unreadable"])):
        made = [
            {
                "id": f"d{i:04d}.00a|d{i:04d}.00b#preference",
                "dialogue": f"d{i:04d}",
                "kind": "preference",
                "status": s,
            }
            for i, s in enumerate(statuses)
        ]
        (runs / name / "feedback.jsonl").write_bytes(b"".join(map(line, made)))
    found = parsed(capsys, "a", "b", "--metrics", "flips")["comparisons"][0]
    [row] = found["rows"]
    assert (row["b"]["value"], row["difference"]["n"]) == (pytest.approx(6 / 11), 11)
    assert "55% of B's comparisons changed with the order" in found["warnings"]["flips_B"]


def test_a_run_that_is_written_to_can_be_compared(runs: Path, capsys: Out) -> None:
    """A torn last line is not there yet; a table may be empty, or missing."""
    two()
    for name in ("verdicts", "turns"):
        with (runs / "b" / f"{name}.jsonl").open("ab") as table:
            table.write(b'{"id": "d0000.01')
    (runs / "b" / "metrics.jsonl").write_bytes(b"")
    (runs / "b" / "steps.jsonl").unlink()
    text = shown(capsys, "a", "b").replace("\n", " ")
    assert "48 drafts of 12 topics" in text
    assert "(only one of the two has it on record)" in text and "B has no rows of metrics" in text


@pytest.mark.parametrize("bad", [b"[1]\n", b"{\n", b'{"id": "d0000.00a"}\n'])
def test_a_table_that_is_none_is_named(bad: bytes, runs: Path, capsys: Out) -> None:
    """No traceback."""
    two()
    (runs / "b" / "turns.jsonl").write_bytes(bad)
    assert "runs/b" in refused(capsys, "a", "b", code=1)


def test_runs_of_two_kinds_have_nothing_to_compare(runs: Path, capsys: Out) -> None:
    """Dialogues, and a training from tables."""
    two()
    for name in ("turns", "verdicts", "exchanges", "steps"):
        (runs / "b" / f"{name}.jsonl").unlink()
    assert "runs of different kinds: 'b' has no drafts" in refused(capsys, "a", "b", code=1)
    for name in ("turns", "verdicts", "exchanges", "steps"):
        (runs / "a" / f"{name}.jsonl").unlink()
    rows = parsed(capsys, "a", "b")["comparisons"][0]["rows"]
    assert [row["measure"] for row in rows] == ["loss", "margin", "accuracy", "kl"]


def test_arms_of_an_evaluation_are_compared_with_their_like(runs: Path, capsys: Out) -> None:
    """Two writers answer in one turn; prompts are known by the digest of their list.

    They are joined by their names, wherever they stand; one of each side that has no namesake are a pair.
    """
    for name, seats in (
        ("one", (("a", "untrained", 0), ("b", "king", 4))),
        ("two", (("a", "queen", 5), ("b", "untrained", 0))),
    ):
        made = [
            turn_row(
                Turn(f"d{i:04d}.00{letter}", "", who, Reply("word " * (5 + i + extra)), kind="answer"),
                step=0, model="tiny", seed=0,
            )
            for i in range(8)
            for letter, who, extra in seats
        ]  # fmt: skip
        (runs / name).mkdir(parents=True)
        (runs / name / "turns.jsonl").write_bytes(b"".join(map(line, made)))
        (runs / name / "run.json").write_text('{"status": "done"}')
        (runs / name / "records.json").write_text('{"held out": "8 records, abc"}')
    found = parsed(capsys, "one", "two", "--metrics", "words")
    assert [arm["contestants"] for arm in found["arms"]] == [["untrained", "king"], ["queen", "untrained"]]
    rows = {row["part"]: row["difference"]["value"] for row in found["comparisons"][0]["rows"]}
    assert rows == {"untrained": 0, "king / queen": 1}
    (runs / "two" / "records.json").write_text('{"held out": "8 records, def"}')
    assert "their topics or prompts are others" in refused(capsys, "one", "two", code=1)


def match(folder: Path, seats: Sequence[str], won: Sequence[str], judge: str = "judge") -> None:
    """A match of two on as many questions as there are outcomes, with `won` the winner, a tie or a reason."""
    turns, rows = [], []
    for i, outcome in enumerate(won):
        ids = [f"d{i:04d}.00{letter}" for letter in "ab"]
        turns += [
            turn_row(Turn(id, "", who, Reply(f"answer {i}"), kind="answer"), step=0, model=who, seed=0)
            for id, who in zip(ids, seats, strict=True)
        ]
        status = "ab"[seats.index(outcome)] if outcome in seats else outcome
        rows.append(
            {
                "id": "|".join(ids), "dialogue": f"d{i:04d}", "question": f"q{i}", "turn": 0,
                "a": seats[0], "b": seats[1], "judge": judge, "status": status,
            }
        )  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "turns.jsonl").write_bytes(b"".join(map(line, turns)))
    (folder / "matches.jsonl").write_bytes(b"".join(map(line, rows)))
    problems = [{"prompt": [{"role": "user", "content": f"Question {i}?"}]} for i in range(len(won))]
    (folder / "problems.json").write_text(json.dumps(problems))
    (folder / "run.json").write_text('{"status": "done"}')


def test_two_matches_are_compared_by_who_met_whom(runs: Path, capsys: Out) -> None:
    """The win-rate of the same contestant, whichever letter it has; abstentions are no ties."""
    match(runs / "one", ("plain", "expert"), ["expert"] * 6 + ["plain"] * 6)
    match(runs / "two", ("expert", "plain"), ["expert"] * 9 + ["tie", "flipped", "unreadable"])
    found = parsed(capsys, "one", "two")["comparisons"][0]
    kept = {row["measure"]: row for row in found["rows"] if row["part"] == "expert : plain"}
    assert (kept["win-rate"]["a"]["value"], kept["win-rate"]["difference"]["n"]) == (6 / 11, 11)
    assert kept["win-rate"]["b"]["value"] == pytest.approx(10 / 11)
    assert kept["abstained"]["b"]["value"] == pytest.approx(1 / 12)
    assert kept["ties"]["b"]["value"] == kept["flips"]["b"]["value"] == pytest.approx(1 / 11)


def test_matches_of_two_judges_are_not_compared(runs: Path, capsys: Out) -> None:
    """What one prefers is not what the other prefers; ties of each are told."""
    match(runs / "one", ("plain", "expert"), ["expert"] * 12)
    match(runs / "two", ("plain", "expert"), ["expert"] * 12, judge="another")
    found = parsed(capsys, "one", "two")["comparisons"][0]
    assert found["not_compared"]["win-rate (expert : plain)"] == "judges differ: A judge, B another"
    assert "judges_differ" in found["warnings"]
    Planted().write(runs / "three")
    assert "their topics or prompts are others" in refused(capsys, "one", "three", code=1)


def test_runs_of_the_loop_are_compared(runs: Path, capsys: Out) -> None:
    """Folders as the session writes them; drafts that nobody could rate are no zeros."""
    hold(runs / "a")
    hold(runs / "b", turns=2)
    found = parsed(capsys, "a", "b")["comparisons"][0]
    kept = {row["measure"]: row for row in found["rows"]}
    assert kept["abstained"]["a"]["value"] > 0
    assert kept["reward"]["difference"]["n"] < kept["words"]["difference"]["n"]
    assert found["warnings"]["no_seed_A"]


def test_no_text_can_command_the_terminal(runs: Path, capsys: Out) -> None:
    """Of settings, alarms, seats and topics, in every form."""
    Planted().write(runs / "a")
    info = {"status": HOSTILE, "alarms": {HOSTILE: HOSTILE}}
    Planted(settings={"agents.ada.system": HOSTILE, HOSTILE: 1}, info=info).write(runs / "b")
    for form in ([], ["--md"], ["--csv"], ["--json"]):
        text = shown(capsys, "a", "b", *form)
        assert not CONTROL.search(text.replace("\n", ""))
        assert form != ["--md"] or "<script>" not in text
    Planted(topics=[HOSTILE]).write(runs / "c")
    assert not CONTROL.search(refused(capsys, "a", "c", code=1).rstrip("\n"))


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its time."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())}


def test_nothing_is_written_to_a_run(runs: Path, capsys: Out, tmp_path: Path) -> None:
    """Not even the picture that was asked for."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    two(settings={"judge.zeta": 0.0})
    before = [contents(runs / name) for name in "ab"]
    shown(capsys, "a", "b", "--plot", "both.png")
    assert "lies in a run folder" in refused(capsys, "a", "b", "--plot", "runs/b/both.png")
    assert "pictures are PNG files" in refused(capsys, "a", "b", "--plot", "both.pdf")
    assert "there is no folder 'no'" in refused(capsys, "a", "b", "--plot", "no/both.png")
    assert [contents(runs / name) for name in "ab"] == before
    data = Path("both.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and int.from_bytes(data[16:20]) == 800
    assert sorted(path.name for path in Path().iterdir()) == ["both.png", "runs"]


def test_the_forest_has_a_line_for_what_can_be_drawn(runs: Path, capsys: Out) -> None:
    """Zero in the middle, dots inside their intervals, arrows where an end is off the axis."""
    two(effect=0.1, words=60)
    text = shown(capsys, "a", "b", "--metrics", "reward,words,ties")
    lines = [each for each in text.splitlines() if re.search("[●>]$|─", each)]
    assert [each.split()[0] for each in lines] == ["reward", "words"]
    axis = next(each for each in text.splitlines() if each.endswith("+3.0"))
    middle = axis.index(" 0 ") + 1
    assert middle <= lines[0].index("●") < len(axis)
    assert (lines[1].index(">"), lines[1].count("●")) == (len(axis) - 1, 0)
    assert forest([]) == []


def test_help_loads_nothing_heavy() -> None:
    """So that it answers at once; nor does a comparison load torch."""
    script = (
        "from arena.compare import main; import sys\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'torch', 'hydra', 'scipy', 'numpy'} & {m.partition('.')[0] for m in sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.endswith("\nset()\n")
    assert "python -m arena.compare smollm_duo random_judge" in told.stdout


def test_comparing_loads_neither_torch_nor_hydra(runs: Path) -> None:
    """It reads tables."""
    two()
    script = (
        "from arena.compare import main; import sys; main(['a', 'b']); "
        "print({'torch', 'hydra', 'transformers', 'matplotlib'} & {m.partition('.')[0] for m in sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.endswith("\nset()\n")


def test_prompts_of_several_messages_are_one_text(runs: Path) -> None:
    """Problems with the same last question and another beginning are not the same."""
    Planted(topics=TOPICS[:2]).write(runs / "a")
    ask = {"role": "user", "content": "Why?"}
    problems: Sequence[Any] = [{"prompt": [{"role": "user", "content": f"{i}"}, ask]} for i in range(2)]
    (runs / "a" / "problems.json").write_text(json.dumps(problems))
    assert Recorded(runs / "a").texts == {"d0000": "user: 0\nuser: Why?", "d0001": "user: 1\nuser: Why?"}
