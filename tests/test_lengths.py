"""Length: how much longer the chosen side is, and what a rating gains at equal length."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.dialogue import Message
from arena.feedback.lengths import about_equal, equal_length, length_bias, log_ratio, words
from arena.stats.intervals import clustered_mean

DATA = Path(os.environ.get("ARENA_DATA", Path(__file__).parents[2] / "shared" / "data"))


def said(count: int) -> list[Message]:
    """One message of `count` words."""
    return [Message(role="assistant", content=" ".join(["word"] * count))]


def pairs(*counts: tuple[str, int, int]) -> list[dict[str, Any]]:
    """Rows of (problem, words chosen, words rejected)."""
    return [{"dialogue": d, "chosen": said(c), "rejected": said(r)} for d, c, r in counts]


def simulated(
    draw: np.random.Generator, gain: float, slope: float, questions: int = 40, each: int = 2
) -> tuple[list[float], list[float], list[int]]:
    """Changes = gain + slope x log length ratio + an effect of the question + noise; revisions are longer."""
    clusters = np.repeat(np.arange(questions), each)
    ratios = draw.normal(0.3, 0.4, len(clusters)) + draw.normal(0, 0.2, questions)[clusters]
    noise = draw.normal(0, 0.5, len(clusters)) + draw.normal(0, 0.5, questions)[clusters]
    return list(gain + slope * ratios + noise), list(ratios), list(clusters)


def covered(gain: float, slope: float, each: int = 2, clusters: Sequence[int] | None = None) -> float:
    """Share of 200 simulations whose interval covers the planted gain."""
    hits = 0
    for seed in range(200):
        changes, ratios, questions = simulated(np.random.default_rng(seed), gain, slope, each=each)
        found = equal_length(changes, ratios, clusters or questions)
        assert found is not None
        low, high = found.interval
        hits += low <= gain <= high
    return hits / 200


def test_a_pure_effect_of_length_is_no_gain() -> None:
    """The interval covers 0 in about 95 % of simulations: 200 of them give 0.95 ± 0.03."""
    assert 0.91 <= covered(gain=0.0, slope=2.0) <= 0.99


def test_a_true_gain_is_covered_as_often() -> None:
    """Also beside an effect of length in the other direction."""
    assert 0.91 <= covered(gain=0.7, slope=-1.0) <= 0.99


def test_taking_values_of_a_question_for_questions_covers_too_rarely() -> None:
    """Which is what the clusters are for."""
    assert covered(gain=0.0, slope=2.0, each=4, clusters=range(160)) < 0.91 <= covered(0.0, 2.0, each=4)


def test_a_true_gain_is_recovered() -> None:
    """0.7 is found, and 0 is excluded, although length alone would have given 0.6 more."""
    changes, ratios, questions = simulated(np.random.default_rng(0), 0.7, 2.0, questions=400)
    found = equal_length(changes, ratios, questions)
    assert found is not None
    assert found.value == pytest.approx(0.7, abs=0.1)
    assert found.interval[0] > 0.5
    assert float(np.mean(changes)) > 1.2


def test_lengths_that_do_not_differ_tell_no_gain_at_equal_length() -> None:
    """All twice as long: nobody knows."""
    assert equal_length([1.0, 2.0, 1.5], [0.7, 0.7, 0.7], ["a", "b", "c"]) is None


def test_words_are_counted_over_messages() -> None:
    """Runs of white space separate them."""
    assert words([*said(3), Message(role="assistant", content=" two\n\nwords ")]) == 5


def test_a_log_ratio_is_turned_round_exactly() -> None:
    """So that a balanced set sums to 0."""
    assert log_ratio(7, 3) == -log_ratio(3, 7)
    assert log_ratio(6, 3) == pytest.approx(math.log(2))


def test_a_text_without_words_counts_as_one_word() -> None:
    """The logarithm of 0 is no number."""
    assert log_ratio(0, 4) == -math.log(4)


@pytest.mark.parametrize(("one", "other", "equal"), [(110, 100, True), (100, 110, True), (111, 100, False)])
def test_equal_lengths_differ_by_a_tenth_at_most(one: int, other: int, equal: bool) -> None:
    """Of the shorter one, whichever comes first."""
    assert about_equal(one, other) == equal


def test_the_bias_is_the_ratio_of_the_means() -> None:
    """(6 + 2) / (3 + 2) = 1.6; one of two is longer."""
    bias = length_bias(pairs(("a", 6, 3), ("b", 2, 2)))
    assert (bias.chosen, bias.rejected, bias.ratio, bias.longer) == (4.0, 2.5, pytest.approx(1.6), 0.5)
    assert bias.longer_interval == pytest.approx((0.0945, 0.9055), abs=1e-3)


def test_the_interval_of_the_ratio_covers_it_at_about_its_level() -> None:
    """True ratio 1.5 of the means, 60 problems of two pairs that share their length."""
    hits = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        rejected = draw.integers(40, 120, 60)
        chosen = np.round(rejected * draw.choice([0.9, 1.2, 1.5, 1.8, 2.1], 60)).astype(int)
        rows = [(f"d{i}", int(c), int(r)) for i, (c, r) in enumerate(zip(chosen, rejected, strict=True))]
        low, high = length_bias(pairs(*rows, *rows)).interval
        hits += low <= 1.5 <= high
    assert 52 <= hits <= 60


def test_the_interval_is_of_problems_and_not_of_pairs() -> None:
    """The same pairs ten times over are as uncertain as once."""
    rows = [(f"d{i}", 10 + 7 * i, 12 + 3 * i) for i in range(12)]
    assert length_bias(pairs(*rows * 10)).interval == pytest.approx(length_bias(pairs(*rows)).interval)


def test_one_problem_tells_no_interval() -> None:
    """Anything may be."""
    assert length_bias(pairs(("a", 6, 3), ("a", 4, 3))).interval == (0.0, math.inf)


def test_the_interval_follows_the_seed() -> None:
    """And nothing else."""
    rows = pairs(*[(f"d{i}", 10 + 7 * i, 12 + 3 * i) for i in range(12)])
    assert length_bias(rows, seed=1) == length_bias(rows, seed=1)
    assert length_bias(rows, seed=1).interval != length_bias(rows, seed=2).interval


def selfee(name: str) -> list[dict[str, Any]]:
    """Rows of a file of SelFee's published evaluation."""
    path = DATA / "selfee" / name
    if not path.is_file():
        pytest.skip(f"needs {path}; set ARENA_DATA")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_gain_of_published_revisions_is_mostly_length() -> None:
    """SelFee 13B, none against three revisions: GPT-4's ratings rise, beside ChatGPT in both orders.

    At equal length nothing is left of it that can be told from 0. Words as published: 261 and 333.
    """
    counts, ratings = {}, {}
    for revisions in (0, 3):
        model = f"selfee_13b_enforce_{revisions}_revisions"
        counts[revisions] = {
            row["question_id"]: len(row["text"].split()) for row in selfee(f"answer/{model}.jsonl")
        }
        second = {row["question_id"]: row["score"][1] for row in selfee(f"review/chatgpt_vs_{model}.jsonl")}
        first = {row["question_id"]: row["score"][0] for row in selfee(f"review/{model}_vs_chatgpt.jsonl")}
        ratings[revisions] = {question: (first[question] + second[question]) / 2 for question in first}
    questions = sorted(ratings[0])
    assert [round(float(np.mean(list(counts[r].values())))) for r in (0, 3)] == [261, 333]
    changes = [ratings[3][question] - ratings[0][question] for question in questions]
    ratios = [log_ratio(counts[3][question], counts[0][question]) for question in questions]
    raw, equal = clustered_mean(changes, questions), equal_length(changes, ratios, questions)
    assert raw is not None and equal is not None
    assert raw.interval[0] > 0
    assert equal.interval[0] < 0 < equal.value < raw.value / 2
