"""The loop of our own offline learners: its mean, its schedule, its checkpoints, and what ends it."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import families
import pytest
import torch
from memo_desk import MemoDesk
from safetensors.torch import load_file

from agents import ConfigError
from agents.backbone import load
from agents.families import Llama
from arena.scribe import Stopped
from arena.train.errors import Diverged
from arena.train.fitting import Fitting, Task

GROUPS = [(prompt, [completion]) for prompt, completion in zip(
    families.rows(9, 30, 14, 22, 17), families.rows(5, 12, 3, 8, 6), strict=True
)]  # fmt: skip
QUICK: dict[str, Any] = {"rank": 4, "alpha": 8.0, "lr": 1e-2, "batch": 2, "epochs": 2}
"""Two epochs of three steps."""


def nll(numbers: Sequence[int], logps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Minus the log-probability of each completion."""
    return torch.stack([-row.sum() for row in logps])


def task(**changes: Any) -> Task:
    """To say five completions after five prompts."""
    parts: dict[str, Any] = {"groups": GROUPS, "sizes": [1] * 5, "losses": nll, "evaluate": lambda: {"x": 1}}
    return Task(**{**parts, **changes})


@pytest.fixture
def fresh(checkpoint: Callable[..., Path]) -> Callable[[], Llama]:
    """A function that gives a tiny Llama on weights that nobody has touched."""

    def agent() -> Llama:
        load.cache_clear()
        return Llama(checkpoint=str(checkpoint(families.LLAMA)), precision="fp32", device="cpu")

    return agent


def fitted(agent: Llama, desk: Any, what: Task, **settings: Any) -> None:
    """Run the loop."""
    Fitting(**{**QUICK, **settings}).run(agent, what, desk)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"lr": 0.0}, "lr=0.0"),
        ({"lr": math.nan}, "lr=nan"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch": 0}, "batch=0"),
        ({"rank": 0}, "rank=0"),
        ({"warmup": -1}, "warmup=-1"),
        ({"max_grad_norm": 0}, "max_grad_norm=0"),
        ({"schedule": "sine"}, "linear, cosine, constant"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(settings: dict[str, Any], named: str) -> None:
    """By its name."""
    with pytest.raises(ConfigError, match=named):
        Fitting(**settings)


def test_the_rate_rises_and_falls() -> None:
    """Two steps up, eight down; the last step still learns."""
    linear = Fitting(lr=1.0, warmup=2)
    assert [linear.rate(step, 10) for step in (1, 2, 3, 7, 10)] == pytest.approx([0.5, 1, 1, 0.5, 0.125])
    cosine = Fitting(lr=1.0, warmup=2, schedule="cosine")
    assert [cosine.rate(step, 10) for step in (3, 5, 7)] == pytest.approx([1, 0.853553, 0.5], abs=1e-6)
    constant = Fitting(lr=1.0, warmup=0, schedule="constant")
    assert {constant.rate(step, 10) for step in range(1, 11)} == {1.0}


def test_an_epoch_takes_every_prompt_once_in_an_order_of_its_own() -> None:
    """The same for the same seed, another for another."""
    fitting = Fitting(batch=4, epochs=2, seed=3)
    first = [fitting.batch_of(step, 10) for step in (1, 2, 3)]
    second = [fitting.batch_of(step, 10) for step in (4, 5, 6)]
    assert fitting.steps(10) == 6
    assert sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(10))
    assert first != second
    assert first == [Fitting(batch=4, seed=3).batch_of(step, 10) for step in (1, 2, 3)]
    assert first != [Fitting(batch=4, seed=4).batch_of(step, 10) for step in (1, 2, 3)]


def test_the_size_of_a_pass_changes_nothing(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """Gradients are those of the mean over the batch, however it is cut; here into one or four passes."""
    rows = []
    for size in (4096, 30):
        desk = MemoDesk(tmp_path / str(size))
        fitted(fresh(), desk, task(), batch=5, epochs=1, micro_tokens=size)
        rows.append(desk.metrics[1])
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-5)
    assert rows[0]["grad_norm"] == pytest.approx(rows[1]["grad_norm"], rel=1e-4)


def test_the_loss_is_a_mean_over_records(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """A prompt may hold several; the loss of the first step is that of the bare checkpoint."""
    agent, desk = fresh(), MemoDesk(tmp_path)
    fitted(agent, desk, task(sizes=[3, 1, 1, 1, 2]), batch=5, epochs=1)
    total = 0.0
    for prompt, [completion] in GROUPS:
        logits, _ = families.read(Path(agent.source[0]), [*prompt, *completion])
        logps = logits[len(prompt) - 1 : -1].log_softmax(-1)
        total -= float(logps.gather(-1, torch.tensor(completion)[:, None]).sum())
    assert desk.metrics[1]["records"] == 8
    assert desk.metrics[1]["loss"] == pytest.approx(total / 8, rel=1e-5)


def test_training_lowers_the_loss_and_leaves_the_base(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """The final adapter, on fresh weights, says what was learned."""
    agent, desk = fresh(), MemoDesk(tmp_path)
    before = {k: v.clone() for k, v in agent.backbone.model.state_dict().items()}
    fitted(agent, desk, task(), batch=5, epochs=30)
    assert desk.metrics[30]["loss"] < 0.5 * desk.metrics[1]["loss"]
    after = {k.replace(".base_layer", ""): v for k, v in agent.backbone.model.state_dict().items()}
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert any(bool(value.any()) for key, value in desk.adapter().items() if "lora_B" in key)


def test_a_run_that_was_stopped_ends_with_the_same_bits(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """Stopped after the fourth of six steps, between two checkpoints, with a schedule and a warm-up."""
    settings: dict[str, Any] = {"warmup": 2, "schedule": "cosine", "save_every": 3, "seed": 5}
    straight, broken = MemoDesk(tmp_path / "straight"), MemoDesk(tmp_path / "broken", stop_after=4)
    fitted(fresh(), straight, task(), **settings)
    with pytest.raises(Stopped):
        fitted(fresh(), broken, task(), **settings)
    assert broken.checkpoint() == (4, tmp_path / "broken/checkpoints/step-000004")
    agent, again = fresh(), MemoDesk(tmp_path / "broken")
    fitted(agent, again, task(), **settings)
    assert sorted(again.metrics) == [5, 6] and agent.updates == 6
    expected, found = straight.adapter(), again.adapter()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert again.metrics[6]["loss"] == straight.metrics[6]["loss"]


def test_a_finished_run_has_nothing_to_do(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """The last checkpoint is the end; only the adapter is written, if it is not there."""
    fitted(fresh(), first := MemoDesk(tmp_path), task())
    (tmp_path / "adapter").rename(tmp_path / "moved")
    fitted(fresh(), again := MemoDesk(tmp_path), task())
    assert len(first.metrics) == 6 and not again.metrics and not again.evaluations
    moved = load_file(tmp_path / "moved/adapter_model.safetensors")
    assert all(torch.equal(moved[key], value) for key, value in again.adapter().items())


def test_it_measures_and_saves_when_due(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """Before the first step, every so often, and after the last; None is no measurement."""
    desk = MemoDesk(tmp_path / "a")
    fitted(fresh(), desk, task(), eval_every=4, save_every=4)
    assert sorted(desk.evaluations) == [0, 4, 6]
    saved = sorted(path.name for path in (tmp_path / "a/checkpoints").iterdir())
    assert saved == ["step-000004", "step-000006"]
    fitted(fresh(), silent := MemoDesk(tmp_path / "b"), task(evaluate=lambda: None), epochs=1)
    assert not silent.evaluations


def test_a_loss_that_is_no_number_leaves_the_last_good_weights(
    fresh: Callable[[], Llama], tmp_path: Path
) -> None:
    """The third step's loss is no number: what stays is the second step's, here and as a checkpoint."""
    calls: list[int] = []

    def spoilt(numbers: Sequence[int], logps: Sequence[torch.Tensor]) -> torch.Tensor:
        calls.append(1)
        return nll(numbers, logps) * (math.nan if len(calls) == 3 else 1.0)

    agent, desk = fresh(), MemoDesk(tmp_path / "nan")
    with pytest.raises(Diverged, match="step 3: loss = nan"):
        fitted(agent, desk, task(losses=spoilt), save_every=0)
    assert sorted(desk.metrics) == [1, 2]
    good = MemoDesk(tmp_path / "good", stop_after=2)
    with pytest.raises(Stopped):
        fitted(fresh(), good, task())
    name = "checkpoints/step-000002/adapter_model.safetensors"
    expected, saved = load_file(good.path / name), load_file(desk.path / name)
    held = agent.backbone.adapter_state("critic")
    assert all(torch.equal(expected[key], saved[key]) for key in expected)
    assert all(torch.equal(expected[key], held[key]) for key in expected)


def test_where_memory_runs_out_passes_get_smaller(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """With the same gradient as if it had not."""

    def large(numbers: Sequence[int], logps: Sequence[torch.Tensor]) -> torch.Tensor:
        if len(numbers) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return nll(numbers, logps)

    desks = [MemoDesk(tmp_path / name) for name in ("enough", "short")]
    for desk, losses in zip(desks, (nll, large), strict=True):
        fitted(fresh(), desk, task(losses=losses), batch=5, epochs=1, micro_tokens=200)
    enough, short = (desk.metrics[1] for desk in desks)
    assert short["grad_norm"] == pytest.approx(enough["grad_norm"], rel=1e-4)


def test_other_records_than_the_checkpoint_had_are_refused(
    fresh: Callable[[], Llama], tmp_path: Path
) -> None:
    """And so is training on nothing."""
    with pytest.raises(Stopped):
        fitted(fresh(), MemoDesk(tmp_path, stop_after=1), task())
    with pytest.raises(ConfigError, match="5 training prompts and there are 4 now"):
        fitted(fresh(), MemoDesk(tmp_path), task(groups=GROUPS[:4], sizes=[1] * 4))
    with pytest.raises(ConfigError, match="empty"):
        fitted(fresh(), MemoDesk(tmp_path / "none"), task(groups=[], sizes=[]))
