"""Contrastive search chooses what Equation 5 of Su et al. (2022) says, computed without any cleverness."""

from collections.abc import Callable, Sequence
from pathlib import Path

import families
import pytest
import torch

from agents import backbone as backbones
from agents.contrastive import Contrastive
from agents.engine import Engine
from agents.errors import ConfigError
from agents.flight import Ask
from agents.reader import SHORT, Prompt

Checkpoint = Callable[..., Path]
LIMIT = 14
NEVER = frozenset({999})


@pytest.fixture(params=[families.LLAMA, families.GEMMA], ids=lambda family: family.name)
def folder(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> Path:
    """A checkpoint with full attention, and one with a sliding window."""
    return checkpoint(request.param)


def search(
    folder: Path,
    rows: Sequence[Sequence[int]],
    decoding: Contrastive,
    ends: frozenset[int] = NEVER,
    tokens: int = 10_000,
) -> list[list[int]]:
    """The batched continuations of `rows`."""
    backbone = backbones.load(str(folder), "main", "fp32", "cpu")
    asks = [Ask(Prompt(tuple(row)), decoding, 1, LIMIT, ends, 0) for row in rows]
    found = decoding.write(Engine(backbone, tokens), asks)
    return [list(sampled.ids) for (sampled,) in found]


def naive(folder: Path, row: Sequence[int], alpha: float, k: int) -> list[int]:
    """One row, reading everything anew for each candidate of each step."""
    read = list(row)
    for _ in range(LIMIT):
        logits, states = families.read(folder, read)
        scores = {}
        for candidate in logits[-1].topk(k).indices.tolist():
            state = families.read(folder, [*read, candidate])[1][-1]
            likeness = torch.cosine_similarity(states, state[None]).max()
            scores[candidate] = (1 - alpha) * logits[-1].softmax(-1)[candidate] - alpha * likeness
        read.append(max(scores, key=lambda candidate: float(scores[candidate])))
    return read[len(row) :]


@pytest.mark.parametrize("shared", [0, SHORT + 5], ids=["apart", "shared"])
def test_a_batch_equals_the_equation_row_by_row(folder: Path, shared: int) -> None:
    """The tree of candidates, rows of other lengths and the cache change no token."""
    rows = families.rows(3, 21, 9, shared=shared)
    expected = [naive(folder, row, alpha=0.6, k=4) for row in rows]
    assert search(folder, rows, Contrastive(alpha=0.6, k=4)) == expected


def test_the_penalty_changes_what_is_said(folder: Path) -> None:
    """Else the comparison with the equation would show nothing."""
    rows = families.rows(3, 21, 9)
    assert search(folder, rows, Contrastive(alpha=0.6)) != search(folder, rows, Contrastive(alpha=0.0))


def test_without_a_penalty_it_is_greedy(folder: Path) -> None:
    """With alpha = 0 there is nothing but the probability."""
    rows = families.rows(3, 21, 9)
    expected = [families.greedy(folder, row, LIMIT) for row in rows]
    assert search(folder, rows, Contrastive(alpha=0.0)) == expected


def test_one_candidate_is_greedy(folder: Path) -> None:
    """With k = 1 there is no choice."""
    rows = families.rows(3, 21, 9)
    assert search(folder, rows, Contrastive(k=1)) == [families.greedy(folder, row, LIMIT) for row in rows]


def test_rows_end_by_themselves_and_leave_the_others_unchanged(folder: Path) -> None:
    """A finished row stops at its end token; the rest goes on as without it."""
    rows = families.rows(3, 21, 9)
    free = search(folder, rows, Contrastive())
    ends = frozenset({free[1][4]})
    expected = [
        said[: said.index(free[1][4]) + 1] if free[1][4] in said else said for said in map(list, free)
    ]
    assert search(folder, rows, Contrastive(), ends) == expected


def test_more_than_one_draft_is_refused(folder: Path) -> None:
    """Equal drafts make no preference; the message names what samples."""
    backbone = backbones.load(str(folder), "main", "fp32", "cpu")
    asks = [Ask(Prompt((1, 2, 3)), Contrastive(), 2, 4, NEVER, 0)]
    with pytest.raises(ConfigError, match="2 drafts would be equal: take agents.decoding.Sampling"):
        Contrastive().write(Engine(backbone), asks)


def test_the_budget_changes_no_token(folder: Path) -> None:
    """One row at a time, two, or all."""
    rows = families.rows(3, 21, 9)
    found = [search(folder, rows, Contrastive(), tokens=tokens) for tokens in (1, 90, 10_000)]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("options", [{"alpha": -0.1}, {"alpha": 1.1}, {"k": 0}], ids=str)
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    """The message names the ranges."""
    with pytest.raises(ConfigError, match=r"alpha in \[0, 1\] and k >= 1"):
        Contrastive(**options)
