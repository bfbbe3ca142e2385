"""The gate: training says what is known of its judge, from the verdict file, and refuses it where told to."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents import Agent, ArenaError, ConfigError, Scripted
from arena import config
from arena.calibration.gate import NOT_BETTER, UNMEASURED, Start, check
from arena.calibration.standing import FILE, Measured, below, digest, judge_identity, read
from arena.console import Quiet
from arena.stats.resampling import Interval
from rewards.judge import Judge
from rewards.rating import Length, Text
from rewards.reward_server import RewardServer

SETTINGS = {"_target_": "rewards.judge.Judge", "rater": {"_target_": "rewards.rating.Text", "rubric": "text"}}
AGENT = Scripted(["x"])


class Other(Scripted):
    """Of another name."""


class Heard(Quiet):
    """Keeps what was said."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()
        self.said: list[tuple[str, str]] = []

    def show(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Keep it."""
        self.said.append((kind, fields["text"]))


def judge(gate: str = "", calibration: str = "", **options: Any) -> Judge:
    """A judge that asks somebody."""
    return Judge(Text(), gate=gate, calibration=calibration, **options)


def verdict(
    low: float, high: float, settings: Mapping[str, Any] = SETTINGS, made: str = "2026-01-01"
) -> Measured:
    """A verdict with this interval of the difference to the longer answer."""
    own = judge_identity(settings, judge(), AGENT)
    middle = (low + high) / 2
    interval = Interval(0.6, 0.5, 0.7, 200, 180)
    longer, less = replace(interval, value=0.6 - middle), Interval(middle, low, high, 200, 180)
    return Measured(
        "text (scripted)", "pointwise", own, {"set": 200}, interval, longer, less, less, 0.05, made
    )


def left(runs: Path, found: Measured, name: str = "judge-x") -> Path:
    """The folder of a measurement."""
    folder = runs / name
    folder.mkdir(parents=True)
    found.write(folder)
    return folder


def began(runs: Path = Path("runs"), words: tuple[str, ...] | None = (), **seats: Agent) -> Start:
    """A run of Ada, who learns, and Bob."""
    return Start("duo", words, seats or {"ada": AGENT, "bob": AGENT}, ["ada"], runs)


def checked(runs: Path, one: Judge, settings: Mapping[str, Any] = SETTINGS) -> tuple[dict[str, str], Heard]:
    """(alarms, what was said) at the start of a run."""
    heard = Heard()
    return check(settings, one, {"bob": AGENT, "ada": AGENT}, began(runs), heard), heard


def test_a_verdict_is_read_as_it_was_written(tmp_path: Path) -> None:
    """From the file or its folder; an end that is not known stays so."""
    found = replace(verdict(0.01, 0.2), agreement=Interval(0.6, float("-inf"), float("inf"), 3, 1))
    folder = left(tmp_path, found)
    assert read(folder) == read(folder / FILE) == found
    row = json.loads((folder / FILE).read_text(encoding="utf-8"))
    assert row["schema"] == "arena.judge/2" and row["digest"] == digest(found.identity)
    assert row["better_than_longer"] is True and row["agreement"]["low"] is None


@pytest.mark.parametrize(
    ("low", "high", "better"),
    [(0.01, 0.2, True), (-0.2, -0.01, False), (-0.1, 0.1, None), (float("-inf"), float("inf"), None)],
)
def test_better_follows_from_the_interval(low: float, high: float, better: bool | None) -> None:
    """Not from the number in its middle."""
    less = Interval(0.05, low, high, 9, 9)
    assert replace(verdict(0.1, 0.2), less_longer=less).better is better


@pytest.mark.parametrize(("low", "high"), [(-0.01, 0.1), (-0.2, -0.1), (0.0, 0.0)])
def test_better_is_better_also_if_the_longer_answer_ties_as_the_judge_does(low: float, high: float) -> None:
    """Else a judge of length gains by the margin in which it takes two answers for equally long."""
    tied = Interval((low + high) / 2, low, high, 9, 9)
    found = replace(verdict(0.01, 0.2), less_longer_tied=tied)
    assert found.better is None
    assert f"if the longer answer ties where it does, {tied.value:+.1%}" in found.numbers
    assert replace(verdict(-0.2, -0.1), less_longer_tied=tied).better is False


def test_a_judge_that_was_never_measured_is_noted_once(runs: Path) -> None:
    """One short note, whoever judges; an alarm where the gate warns; a refusal where it requires."""
    alarms, heard = checked(runs, judge())
    [(kind, text)] = heard.said
    assert (alarms, kind) == ({}, "note") and "was never measured: python -m arena.judge conf=duo" in text
    assert len(text) < 110
    alarms, heard = checked(runs, judge("warn"))
    assert list(alarms) == [UNMEASURED] and heard.said[0][0] == "alarm"
    with pytest.raises(
        ConfigError, match=r"judge\.gate=require: .*never measured: python -m arena\.judge conf=duo"
    ):
        checked(runs, judge("require"))


KEPT = (
    "judge=rating", "judge.rater.rubric=my rubric", "agents.ada.checkpoint=c", "+agent@judge.agent=qwen",
    "~judge.wim", "precision=fp32", "device=cpu",
)  # fmt: skip
LEFT = (
    "judge.gate=require", "judge.calibration=x", "judge.moving=true", "dialogues=3", "seed=4", "train.lr=1",
    "hydra.run.dir=runs/x",
)  # fmt: skip


def test_the_command_that_is_named_measures_this_judge() -> None:
    """The conf, and what was set of the judge and of those who talk; not what makes no other judge of it."""
    command = began(words=(*LEFT, *KEPT)).measuring()
    assert shlex.split(command) == ["python", "-m", "arena.judge", "conf=duo", *KEPT]
    assert began(words=None).measuring().endswith("conf=duo, with what is set here of judge and agents,")


def test_the_command_names_who_judges_where_it_is_not_the_first_seat(tmp_path: Path) -> None:
    """Whom the command would measure; and the folder in which the run will look."""
    heard, other = Heard(), Other(["x"])
    start = began(tmp_path, ada=AGENT, bob=other)
    check(SETTINGS, judge(), {"bob": other, "ada": AGENT}, start, heard)
    told = ["judge.agent=${agents.bob}", f"runs={tmp_path}", f"hydra.run.dir={tmp_path}/judge-duo-bob"]
    [(_, bob), (_, ada)] = heard.said
    assert shlex.join(["conf=duo", *told]) in bob and "(other)" in bob
    assert "judge.agent" not in ada and f"hydra.run.dir={tmp_path}/judge-duo-judge" in ada


@pytest.mark.parametrize(
    ("moving", "own", "learner", "said"),
    [
        (True, False, "bob", True),
        (False, False, "bob", False),
        (True, True, "bob", False),
        (True, False, "ada", False),
    ],
)
def test_a_judge_that_learns_was_measured_only_as_it_begins(
    tmp_path: Path, moving: bool, own: bool, learner: str, said: bool
) -> None:
    """Which is said where the seat that judges learns, and judges with what it has learned."""
    left(tmp_path, verdict(0.05, 0.15))
    heard, one = Heard(), judge(moving=moving, agent=AGENT if own else None)
    start = replace(began(tmp_path), learners=[learner])
    check(SETTINGS, one, {"bob": AGENT}, start, heard)
    assert ("judge as it begins: by judge.moving=true it learns" in heard.said[0][1]) is said


def test_the_words_of_another_command_are_not_those_of_this_run() -> None:
    """Nor is there a command line where a function is called."""
    assert config.given("run") is None


@pytest.mark.parametrize(
    ("low", "high", "words"), [(-0.2, -0.1, "is not better"), (-0.1, 0.1, "is not shown to be")]
)
def test_a_judge_that_is_not_better_is_an_alarm(tmp_path: Path, low: float, high: float, words: str) -> None:
    """With its numbers; whatever the gate, unless it requires, which refuses."""
    left(tmp_path, verdict(low, high))
    for gate in ("", "warn"):
        alarms, heard = checked(tmp_path, judge(gate))
        assert list(alarms) == [NOT_BETTER] and heard.said == [("alarm", alarms[NOT_BETTER])]
        assert words in alarms[NOT_BETTER] and "60.0% of 200 pairs" in alarms[NOT_BETTER]
    with pytest.raises(ConfigError, match=words):
        checked(tmp_path, judge("require"))


def test_a_better_judge_passes_every_gate(tmp_path: Path) -> None:
    """And the run says how much better it is."""
    left(tmp_path, verdict(0.05, 0.15))
    for gate in ("", "warn", "require"):
        alarms, heard = checked(tmp_path, judge(gate))
        [(kind, text)] = heard.said
        assert (alarms, kind) == ({}, "note")
        assert "difference +10.0%, 95 % interval +5.0% to +15.0%" in text and "judge-x" in text
        assert "of 200 pairs (95 % interval 50.0% to 70.0%; set 200)" in text
        assert "it abstained on 5.0%, which counts half" in text and "python -m arena.judge conf=duo" in text


def test_the_newest_verdict_on_this_judge_counts(tmp_path: Path) -> None:
    """Others are of no interest, be they newer."""
    left(tmp_path, verdict(0.05, 0.15, made="2026-01-02"), "judge-b")
    left(tmp_path, verdict(-0.2, -0.1, made="2026-01-01"), "judge-a")
    other = {**SETTINGS, "rater": {"_target_": "rewards.rating.Labels", "rubric": "rating"}}
    left(tmp_path, verdict(-0.2, -0.1, other, "2026-01-03"), "judge-c")
    left(tmp_path, verdict(-0.2, -0.1, made="2026-01-04"), "another-folder")
    found = below(tmp_path, verdict(0, 0).identity)
    assert found is not None and found[0].parent.name == "judge-b"


def test_a_verdict_of_attacks_alone_does_not_hide_one_that_compares_with_people(tmp_path: Path) -> None:
    """However new it is."""
    left(tmp_path, verdict(0.05, 0.15, made="2026-01-01"), "judge-a")
    left(tmp_path, replace(verdict(0, 0, made="2026-01-02"), agreement=None), "judge-b")
    found = below(tmp_path, verdict(0, 0).identity)
    assert found is not None and found[0].parent.name == "judge-a"


def test_a_verdict_of_attacks_alone_is_no_measure_against_people(tmp_path: Path) -> None:
    """The judge counts as never measured."""
    left(tmp_path, replace(verdict(0, 0), agreement=None))
    alarms, heard = checked(tmp_path, judge("warn"))
    assert list(alarms) == [UNMEASURED] and "never measured against people's labels" in alarms[UNMEASURED]


def test_a_named_verdict_must_be_on_this_judge(tmp_path: Path) -> None:
    """Else the message says what differs."""
    folder = left(tmp_path / "elsewhere", verdict(0.05, 0.15))
    alarms, heard = checked(tmp_path, judge("require", str(folder)))
    assert alarms == {} and "elsewhere" in heard.said[0][1]
    other = {**SETTINGS, "tie_margin": 0.5}
    with pytest.raises(ConfigError, match="verdict on another judge .*tie_margin: 'not set', not 0.5"):
        checked(tmp_path, judge("", str(folder)), other)
    with pytest.raises(ConfigError, match="no verdict on a judge at"):
        checked(tmp_path, judge("", str(tmp_path / "nothing")))


def test_a_broken_verdict_is_named(tmp_path: Path) -> None:
    """And not taken for none."""
    folder = left(tmp_path, verdict(0.05, 0.15))
    (folder / FILE).write_text('{"schema": "arena.judge/2"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="is not whole"):
        checked(tmp_path, judge())
    (folder / FILE).write_text("{", encoding="utf-8")
    with pytest.raises(ArenaError, match="is not JSON"):
        checked(tmp_path, judge())
    (folder / FILE).write_text('{"schema": "arena.judge/1"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="arena.judge/1', not arena.judge/2; remove its folder"):
        checked(tmp_path, judge())


def test_a_rule_needs_no_note_but_may_be_refused(tmp_path: Path) -> None:
    """Everybody knows what counting words is worth; a server's scores are somebody's."""
    assert checked(tmp_path, Judge(Length()))[1].said == []
    with pytest.raises(ConfigError, match="the judge length, zeta 0 was never measured"):
        checked(tmp_path, Judge(Length(), gate="require"))
    assert "never measured" in checked(tmp_path, RewardServer("http://127.0.0.1:9"))[1].said[0][1]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"moving": True, "gate": "require", "calibration": "x", "pair_truncated": True}, True),
        ({"zeta": 0.0, "wim": {"rubric": "wim"}, "normalisation": "paper", "cosine": "own"}, True),
        ({"zeta": 0.4, "wim": {"rubric": "wim"}}, False),
        ({"tie_margin": 0.1}, False),
        ({"rater": {"_target_": "rewards.rating.Text", "rubric": "rating"}}, False),
        ({"rater": {"_target_": "rewards.rating.Text", "rubric": "text", "max_new_tokens": 9}}, False),
    ],
)
def test_a_judge_is_another_one_if_its_ratings_are(change: dict[str, Any], same: bool) -> None:
    """What is missing counts only where zeta is above 0."""
    one, other = (judge_identity(own, judge(), AGENT) for own in (SETTINGS, {**SETTINGS, **change}))
    assert (digest(one) == digest(other)) is same


def test_other_words_of_a_rubric_make_another_judge(tmp_path: Path) -> None:
    """Though the file has the same name."""
    rubric = tmp_path / "mine.txt"
    own = {**SETTINGS, "rater": {"_target_": "rewards.rating.Text", "rubric": str(rubric)}}
    digests = []
    for word in ("Rate", "Mark"):
        rubric.write_text(f"[system]\n{word} it.\n[case]\n{{reply}}\n", encoding="utf-8")
        digests.append(digest(judge_identity(own, judge(), AGENT)))
    assert digests[0] != digests[1]


def test_another_agent_makes_another_judge() -> None:
    """By its weights, or its name; a rule has neither."""
    one, other = (digest(judge_identity(SETTINGS, judge(), agent)) for agent in (AGENT, Other(["x"])))
    assert one != other
    assert judge_identity(SETTINGS, Judge(Length()), AGENT)["weights"] == {}


def test_an_unknown_gate_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(ConfigError, match="judge.gate='requires' is not known; allowed are warn, require"):
        judge("requires")
