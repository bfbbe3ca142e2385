"""Alarms of collecting and revising: they are raised by what they are for, and by nothing else."""

from typing import Any

import pytest

from arena.feedback.feedback_alarms import collect_alarms, revise_alarms

Row = dict[str, Any]


def comparisons(statuses: str, kind: str = "preference") -> list[Row]:
    """Rows of feedback: a letter each for about, other, tie, flipped, and x for one that abstains."""
    names = {"a": "about", "o": "other", "t": "tie", "f": "flipped", "x": "no_choice_meant"}
    return [{"kind": kind, "status": names[letter]} for letter in statuses]


def pairs(chosen: int, rejected: int, count: int, kind: str = "critique") -> list[Row]:
    """Preferences of so many words."""
    return [
        {
            "kind": kind,
            "dialogue": f"d{i:04d}",
            "chosen": [{"content": "word " * (chosen + i % 3)}],
            "rejected": [{"content": "word " * (rejected + i % 2)}],
        }
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("statuses", "raised"),
    [("f" * 8 + "ao", True), ("f" * 3 + "aooatoaooa", False), ("ffff", False), ("ffffxxxxxxx", False)],
)
def test_a_judge_that_goes_by_the_place_is_told(statuses: str, raised: bool) -> None:
    """Not for a few flips, nor of too few comparisons."""
    found = collect_alarms({"feedback": comparisons(statuses), "preferences": []})
    assert ("flips" in found) == raised
    if raised:
        assert found["flips"].startswith("80% of 10 comparisons changed")


@pytest.mark.parametrize(
    ("chosen", "rejected", "count", "raised"), [(40, 20, 8, True), (21, 20, 8, False), (40, 20, 3, False)]
)
def test_pairs_that_teach_length_are_told(chosen: int, rejected: int, count: int, raised: bool) -> None:
    """By their kind, with the ratio and its interval."""
    found = collect_alarms({"feedback": [], "preferences": pairs(chosen, rejected, count)})
    assert ("length_critique" in found) == raised


def chain(number: int, words: tuple[int, ...], ratings: tuple[float, ...]) -> tuple[list[Row], ...]:
    """Turns, feedback and verdicts of an answer and its revisions."""
    dialogue = f"d{number:04d}"
    ids = [f"{dialogue}.{2 * i:02d}a" for i in range(len(words))]
    turns = [
        {
            "id": id,
            "dialogue": dialogue,
            "kind": "revision" if i else "answer",
            "speaker": "ada",
            "content": " ".join(f"w{i}{j}" for j in range(count)),
        }
        for i, (id, count) in enumerate(zip(ids, words, strict=True))
    ]
    feedback = [
        {"kind": "feedback", "about": before, "result": after, "status": "needed"}
        for before, after in zip(ids, ids[1:], strict=False)
    ]
    verdicts = [{"id": id, "rating": rating} for id, rating in zip(ids, ratings, strict=True)]
    return turns, feedback, verdicts


def revised(chains: list[tuple[list[Row], ...]], **more: list[Row]) -> dict[str, list[Row]]:
    """The tables of some chains."""
    turns, feedback, verdicts = ([row for chain in chains for row in chain[i]] for i in range(3))
    tables = {"turns": turns, "feedback": feedback, "verdicts": verdicts, "preferences": []}
    return tables | {name: [*tables[name], *rows] for name, rows in more.items()}


def test_a_gain_that_is_length_is_told() -> None:
    """The rating goes with the words alone; and it is not told where it rises at equal length."""
    longer = [chain(i, (20, 20 + 10 * i), (4.0, 4.0 + 0.1 * i + 0.01 * (i % 2))) for i in range(1, 9)]
    better = [chain(i, (20, 20 + i % 3), (4.0, 5.0 + 0.05 * (i % 2))) for i in range(1, 9)]
    assert "gain_is_length" in revise_alarms(revised(longer))
    assert "gain_is_length" not in revise_alarms(revised(better))


def test_verdicts_that_cannot_be_read_are_told() -> None:
    """When they are many."""
    unclear = [{"kind": "feedback", "status": status} for status in ["absent"] * 4 + ["cut_off", "needed"]]
    rows = [{"about": f"x{i}", "result": ""} | row for i, row in enumerate(unclear)]
    assert revise_alarms(revised([], feedback=rows))["unclear"].startswith("5 of 6 verdicts")
    assert "unclear" not in revise_alarms(revised([chain(i, (5, 5, 5), (4, 4, 4)) for i in range(6)]))


def test_chains_with_too_few_revisions_are_told() -> None:
    """Counted against the minimum."""
    chains = [chain(0, (5, 5), (4, 4)), chain(1, (5,), (4,))]
    assert revise_alarms(revised(chains), 1)["too_few"].startswith("1 of 2 chains have fewer than 1")
    assert "too_few" not in revise_alarms(revised(chains), 0)
