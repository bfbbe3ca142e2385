"""Supervised fine-tuning: what is in the loss, that it falls, and that the adapter is what was trained."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import offline
import pytest

from agents.dialogue import Message, Reply
from agents.errors import ConfigError
from arena.train.sft import IGNORED, SFT
from rewards.verdict import Example

SMALL: dict[str, Any] = {"lr": 1e-2, "rank": 4, "alpha": 8.0}


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> Path:
    """A tiny random Llama."""
    return checkpoint(families.LLAMA)


def held_out(agent: Any, examples: list[Example]) -> tuple[float, int]:
    """Mean loss in nats a token, and tokens, as our own engine computes them."""
    said = [Reply(example.completion) for example in examples]
    logps = [logp for row in agent.logps([example.prompt for example in examples], said) for logp in row]
    return -sum(logps) / len(logps), len(logps)


def test_only_completions_are_learned_to_the_end_of_their_turn(folder: Path) -> None:
    """The prompt is what generation sees, and none of it has a label."""
    agent = offline.policy(folder)
    prompt = (
        Message(role="system", content="be brief"),
        Message(role="user", content="one"),
        Message(role="assistant", content="two"),
        Message(role="user", content="three"),
    )
    (row,) = SFT().rows(agent, [Example("e", prompt, "the model <|eot_id|> says", revisions=2)])
    seen = agent.prompt_ids(prompt)
    assert row["input_ids"][: len(seen)] == seen
    assert set(row["labels"][: len(seen)]) == {IGNORED}
    said = row["labels"][len(seen) :]
    assert said == row["input_ids"][len(seen) :] and IGNORED not in said
    assert said[-1] == agent.backbone.tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert said.count(said[-1]) == 1  # the one that is written out is plain text
    assert SFT().size(row) == len(row["input_ids"])


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_the_loss_falls_and_is_that_of_our_own_engine(precision: str, folder: Path, tmp_path: Path) -> None:
    """Before and after: TRL on padded rows, ours on packed ones, with the adapter as it was left."""
    records, held = offline.examples(12), offline.examples(4)
    bare = held_out(offline.policy(folder, precision), held)
    with offline.desk(tmp_path) as desk:
        SFT(**SMALL, epochs=4).fit(offline.policy(folder, precision), records, held, desk)
    first, *_, last = offline.table(tmp_path, "evaluations")
    assert (first["records"], first["tokens"]) == (4, bare[1])
    close = 1e-4 if precision == "fp32" else 0.05  # bf16 between 4-bit layers
    assert first["loss"] == pytest.approx(bare[0], rel=close)
    trained = held_out(offline.policy(folder, precision, str(tmp_path)), held)
    assert last["loss"] == pytest.approx(trained[0], rel=close)
    assert last["loss"] < 0.8 * first["loss"]
    assert last["accuracy"] > first["accuracy"]
    rows = offline.table(tmp_path, "metrics")
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert all(math.isfinite(row[key]) for row in rows for key in SFT.columns)


@pytest.mark.slow
@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.name)
def test_every_family_learns_through_trl(
    family: families.Family, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """The same losses as our own engine's, before and after, whatever its attention and experts."""
    folder, held = checkpoint(family), offline.examples(3)
    agents = [family.agent(checkpoint=str(folder), precision="fp32", device="cpu")]
    with offline.desk(tmp_path) as desk:
        SFT(**SMALL).fit(agents[0], offline.examples(6), held, desk)
    agents.append(family.agent(checkpoint=str(folder), precision="fp32", device="cpu", adapter=str(tmp_path)))
    rows = offline.table(tmp_path, "evaluations")
    assert [row["loss"] for row in rows] == pytest.approx([held_out(a, held)[0] for a in agents], rel=1e-4)
    assert rows[1]["loss"] < rows[0]["loss"]


def test_a_mean_over_tokens_does_not_depend_on_passes(folder: Path, tmp_path: Path) -> None:
    """Four passes of one row, or one of four: the same first loss and the same weights after it."""
    for size, passes in ((1, 4), (4, 1)):
        with offline.desk(tmp_path / str(size)) as desk:
            SFT(**SMALL, batch_size=size, accumulation=passes).fit(
                offline.policy(folder), offline.examples(4), [], desk
            )
    one, four = (offline.table(tmp_path / str(size), "metrics") for size in (1, 4))
    assert len(one) == len(four) == 1
    for key in ("loss", "grad_norm", "tokens"):
        assert one[0][key] == pytest.approx(four[0][key], rel=1e-5)


def test_weights_of_records_are_not_passed_over(folder: Path, tmp_path: Path) -> None:
    """This loss does not know them."""
    weighted = Example("e7", offline.prompt(1), "it is", weight=0.5)
    with offline.desk(tmp_path) as desk, pytest.raises(ConfigError, match="e7 has the weight 0.5"):
        SFT().fit(offline.policy(folder), [weighted], [], desk)
