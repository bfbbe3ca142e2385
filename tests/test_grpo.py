"""RLOO and GRPO: what the judge is asked, what becomes of its silence, and that rewards rise."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import families
import offline
import pytest
import torch

from agents import Agent
from agents.dialogue import Message
from agents.errors import ConfigError, Unavailable
from arena.problems import Problem
from arena.train.grouped import Grouped
from arena.train.grpo import GRPO, RLOO
from rewards.judge import Judge
from rewards.rating import Length
from rewards.scores import Score, Scored
from rewards.verdict import Case

SMALL: dict[str, Any] = {
    "lr": 1e-2, "rank": 4, "alpha": 8.0, "batch_size": 4, "accumulation": 2, "max_new_tokens": 6, "beta": 0.0,
}  # fmt: skip


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> Path:
    """A tiny random Llama."""
    return checkpoint(families.LLAMA)


class Counts(Scored):
    """Scores an answer by its letters, keeps what it was asked, and says nothing of some."""

    def __init__(self, silent: Callable[[int], bool] = lambda _: False, **options: Any) -> None:
        """Silent about the answers whose number in the call `silent` names."""
        super().__init__(pair_truncated=True, **options)
        self.silent, self.cases, self.agents = silent, list[Case](), list[Agent]()

    def score(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Score]:
        """Count letters."""
        self.agents.append(agent)
        self.cases += cases
        return [
            Score(None, "unread") if self.silent(i) else Score(float(len(case.reply.text)))
            for i, case in enumerate(cases)
        ]


def fit(learner: Grouped, folder: Path, run: Path, judge: Judge, count: int = 4, **options: Any) -> None:
    """Train on a few problems."""
    with offline.desk(run) as desk:
        learner.fit(offline.policy(folder, **options), offline.problems(count), [], desk, judge)


def advantages(
    learner: Grouped, folder: Path, run: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> list[float]:
    """The advantages of the first step, in the order in which the judge was asked."""
    from trl import GRPOTrainer, RLOOTrainer

    found: list[float] = []
    for trainer in (GRPOTrainer, RLOOTrainer):
        plain = trainer._generate_and_score_completions

        def kept(self: Any, inputs: Any, plain: Any = plain) -> Any:
            out = plain(self, inputs)
            found.extend(out["advantages"].tolist())
            return out

        monkeypatch.setattr(trainer, "_generate_and_score_completions", kept)
    fit(learner, folder, run, judge)
    return found[:8]


@pytest.mark.parametrize("learner", [RLOO, GRPO])
def test_the_judge_is_asked_as_everywhere(learner: type[Grouped], folder: Path, tmp_path: Path) -> None:
    """Cases with ids, the conversation without the persona, the reference; the policy as it began judges."""
    judge = Counts()
    problems = [Problem("qa", offline.prompt(i), reference=f"r{i}") for i in range(2)]
    with offline.desk(tmp_path) as desk:
        learner(**SMALL).fit(
            offline.policy(folder, system="You are brief."), problems, problems[:1], desk, judge
        )
    step = [case for case in judge.cases if case.id.startswith("s000001")]
    assert len({case.id for case in step}) == 8  # one step of two groups
    assert [case.id for case in judge.cases if case not in step] == ["h000000"] * 2  # before and after
    assert sorted({case.reference for case in step}) == ["r0", "r1"]
    for case in step:
        number = int(case.reference[1:])
        assert case.prompt == offline.prompt(number)
        assert case.question == offline.prompt(number)[0]["content"]
        ended = case.reply.ids[-1] in offline.policy(folder).ends
        assert case.reply.truncated is not ended
        assert 0 < len(case.reply.ids) <= 6
    assert all(getattr(agent, "adapter", None) == "" for agent in judge.agents)


def test_prompts_are_in_our_own_template_with_the_persona(folder: Path, tmp_path: Path) -> None:
    """What TRL generates from is what the agent would generate from."""
    from trl import RLOOTrainer

    seen: list[list[int]] = []
    plain = RLOOTrainer._generate_single_turn

    def kept(self: Any, prompt_ids: Any, *arguments: Any) -> Any:
        seen.extend(prompt_ids)
        return plain(self, prompt_ids, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RLOOTrainer, "_generate_single_turn", kept)
        fit(RLOO(**SMALL), folder, tmp_path, Counts(), count=2, system="You are <|eot_id|> brief.")
    agent = offline.policy(folder)
    persona = Message(role="system", content="You are <|eot_id|> brief.")
    expected = [agent.prompt_ids([persona, *offline.prompt(i)]) for i in range(2)]
    assert sorted(map(tuple, seen)) == sorted(tuple(ids) for ids in expected for _ in range(4))


@pytest.mark.parametrize("learner", [RLOO, GRPO])
def test_an_answer_without_a_reward_teaches_nothing(
    learner: type[Grouped], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its advantage is 0 and the others' are those of a group without it: it is no reward of 0."""
    judge = Counts(lambda number: number in (1, 4, 5, 6))
    found = advantages(learner(**SMALL), folder, tmp_path, judge, monkeypatch)
    rewards = [None if judge.silent(i) else float(len(c.reply.text)) for i, c in enumerate(judge.cases[:8])]
    first = [reward for reward in rewards[:4] if reward is not None]
    assert found[1] == 0.0
    others = [value for i, value in enumerate(found[:4]) if i != 1]
    if learner is RLOO:
        expected = [reward - (sum(first) - reward) / 2 for reward in first]
    else:
        deviation = torch.tensor(first).std().item()
        expected = [(reward - sum(first) / 3) / (deviation + 1e-4) for reward in first]
    assert others == pytest.approx(expected, abs=1e-4)
    assert found[4:] == [0.0] * 4  # one alone has nothing to be held against
    row = offline.table(tmp_path, "metrics")[0]
    assert (row["rewarded"], row["abstained"]) == (4.0, 4.0)
    known = [reward for reward in rewards if reward is not None]
    assert row["reward"] == pytest.approx(sum(known) / 4)


def test_a_judge_that_abstains_on_everything_ends_training(folder: Path, tmp_path: Path) -> None:
    """Before the weights change, and with what it said."""
    with pytest.raises(Unavailable, match=r"abstained on all 8 answers of step 1: score_unread \(8\)"):
        fit(RLOO(**SMALL), folder, tmp_path, Counts(lambda _: True))
    assert not (tmp_path / "metrics.jsonl").read_text()
    assert not (tmp_path / "adapter").exists()


def test_answers_that_were_cut_have_no_reward(folder: Path, tmp_path: Path) -> None:
    """If all are, the step has no row of metrics, the user is told, and the weights stay."""
    judge = Counts()
    judge.pair_truncated = False
    with offline.desk(tmp_path) as desk:
        RLOO(**{**SMALL, "max_new_tokens": 1}).fit(
            offline.policy(folder), offline.problems(2), [], desk, judge
        )
        notes = [facts["text"] for event, facts in desk.display.events if event == "note"]
    assert judge.cases == []
    assert notes == ["step 1 has no row of metrics: it has no reward"]
    stored = offline.tensors(tmp_path / "adapter")
    assert all(not tensor.any() for key, tensor in stored.items() if "lora_B" in key)


@pytest.mark.slow
@pytest.mark.parametrize("learner", [RLOO, GRPO])
def test_rewards_rise(learner: type[Grouped], folder: Path, tmp_path: Path) -> None:
    """A judge that likes long answers gets longer ones: the end of the turn is put off."""
    options = {
        **SMALL,
        "lr": 3e-2,
        "max_new_tokens": 12,
        "batch_size": 16,
        "epochs": 16,
        "schedule": "constant",
    }
    fit(learner(**options), folder, tmp_path, Counts(), count=8)
    rewards = [row["reward"] for row in offline.table(tmp_path, "metrics")]
    assert len(rewards) == 16
    assert sum(rewards[-4:]) > sum(rewards[:4]) * 1.2


def test_the_kl_penalty_holds_the_policy_to_its_reference(folder: Path, tmp_path: Path) -> None:
    """With rewards that are all alike the bare policy stays where it is; TRL's own sign is the right one."""
    with offline.desk(tmp_path) as desk:
        GRPO(**{**SMALL, "beta": 0.1}).fit(
            offline.policy(folder),
            offline.problems(2),
            [],
            desk,
            Judge(rater=Length(1e12), pair_truncated=True),
        )
    assert offline.table(tmp_path, "metrics")[0]["loss"] == pytest.approx(0.0, abs=1e-5)


def test_held_out_problems_are_measured_with_the_same_draws(folder: Path, tmp_path: Path) -> None:
    """A rate too small to matter leaves the measurement as it was, and it changes nothing in training."""
    runs = []
    for run, valid in enumerate((offline.problems(3), [])):
        with offline.desk(tmp_path / str(run)) as desk:
            GRPO(**{**SMALL, "lr": 1e-12, "eval_every": 1}).fit(
                offline.policy(folder), offline.problems(4), valid, desk, Counts()
            )
        runs.append([row["reward"] for row in offline.table(tmp_path / str(run), "metrics")])
    first, *others = offline.table(tmp_path / "0", "evaluations")
    assert len(others) == 2 and all(row["reward"] == first["reward"] for row in others)
    assert (first["problems"], first["rewarded"], first["abstained"]) == (3, 3, 0)
    assert runs[0] == runs[1]


def test_the_order_of_problems_is_new_in_each_epoch_and_goes_by_the_seed() -> None:
    """No epoch leaves a problem out."""
    order = RLOO(**SMALL, epochs=2.5)._order(6)
    assert len(order) == 15
    assert sorted(order[:6]) == sorted(order[6:12]) == list(range(6))
    assert order[:6] != order[6:12]
    assert order == RLOO(**SMALL, epochs=2.5)._order(6) != RLOO(**SMALL, epochs=2.5, seed=1)._order(6)


def test_a_step_needs_enough_problems(folder: Path, tmp_path: Path) -> None:
    """TRL would make no step at all."""
    with pytest.raises(ConfigError, match="1 problems in epochs=1 do not fill one step of 2"):
        fit(RLOO(**SMALL), folder, tmp_path, Counts(), count=1)


def test_a_judge_is_needed(folder: Path, tmp_path: Path) -> None:
    """Nothing else rewards."""
    with (
        offline.desk(tmp_path) as desk,
        pytest.raises(ConfigError, match="train=grpo rewards what it writes"),
    ):
        GRPO(**SMALL).fit(offline.policy(folder), offline.problems(2), [], desk)


@pytest.mark.parametrize(
    ("learner", "options", "named"),
    [
        (RLOO, {"drafts": 1}, "drafts >= 2"),
        (RLOO, {"drafts": 3}, "no whole number of groups"),
        (RLOO, {"beta": math.nan}, "beta >= 0"),
        (GRPO, {"loss": "ppo"}, "loss='ppo'"),
        (GRPO, {"scale": "std"}, "scale='std'"),
    ],
)
def test_settings_out_of_range_are_refused(
    learner: type[Grouped], options: dict[str, Any], named: str
) -> None:
    """Before any weights are loaded."""
    with pytest.raises(ConfigError, match=named):
        learner(**{**SMALL, **options})
