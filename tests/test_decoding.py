"""Batched decoding says what a loop without cache, padding and company would say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
import torch
from scipy import stats

from agents import backbone as backbones
from agents.backbone import Backbone
from agents.decoding import SHARED_MIN, Sampled, Sampling, cut, grouped, prefill, shared_prefix
from agents.errors import ConfigError

Checkpoint = Callable[..., Path]
GREEDY = Sampling(temperature=0)
LIMIT = 12
NEVER = 999
"""An end that no vocabulary here has."""


@pytest.fixture(params=families.FAMILIES, ids=lambda family: family.name)
def folder(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> Path:
    """A checkpoint of each family."""
    return checkpoint(request.param)


@pytest.fixture
def llama(checkpoint: Checkpoint) -> Backbone:
    """A tiny Llama."""
    return load(checkpoint(families.LLAMA))


class Counting(Backbone):
    """Keeps the shapes of what it reads."""

    shapes: list[tuple[int, ...]]

    def hidden(self, ids: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        """Read as ever."""
        self.shapes.append(tuple(ids.shape))
        return super().hidden(ids, *rest, **options)


def load(folder: Path) -> Backbone:
    """The backbone of a checkpoint on the CPU in fp32."""
    return backbones.load(str(folder), "main", "fp32", "cpu")


def counting(backbone: Backbone) -> Counting:
    """The same weights with a count."""
    counted = Counting(backbone.model, backbone.tokenizer, backbone.weights, backbone.precision)
    counted.shapes = []
    return counted


def generate(
    decoding: Sampling, backbone: Backbone, rows: list[list[int]], n: int = 1, **options: Any
) -> list[list[Sampled]]:
    """Continuations of `rows` without an end, under seeds that are their positions."""
    settings = {"limit": LIMIT, "ends": frozenset({NEVER}), "seeds": range(len(rows)), **options}
    return decoding.generate(backbone, rows, n, **settings)


@pytest.mark.parametrize("shared", [0, SHARED_MIN + 5], ids=["apart", "shared"])
def test_greedy_replies_of_a_padded_batch_equal_a_loop_without_cache(folder: Path, shared: int) -> None:
    """Padding, positions, windows and the shared prefix change no token."""
    rows = families.rows(3, 21, 9, shared=shared)
    replies = generate(GREEDY, load(folder), rows)
    assert [list(reply.ids) for (reply,) in replies] == [families.greedy(folder, row, LIMIT) for row in rows]


def test_rows_end_by_themselves_and_leave_the_others_unchanged(folder: Path) -> None:
    """An end token is the last of its row, is counted as said, and disturbs no neighbour."""
    rows = families.rows(5, 17, 11, 8)
    free = [families.greedy(folder, row, LIMIT) for row in rows]
    ends = frozenset({free[0][2], free[2][6]})
    replies = generate(GREEDY, load(folder), rows, ends=ends)
    expected = [families.greedy(folder, row, LIMIT, ends) for row in rows]
    assert [list(reply.ids) for (reply,) in replies] == expected
    assert [reply.ended for (reply,) in replies] == [said[-1] in ends for said in expected]
    assert len({len(said) for said in expected}) > 1


def test_a_finished_row_is_not_read_any_more(llama: Backbone) -> None:
    """Finished rows cost nothing."""
    rows = families.rows(6, 6)
    counted = counting(llama)
    (first,), (second,) = generate(GREEDY, counted, rows)
    end = next(token for token in first.ids if token not in second.ids)
    counted.shapes.clear()
    generate(GREEDY, counted, rows, ends=frozenset({end}))
    alone = LIMIT - 1 - first.ids.index(end)
    assert counted.shapes.count((1, 1)) == alone > 0


def test_what_is_shared_is_read_once(llama: Backbone) -> None:
    """One row reads the common prefix, then each row its own rest."""
    counted = counting(llama)
    prefill(counted, families.rows(4, 7, shared=SHARED_MIN))
    assert counted.shapes == [(1, SHARED_MIN), (2, 7)]


def test_drafts_share_the_reading_of_their_prompt(llama: Backbone) -> None:
    """Five drafts of two prompts read two rows, then ten."""
    counted = counting(llama)
    generate(Sampling(), counted, families.rows(4, 7), n=5, limit=2)
    assert counted.shapes == [(2, 7), (10, 1)]


def test_drafts_differ(llama: Backbone) -> None:
    """Each draft has a random stream of its own."""
    drafts = generate(Sampling(), llama, families.rows(4, 7), n=5)
    assert [len({draft.ids for draft in row}) for row in drafts] == [5, 5]


def test_equal_seeds_give_equal_drafts_whatever_else_is_in_the_batch(llama: Backbone) -> None:
    """A row is the same alone, among others, and in another place."""
    rows = families.rows(4, 15, 9, 30)
    together = generate(Sampling(), llama, rows, n=2, seeds=[10, 11, 12, 13])
    backwards = generate(Sampling(), llama, rows[::-1], n=2, seeds=[13, 12, 11, 10])
    alone = [generate(Sampling(), llama, [row], n=2, seeds=[10 + i])[0] for i, row in enumerate(rows)]
    assert together == backwards[::-1] == alone


def test_other_seeds_give_other_drafts(llama: Backbone) -> None:
    """The seed decides."""
    one, two = (generate(Sampling(), llama, families.rows(9), seeds=[seed]) for seed in (1, 2))
    assert one != two


def test_fewer_drafts_are_the_first_of_more(llama: Backbone) -> None:
    """Draft number two is the same whether three or five are asked for."""
    three, five = (generate(Sampling(), llama, families.rows(9, 4), n=n) for n in (3, 5))
    assert [row[:3] for row in five] == three


def test_a_lower_limit_cuts_the_same_reply(llama: Backbone) -> None:
    """The limit changes where a reply is cut, not what it says."""
    short, long = (generate(Sampling(), llama, families.rows(9), limit=limit) for limit in (5, 9))
    assert long[0][0].ids[:5] == short[0][0].ids


def test_a_reply_at_the_limit_has_not_ended(llama: Backbone) -> None:
    """A cut reply has as many tokens as allowed, and is known as cut."""
    ((reply,),) = generate(GREEDY, llama, families.rows(9), limit=4)
    assert len(reply.ids) == 4
    assert not reply.ended


def test_an_end_at_the_limit_has_ended(llama: Backbone) -> None:
    """A reply whose last allowed token ends it is not a cut one."""
    ((free,),) = generate(GREEDY, llama, families.rows(9))
    end = free.ids[-1]
    limit = free.ids.index(end) + 1
    ((reply,),) = generate(GREEDY, llama, families.rows(9), ends=frozenset({end}), limit=limit)
    assert reply.ended
    assert len(reply.ids) == limit


def test_sampling_follows_the_distribution_of_the_model(checkpoint: Checkpoint, llama: Backbone) -> None:
    """First tokens of 4000 drafts occur as often as the model says (chi-square)."""
    row = families.rows(9)
    drafts = generate(Sampling(), llama, row, n=4000, limit=1)[0]
    counts = np.bincount([draft.ids[0] for draft in drafts], minlength=len(llama.tokenizer))
    expected = families.read(checkpoint(families.LLAMA), row[0])[0][-1].softmax(-1).double().numpy() * 4000
    common = expected >= 5
    seen = [*counts[common], counts[~common].sum()]
    wanted = np.array([*expected[common], expected[~common].sum()])
    assert stats.chisquare(seen, wanted * sum(seen) / wanted.sum()).pvalue > 0.001


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


@pytest.mark.parametrize(
    ("rows", "length"),
    [
        ([[1, 2, 3], [1, 2, 4]], 2),
        ([[1, 2], [1, 2, 4]], 1),
        ([[1, 2], [1, 2]], 1),
        ([[5], [5, 6]], 0),
        ([[1, 9, 3], [1, 2, 3], [1, 9, 4]], 1),
        ([[7, 8]], 1),
    ],
)
def test_a_shared_prefix_leaves_each_row_a_token(rows: list[list[int]], length: int) -> None:
    """What all rows begin with, less one token for the shortest."""
    assert shared_prefix(rows) == length


def test_a_token_can_be_read_and_forgotten(checkpoint: Checkpoint, llama: Backbone) -> None:
    """After `drop_last` the state continues as if the token had never been read."""
    (row,) = families.rows(9)
    with torch.no_grad():
        state = prefill(llama, [row])
        state.feed(torch.tensor([5]))
        state.drop_last()
        state.feed(torch.tensor([6]))
        logits = llama.logits(state.hidden)[0]
    torch.testing.assert_close(logits, families.read(checkpoint(families.LLAMA), [*row, 6])[0][-1])


def test_cutting_a_cache_keeps_its_beginning(llama: Backbone) -> None:
    """Every layer keeps the first positions."""
    state = prefill(llama, families.rows(9))
    whole = [layer.keys for layer in state.cache.layers]
    cut(state.cache, 4)
    assert state.cache.get_seq_length() == 4
    assert all(
        layer.keys.equal(keys[:, :, :4]) for layer, keys in zip(state.cache.layers, whole, strict=True)
    )


def test_grouping_keeps_the_order() -> None:
    """Neighbours stay together."""
    assert grouped(["a", "b", "c", "d"], 2) == [["a", "b"], ["c", "d"]]
