"""The next token is chosen by the distribution, truncated and inverted as its settings say."""

import pytest
import torch

from agents.decoding import Sampling
from agents.errors import ArenaError, ConfigError

GREEDY = Sampling(temperature=0)


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.0, 1), (0.49, 1), (0.5, 2), (0.74, 2), (0.75, 4), (1 - 2**-53, 4)]
)
def test_a_token_is_picked_by_inverting_the_distribution(uniform: float, token: int) -> None:
    """Probabilities 0, 1/2, 1/4, 0, 1/4: a token without probability is never picked."""
    logits = torch.tensor([[0.0, 0.5, 0.25, 0.0, 0.25]]).log()
    assert Sampling().pick(logits, torch.tensor([uniform], dtype=torch.float64)).tolist() == [token]


def test_a_last_token_without_probability_is_never_picked() -> None:
    """The greatest number below 1 still falls on a token that has some."""
    logits = torch.tensor([[0.3, 0.3, 0.1, 0.0]]).log()
    highest = torch.tensor([1 - 2**-53], dtype=torch.float64)
    assert Sampling().pick(logits, highest).tolist() == [2]


@pytest.mark.parametrize("sampling", [Sampling(), GREEDY, Sampling(temperature=0.7, top_p=0.9)], ids=str)
@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_are_no_numbers_is_refused(sampling: Sampling, odd: float) -> None:
    """No token is made up for a model that has diverged."""
    logits = torch.tensor([[0.0, 1.0, 2.0], [0.0, odd, 1.0]])
    with pytest.raises(ArenaError, match=r"lower train\.lr"):
        sampling.pick(logits, torch.tensor([0.5, 0.5], dtype=torch.float64))


def test_temperature_zero_takes_the_likeliest() -> None:
    """Greedy does not look at the random number."""
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    assert GREEDY.pick(logits, torch.tensor([0.999], dtype=torch.float64)).tolist() == [1]


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(), [0.5, 0.25, 0.15, 0.1]),
        (Sampling(temperature=0.5), [0.7246, 0.1812, 0.0652, 0.0290]),
        (Sampling(temperature=2.0), [0.3701, 0.2617, 0.2027, 0.1655]),
        (Sampling(top_p=0.4), [1.0, 0, 0, 0]),
        (Sampling(top_p=0.6), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(top_p=0.8), [5 / 9, 5 / 18, 1 / 6, 0]),
        (Sampling(min_p=0.25), [5 / 9, 5 / 18, 1 / 6, 0]),
        (Sampling(min_p=0.45), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(top_p=0.6, min_p=0.45), [1.0, 0, 0, 0]),
        (Sampling(top_p=0.7, min_p=0.45), [2 / 3, 1 / 3, 0, 0]),
    ],
)
def test_truncation_keeps_the_right_tokens(sampling: Sampling, kept: list[float]) -> None:
    """Probabilities 0.5, 0.25, 0.15, 0.1 after temperature, then min-p, then the nucleus of the rest."""
    order = [2, 0, 3, 1]
    logits = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()[order][None]
    probs = sampling.probabilities(logits)[0]
    expected = torch.tensor(kept)[order]
    torch.testing.assert_close(probs / probs.sum(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "options",
    [{"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.1}, {"min_p": -0.1}, {"min_p": 1.0}],
    ids=str,
)
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    """The message names the ranges."""
    with pytest.raises(ConfigError, match=r"top_p in \(0, 1\] and min_p in \[0, 1\)"):
        Sampling(**options)
