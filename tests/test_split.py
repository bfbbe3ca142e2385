"""The split: no problem on both sides, enough of each kind held out; the balance: length teaches nothing."""

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import ConfigError
from agents.dialogue import Message
from arena.feedback.lengths import log_ratio
from arena.feedback.split import balance, split

KINDS = ("critique", "refinement", "preference")


def pair(id: str, dialogue: str, kind: str, chosen: int = 1, rejected: int = 1) -> dict[str, Any]:
    """A row of `preferences.jsonl` as far as it matters here; numbers of words."""
    texts = {
        side: [Message(role="assistant", content="word " * n)]
        for side, n in (("chosen", chosen), ("rejected", rejected))
    }
    return {"id": id, "dialogue": dialogue, "kind": kind, **texts}


def of(dialogues: list[tuple[int, str]]) -> list[dict[str, Any]]:
    """Pairs from (number of the problem, kind)."""
    return [pair(f"p{i}", f"d{problem:04d}", kind) for i, (problem, kind) in enumerate(dialogues)]


def many(problems: int = 100) -> list[dict[str, Any]]:
    """One pair of each problem, kinds in turn."""
    return of([(i, KINDS[i % 3]) for i in range(problems)])


SOME = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(KINDS)), max_size=40)


@settings(deadline=None)
@given(SOME, st.floats(0, 0.6), st.integers(0, 3))
def test_the_sides_share_no_problem_and_enough_is_held_out(
    drawn: list[tuple[int, str]], share: float, seed: int
) -> None:
    """Of each kind that has two problems or more; and every pair is on one side."""
    rows = of(drawn)
    train, valid = split(rows, share, seed)
    problem = {row["id"]: row["dialogue"] for row in rows}
    assert sorted(train + valid) == sorted(problem)
    assert {problem[id] for id in train} & {problem[id] for id in valid} == set()
    for kind in KINDS:
        own = [row for row in rows if row["kind"] == kind]
        if len({row["dialogue"] for row in own}) > 1:
            assert sum(row["id"] in valid for row in own) >= share * len(own) - 1e-6


@settings(deadline=None)
@given(SOME, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(drawn: list[tuple[int, str]], chance: random.Random) -> None:
    """For the split as for the balance."""
    rows = [
        row | {"chosen": pair("", "", "", chance.randint(0, 9))["chosen"], "rejected": row["rejected"]}
        for row in of(drawn)
    ]
    mixed = chance.sample(rows, len(rows))
    assert [set(side) for side in split(mixed)] == [set(side) for side in split(rows)]
    assert set(balance(mixed)) == set(balance(rows))


def test_not_more_is_held_out_than_needed() -> None:
    """Of 34, 33 and 33 pairs of one problem each a tenth, rounded up: 4 each."""
    _, valid = split(many())
    assert len(valid) == 12


def test_pairs_are_counted_and_not_problems() -> None:
    """Of 20 problems of five pairs a tenth of the pairs is two problems."""
    _, valid = split(of([(i // 5, "critique") for i in range(100)]))
    assert len(valid) == 10


def test_a_share_is_not_rounded_up_for_its_last_digit() -> None:
    """0.07 x 100 is 7.000000000000001 to a machine."""
    _, valid = split(of([(i, "critique") for i in range(100)]), 0.07)
    assert len(valid) == 7


def test_another_seed_holds_out_other_problems() -> None:
    """And the same seed the same."""
    assert split(many(), seed=1) == split(many(), seed=1)
    assert split(many(), seed=1) != split(many(), seed=2)


def test_what_is_held_out_stays_so_when_rows_are_added() -> None:
    """Problems of other kinds change nothing: a problem's place hangs on its id and the seed."""
    rows = of([(i, "critique") for i in range(50)])
    more = [*rows, *(row | {"id": f"q{row['id']}"} for row in of([(i, "preference") for i in range(50, 90)]))]
    assert set(split(rows)[1]) <= set(split(more)[1])


def test_the_only_problem_of_a_kind_is_learned_from() -> None:
    """There is no second one to hold out."""
    train, valid = split(of([(0, "critique"), (0, "critique"), (1, "refinement"), (2, "refinement")]))
    assert {"p0", "p1"} <= set(train)
    assert len(valid) == 1


@pytest.mark.parametrize("seed", range(8))
def test_both_sides_get_a_problem_of_each_kind_where_that_can_be(seed: int) -> None:
    """Two problems of each of two kinds, and one that has both."""
    rows = of([(0, "critique"), (1, "critique"), (1, "preference"), (2, "preference")])
    for side in split(rows, 0.5, seed):
        assert {row["kind"] for row in rows if row["id"] in side} == {"critique", "preference"}


def test_ids_come_in_the_order_of_the_rows() -> None:
    """So that the files are the same in every process."""
    rows = many()
    order = [row["id"] for row in rows]
    for ids in (*split(rows), balance(rows)):
        assert ids == sorted(ids, key=order.index)


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_a_share_that_cannot_be_is_refused(share: float) -> None:
    """With what is allowed."""
    with pytest.raises(ConfigError, match="0 or more and less than 1, got"):
        split(many(), share)


def test_nothing_is_split_into_nothing() -> None:
    """No pairs, no error."""
    assert split([]) == ([], [])
    assert balance([]) == []


def test_balance_drops_the_pair_whose_chosen_side_is_longest() -> None:
    """The sum ln 8 + ln 2 - ln 2 is above 0; without the first it is 0."""
    rows = [pair("a", "d0", "critique", 8), pair("b", "d1", "critique", 2), pair("c", "d2", "critique", 1, 2)]
    assert balance(rows) == ["b", "c"]


def test_balance_keeps_what_is_balanced() -> None:
    """Thirds do not sum to exactly 0 unless they are taken exactly opposite."""
    rows = [pair(f"a{i}", "d0", "critique", 7, 3) for i in range(9)]
    rows += [pair(f"b{i}", "d1", "critique", 3, 7) for i in range(9)]
    assert len(balance(rows)) == 18


def test_balance_looks_at_each_kind_alone() -> None:
    """Short refinements do not make up for long critiques."""
    rows = [pair("a", "d0", "critique", 8), pair("b", "d1", "refinement", 1, 8)]
    assert balance(rows) == ["b"]


def test_balance_drops_the_larger_id_of_equals() -> None:
    """Of two pairs with one ratio one has to go."""
    rows = [pair("b", "d0", "x", 2), pair("a", "d1", "x", 2), pair("c", "d2", "x", 1, 2)]
    assert balance(rows) == ["a", "c"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=20))
def test_balance_is_balanced_and_drops_no_more_than_it_must(counts: list[tuple[int, int]]) -> None:
    """One more of the dropped pairs, even the least one, and the mean is above 0."""
    rows = [pair(f"{i:02d}", "d0", "x", c, r) for i, (c, r) in enumerate(counts)]
    ratio = {row["id"]: log_ratio(*counts[i]) for i, row in enumerate(rows)}
    kept = balance(rows)
    total = [ratio[id] for id in kept]
    assert math.fsum(total) <= 0
    dropped = [ratio[row["id"]] for row in rows if row["id"] not in kept]
    if dropped:
        assert math.fsum([*total, min(dropped)]) > 0
