"""Who judges a match is found out before anybody answers: who cannot compare, what is known."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from matching import Contestant, Hall, Referee, asked, prefers

from agents import Agent, ConfigError, Reply, Scripted, adapters
from agents.families import SmolLM
from arena.console import Quiet
from rewards.reward_model import HEAD
from rewards.scores import Score, Scored
from rewards.verdict import Case

SEATS: dict[str, Agent] = {name: Contestant(name) for name in ("bob", "ann")}


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    """A place to meet."""
    return Hall(tmp_path / "match")


class Scale(Scored):
    """Gives scores, as a reward model does."""

    def score(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Score]:
        """The number of words."""
        return [Score(float(len(case.reply.text.split()))) for case in cases]


class Mute(Agent):
    """Neither writes nor rates."""


def silent() -> dict[str, Agent]:
    """Contestants that nobody may ask."""
    return {name: Scripted(lambda prompt, draft: str(1 / 0)) for name in ("bob", "ann")}


def reward_model(folder: Path) -> str:
    """A folder that looks like a reward model's."""
    (folder / "adapter").mkdir(parents=True)
    for name in (adapters.CONFIG, adapters.TENSORS, HEAD):
        (folder / "adapter" / name).write_text("{}", encoding="utf-8")
    return str(folder)


def test_a_judge_of_scores_is_refused_before_anybody_answers(hall: Hall) -> None:
    """Whether or not answers are compared too."""
    for settings in ({}, {"pairwise": None}):
        with pytest.raises(ConfigError, match="the judge scale gives scores, and a match needs ratings"):
            hall.run(silent(), asked(4), prefers(lambda n: "bob"), judge=Scale(), **settings)
    assert hall.rows("turns") == []


@pytest.mark.parametrize("mute", [Mute(), Referee(lambda a, b: "A")])
def test_who_cannot_say_anything_is_no_judge(hall: Hall, mute: Agent) -> None:
    """Before anybody answers; one who can is let through."""
    if not isinstance(mute, Mute):
        assert hall.run(SEATS, asked(2), mute).counts["comparisons"] == 2
        return
    with pytest.raises(ConfigError, match="mute cannot compare: it neither writes nor has label"):
        hall.run(silent(), asked(4), mute)
    assert hall.rows("turns") == []


def test_the_weights_of_a_reward_model_do_not_compare(hall: Hall, tmp_path: Path) -> None:
    """A head beside the adapter tells it from an adapter that speaks."""
    judge = SmolLM(adapter=reward_model(tmp_path / "reward"))
    with pytest.raises(ConfigError, match="reward is a reward model: it scores answers and cannot say"):
        hall.run(silent(), asked(4), judge)
    assert hall.rows("turns") == []


@pytest.mark.parametrize(
    ("rubric", "told"), [("no_such_rubric", "no rubric 'no_such_rubric'"), ("rating", "compares nothing")]
)
def test_a_rubric_of_later_turns_is_read_before_the_first(hall: Hall, rubric: str, told: str) -> None:
    """It would be needed after all first answers; of questions without later turns it is not needed."""
    with pytest.raises(ConfigError, match=told):
        hall.run(silent(), asked(2, ["More of number 50?"]), prefers(lambda n: "bob"), rubric=rubric)
    assert hall.rows("turns") == []
    assert hall.run(SEATS, asked(2), prefers(lambda n: "bob"), rubric=rubric).counts["comparisons"] == 2


def test_what_is_known_of_the_judge_is_said_before_anybody_answers(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what cannot be read of it is told before, too."""
    order: list[str] = []

    class Heard(Contestant):
        def reply(self, prompts: Any, n: int = 1, **_: Any) -> list[list[Reply]]:
            order.append("answer")
            return super().reply(prompts, n)

    def say(self: Quiet, event: str, **told: Any) -> None:
        if "was never measured" in str(told.get("text")):
            order.append("unmeasured")

    monkeypatch.setattr(Quiet, "say", say)
    report = hall.run({"bob": Heard("bob"), "ann": Heard("ann")}, asked(2), prefers(lambda n: "bob"))
    assert order[0] == "unmeasured" and "answer" in order and "judge_unmeasured" in report.alarms
    broken = hall.path.parent / "judge-x" / "verdict.json"
    broken.parent.mkdir()
    broken.write_text(json.dumps({"schema": "other"}), encoding="utf-8")
    other = Hall(hall.path.parent / "other")
    with pytest.raises(ConfigError, match="judge-x/verdict.json"):
        other.run(silent(), asked(2), prefers(lambda n: "bob"))
    assert other.rows("turns") == []
