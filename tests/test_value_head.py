"""The value head: what actor and critic say of one pass, against plain computations."""

from collections.abc import Callable
from pathlib import Path

import families
import pytest
import torch
from torch.distributions import Categorical

from agents import ConfigError
from agents.backbone import Backbone, load
from agents.scoring import Pack, completion_logps
from agents.value_head import ValueHead, actor_critic

GROUPS = [([5, 6, 7, 8], [[9, 10, 11], [12]]), ([20, 21], [[22, 23]])]


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> Path:
    """A tiny random Llama."""
    return checkpoint(families.LLAMA)


@pytest.fixture
def backbone(folder: Path) -> Backbone:
    """Its weights in fp32."""
    return load(str(folder), "main", "fp32", "cpu")


def head(scale: float = 1.0) -> ValueHead:
    """A head that says something."""
    made = ValueHead(64)
    made.weight.data = torch.randn(64, generator=torch.Generator().manual_seed(2)) * scale
    made.bias.data = torch.tensor(0.5)
    return made


def test_one_pass_says_what_plain_passes_do(backbone: Backbone, folder: Path) -> None:
    """Log-probability, entropy and value of every completion token, each row read by transformers alone."""
    made = head()
    with torch.no_grad():
        found = actor_critic(backbone, made, Pack.of(GROUPS, backbone.device))
    logps, entropies, values = [], [], []
    for prompt, completions in GROUPS:
        for completion in completions:
            logits, states = families.read(folder, [*prompt, *completion])
            places = range(len(prompt) - 1, len(prompt) + len(completion) - 1)
            for place, token in zip(places, completion, strict=True):
                chosen_from = Categorical(logits=logits[place])
                logps.append(float(chosen_from.log_prob(torch.tensor(token))))
                entropies.append(float(chosen_from.entropy()))
                state = states[place]
                normal = (state - state.mean()) / (state.var(correction=0) + 1e-5).sqrt()
                values.append(float(normal @ made.weight.detach() + 0.5))
    assert found.logps.tolist() == pytest.approx(logps, abs=1e-4)
    assert found.entropies.tolist() == pytest.approx(entropies, abs=1e-4)
    assert found.values.tolist() == pytest.approx(values, abs=1e-3)
    assert max(entropies) > 0.1  # or the comparison would say little


def test_the_log_probabilities_are_bit_for_bit_those_of_scoring(backbone: Backbone) -> None:
    """So the distance of a policy to an equal reference is exactly 0."""
    pack = Pack.of(GROUPS, backbone.device)
    with torch.no_grad():
        assert torch.equal(actor_critic(backbone, head(), pack).logps, completion_logps(backbone, pack))


def test_a_fresh_head_knows_nothing() -> None:
    """Every value is 0, and yet its weights have a gradient to learn by."""
    made = ValueHead(8)
    values = made(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)).bfloat16())
    assert values.tolist() == [0.0] * 5 and values.dtype == torch.float32
    ((values - 1) ** 2).sum().backward()
    assert made.weight.grad is not None and float(made.weight.grad.norm()) > 0


def test_the_size_of_the_states_does_not_matter() -> None:
    """Families differ in it by orders of magnitude."""
    states = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(head()(states), head()(1000 * states), atol=1e-3)


def test_a_head_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """As safetensors, and nothing beside it."""
    head().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["value_head.safetensors"]
    found = ValueHead(64)
    found.load(tmp_path)
    assert torch.equal(found.weight, head().weight) and torch.equal(found.bias, head().bias)


def test_a_head_of_other_weights_is_refused(tmp_path: Path) -> None:
    """With both shapes."""
    head().save(tmp_path)
    with pytest.raises(ConfigError, match=r"64.*need.*32"):
        ValueHead(32).load(tmp_path)
