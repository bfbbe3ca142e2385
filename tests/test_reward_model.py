"""The reward model as the judge: the scores of the model that TRL trained, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import offline
import pytest
import torch

from agents.dialogue import Reply
from agents.errors import ConfigError, Unavailable
from arena.train.reward import Reward
from arena.train.settings import Settings
from arena.train.sft import SFT
from arena.train.subject import Subject, read_adapter
from rewards.reward_model import RewardModel, said
from rewards.verdict import Case

SMALL: dict[str, Any] = {"lr": 1e-2, "rank": 4, "alpha": 8.0}


@pytest.fixture(scope="module")
def folder(checkpoint: Callable[..., Path]) -> Path:
    """A tiny random Llama."""
    return checkpoint(families.LLAMA)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a reward model."""
    run = tmp_path_factory.mktemp("runs") / "rm"
    with offline.desk(run) as desk:
        Reward(**SMALL).fit(offline.policy(folder), offline.pairs(12), [], desk)
    return run


def cases() -> list[Case]:
    """Answers of different lengths to three questions, one cut, one empty, in no order."""
    replies = [
        Reply("it floats because water is heavier"),
        Reply("no idea"),
        Reply("because it is", "length", ids=(4, 5, 6)),
        Reply("  "),
        Reply("water", ids=(1, 2)),
        Reply("no"),
    ]
    prompts = [offline.prompt(i) for i in (1, 2, 1, 3, 2, 3)]
    return [
        Case(f"c{i}", "ice", prompt, reply)
        for i, (prompt, reply) in enumerate(zip(prompts, replies, strict=True))
    ]


def of_trl(folder: Path, run: Path, asked: list[Case]) -> list[float]:
    """Scores of the model as TRL trained it, on the same token ids, in one padded batch."""
    subject = Subject.of(offline.policy(folder), Settings(**SMALL), True)
    read_adapter(subject, run / "adapter")
    agent = subject.agent
    rows = [agent.prompt_ids(case.prompt) + said(agent, case.reply) for case in asked]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    with torch.no_grad():
        scores: list[float] = subject.model(ids, mask).logits[:, 0].tolist()
    return scores


@pytest.mark.parametrize("batch_tokens", [16384, 1])
def test_scores_are_those_of_the_model_that_trl_trained(
    batch_tokens: int, folder: Path, trained: Path
) -> None:
    """fp32, to 1e-4: on our backbone, without padding, each prompt read once, in one pass or in many."""
    judge = RewardModel(offline.policy(folder, adapter=str(trained), batch_tokens=batch_tokens))
    asked = cases()
    verdicts = judge.rate(judge.model, asked, range(6))
    answered = [case for case in asked if case.reply.text.strip()]
    expected = dict(zip((case.id for case in answered), of_trl(folder, trained, answered), strict=True))
    assert verdicts[3].status == "empty_answer" and verdicts[3].reward is None
    found = {verdict.id: verdict.reward for verdict in verdicts if verdict.reward is not None}
    assert found == pytest.approx(expected, abs=1e-4)
    assert len({round(value, 3) for value in found.values()}) == 5
    assert {(verdict.rating, verdict.scale) for verdict in verdicts if verdict.reward is not None} == {
        (None, "score")
    }


@pytest.mark.slow
@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.name)
def test_every_family_can_be_a_reward_model(
    family: families.Family, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """Its order of the training pairs is that of the last measurement."""
    records = offline.pairs(6)
    options = {"checkpoint": str(checkpoint(family)), "precision": "fp32", "device": "cpu"}
    with offline.desk(tmp_path) as desk:
        Reward(**SMALL).fit(family.agent(**options), records, records, desk)
    judge = RewardModel(family.agent(**options, adapter=str(tmp_path)))
    found = [
        [judge.rate(judge.model, [Case("c", "ice", r.prompt, side)], [0])[0].reward for side in sides]
        for r in records
        for sides in [(r.chosen, r.rejected)]
    ]
    margins = [(chosen or 0.0) - (rejected or 0.0) for chosen, rejected in found]
    last = offline.table(tmp_path, "evaluations")[-1]
    assert last["margin"] == pytest.approx(sum(margins) / 6, rel=1e-4, abs=1e-4)


def test_the_judge_scores_with_its_own_weights_whoever_is_asked(folder: Path, trained: Path) -> None:
    """And a bare agent on the same weights speaks as before."""
    judge = RewardModel(offline.policy(folder, adapter=str(trained)))
    bare = offline.policy(folder)
    before = bare.logps([offline.prompt(1)], [Reply("it floats")])
    own, other = (judge.rate(agent, cases()[:2], (0, 1)) for agent in (judge.model, bare))
    assert [v.reward for v in own] == [v.reward for v in other]
    assert bare.logps([offline.prompt(1)], [Reply("it floats")]) == before


def test_a_score_that_is_no_number_abstains(
    folder: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no reward of 0."""
    judge = RewardModel(offline.policy(folder, adapter=str(trained)))
    monkeypatch.setitem(judge.__dict__, "head", judge.head * float("nan"))
    verdicts = judge.rate(judge.model, cases()[:2], (0, 1))
    assert [(v.reward, v.status) for v in verdicts] == [(None, "score_not_a_number")] * 2


def test_an_adapter_without_a_head_is_no_reward_model(folder: Path, tmp_path: Path) -> None:
    """The error names the learner that makes one."""
    with offline.desk(tmp_path) as desk:
        SFT(**SMALL).fit(offline.policy(folder), offline.examples(4), [], desk)
    judge = RewardModel(offline.policy(folder, adapter=str(tmp_path)))
    with pytest.raises(ConfigError, match="no reward model.*train=reward"):
        judge.rate(judge.model, cases(), range(6))
    with pytest.raises(ConfigError, match="judge.agent.adapter.*train=reward"):
        RewardModel(offline.policy(folder))


def test_a_head_of_another_size_is_refused(folder: Path, trained: Path, tmp_path: Path) -> None:
    """It belongs to another model."""
    import shutil

    from safetensors.torch import save_file

    shutil.copytree(trained / "adapter", tmp_path / "adapter")
    save_file({"weight": torch.zeros(1, 8)}, tmp_path / "adapter" / "reward_head.safetensors")
    judge = RewardModel(offline.policy(folder, adapter=str(tmp_path)))
    with pytest.raises(Unavailable, match=r"shape \(1, 8\).*needs \(1, 64\)"):
        judge.rate(judge.model, cases(), range(6))


def test_the_prompt_of_a_case_is_the_prompt_of_a_pair(folder: Path, trained: Path) -> None:
    """What was trained on is what is judged: the same ids, and so the order of the training pairs."""
    judge = RewardModel(offline.policy(folder, adapter=str(trained)))
    records = offline.pairs(6)
    asked = [
        Case(f"{i}{side}", "ice", record.prompt, getattr(record, side))
        for i, record in enumerate(records)
        for side in ("chosen", "rejected")
    ]
    rewards = [verdict.reward or 0.0 for verdict in judge.rate(judge.model, asked, range(12))]
    assert all(chosen > rejected for chosen, rejected in zip(rewards[::2], rewards[1::2], strict=True))
