"""Versions of answers in the tables: which revisions count, and how they were rated."""

from typing import Any

import pytest

from agents import ArenaError
from arena.feedback.versions import by_revisions, by_seat, cut, ended_by, feedback_on, recorded

Row = dict[str, Any]


def turn(id: str, kind: str = "revision", speaker: str = "ada", content: str = "some words") -> Row:
    """A row of `turns.jsonl`."""
    dialogue = id.partition(".")[0]
    return {"id": id, "dialogue": dialogue, "speaker": speaker, "kind": kind, "content": content}


def into(about: str, result: str, kind: str = "feedback") -> Row:
    """A row of `feedback.jsonl`."""
    return {"kind": kind, "about": about, "result": result}


def test_a_chain_follows_the_results_of_its_feedback() -> None:
    """Whatever the order of rows; comments are no versions."""
    turns = [turn("d0.04a"), turn("d0.01a", "feedback"), turn("d0.00a", "answer"), turn("d0.02a")]
    feedback = [into("d0.02a", "d0.04a"), into("d0.00a", "d0.02a"), into("d0.04a", "")]
    [chain] = recorded({"turns": turns, "feedback": feedback})
    assert [version.id for version in chain.versions] == ["d0.00a", "d0.02a", "d0.04a"]
    assert (chain.dialogue, chain.seat, chain.revisions) == ("d0", "ada", 2)


def test_a_try_that_came_to_nothing_is_no_revision() -> None:
    """The second try counted; of the next round none did."""
    turns = [turn("d0.00a", "answer"), turn("d0.02a"), turn("d0.02b"), turn("d0.04a"), turn("d0.04b")]
    [chain] = recorded({"turns": turns, "feedback": [into("d0.00a", "d0.02b"), into("d0.02b", "")]})
    assert [version.id for version in chain.versions] == ["d0.00a", "d0.02b"]


def test_each_seat_and_each_question_has_its_chain() -> None:
    """Members of a panel go on from their own answers."""
    turns = [
        turn("d0.00a", "answer"),
        turn("d0.01a", "answer", "bob"),
        turn("d1.00a", "answer"),
        turn("d0.02a"),
    ]
    chains = recorded({"turns": turns, "feedback": [into("d0.00a", "d0.02a", "panel")]})
    assert [(chain.dialogue, chain.seat, chain.revisions) for chain in chains] == [
        ("d0", "ada", 1),
        ("d0", "bob", 0),
        ("d1", "ada", 0),
    ]
    assert {seat: len(own) for seat, own in by_seat(chains).items()} == {"ada": 2, "bob": 1}
    assert [[version.id for version in some] for some in by_revisions(chains)] == [
        ["d0.00a", "d0.01a", "d1.00a"],
        ["d0.02a"],
    ]


def test_a_comparison_goes_on_from_nothing() -> None:
    """Only feedback that is followed makes versions."""
    turns = [turn("d0.00a", "answer"), turn("d0.02a")]
    [chain] = recorded({"turns": turns, "feedback": [into("d0.00a", "d0.02a", "comparison")]})
    assert chain.revisions == 0


def test_an_empty_answer_begins_no_chain() -> None:
    """It is a failure, and counted there."""
    assert recorded({"turns": [turn("d0.00a", "answer", content=" \n")]}) == []


def test_a_version_without_a_verdict_has_no_rating() -> None:
    """It is not a number."""
    turns = [turn("d0.00a", "answer"), turn("d0.02a", content="three more words")]
    verdicts = [{"id": "d0.02a", "rating": 8.0}]
    [chain] = recorded({"turns": turns, "verdicts": verdicts, "feedback": [into("d0.00a", "d0.02a")]})
    assert [(version.words, version.rating) for version in chain.versions] == [(2, None), (3, 8.0)]


def test_what_a_revision_says_of_itself_is_not_counted() -> None:
    """Five words of announcement are not the answer's."""
    turns = [
        turn("d0.00a", "answer"),
        turn("d0.02a", content="Here is the revised answer:\n\nThree more words."),
    ]
    [chain] = recorded({"turns": turns, "feedback": [into("d0.00a", "d0.02a")]})
    assert [version.words for version in chain.versions] == [2, 3]


def test_a_result_that_is_no_turn_is_an_error() -> None:
    """With its id and its file."""
    with pytest.raises(ArenaError, match="feedback.jsonl has the result 'd0.02a', which is not in turns"):
        recorded({"turns": [turn("d0.00a", "answer")], "feedback": [into("d0.00a", "d0.02a")]})


def test_feedback_is_told_by_the_revisions_before_it() -> None:
    """Oldest first, whatever the order of rows; comparisons and unknown answers are left out."""
    turns = [turn("d0.00a", "answer"), turn("d0.02a"), turn("d1.00a", "answer")]
    after, before = into("d0.02a", ""), into("d0.00a", "d0.02a")
    rows = [after, before, into("d0.00a", "", "comparison"), into("d9.00a", "")]
    chains = recorded({"turns": turns, "feedback": rows[:2]})
    assert feedback_on(chains, rows) == [[(0, before), (1, after)], []]


@pytest.mark.parametrize(
    ("outcomes", "end"),
    [([], "no feedback"), (["revised"], "limit"), (["revised", "unchanged"], "unchanged")],
)
def test_a_chain_ends_by_what_came_of_its_last_feedback(outcomes: list[str], end: str) -> None:
    """After a revision that nobody commented on it is the limit."""
    assert ended_by([(i, {"outcome": outcome}) for i, outcome in enumerate(outcomes)]) == end


def test_what_was_cut_is_known_by_its_finish() -> None:
    """At the token limit; whatever kind of turn."""
    turns = [
        turn(f"d0.{i:02d}a") | {"finish": finish} for i, finish in enumerate(("stop", "length", "length"))
    ]
    assert cut({"turns": turns}) == {"d0.01a", "d0.02a"}


def test_tables_without_rows_have_no_chains() -> None:
    """And no versions."""
    assert recorded({}) == []
    assert by_revisions([]) == []
    assert cut({}) == frozenset()
