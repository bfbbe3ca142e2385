"""The report of revisions: chains and their ends, verdicts, and what a revision gained at equal length."""

from pathlib import Path
from typing import Any

import pytest

from agents.dialogue import Message
from arena.feedback.revise_report import revise_report

Row = dict[str, Any]


def turn(number: int, dialogue: str = "d0000", speaker: str = "ada", words: int = 4, draft: str = "a") -> Row:
    """A version of an answer; numbers rise by two, feedback lies between."""
    return {
        "id": f"{dialogue}.{number:02d}{draft}",
        "dialogue": dialogue,
        "turn": number,
        "speaker": speaker,
        "kind": "revision" if number > 1 else "answer",
        "content": "word " * words,
        "finish": "stop",
    }


def unfinished(row: Row) -> Row:
    """A turn that was cut at the token limit."""
    return row | {"finish": "length"}


def asked(about: str, status: str = "needed", outcome: str = "revised", **more: Any) -> Row:
    """A feedback on a version."""
    row = {"kind": "feedback", "about": about, "other": "", "result": "", "status": status}
    return row | {"outcome": outcome, "overruled": False} | more


def revised_into(about: str, result: str, status: str = "needed", **more: Any) -> Row:
    """A feedback that a revision followed."""
    return asked(about, status, result=result, **more)


def compared(about: str, status: str) -> Row:
    """The first version of a chain against its last one."""
    outcomes = {"about": "given", "other": "given", "tie": "tie", "flipped": "flipped"}
    return asked(about, status, outcomes.get(status, "abstained"), kind="comparison")


def rated(id: str, rating: float) -> Row:
    """A row of `verdicts.jsonl`."""
    return {"id": id, "rating": rating}


def told(minimum: int = 0, **tables: list[Row]) -> str:
    """The report."""
    return revise_report(tables, "self_feedback", minimum)


def revised(*changes: tuple[float, int], seat: str = "ada", number: int = 0) -> dict[str, list[Row]]:
    """Questions answered in 100 words rated 5 and revised once: (change of the rating, words)."""
    tables: dict[str, list[Row]] = {"turns": [], "verdicts": [], "feedback": []}
    for i, (change, words) in enumerate(changes):
        first = turn(number, f"d{i:04d}", seat, 100)
        last = turn(number + 2, f"d{i:04d}", seat, words) | {"kind": "revision"}
        tables["turns"] += [first, last]
        tables["verdicts"] += [rated(first["id"], 5.0), rated(last["id"], 5.0 + change)]
        tables["feedback"] += [revised_into(first["id"], last["id"])]
    return tables


def test_the_head_counts_rows() -> None:
    """Two seats answered one question; one revised."""
    turns = [turn(0), turn(1, speaker="bob"), turn(2)]
    text = told(
        turns=turns,
        feedback=[revised_into("d0000.00a", "d0000.02a")],
        preferences=[{"kind": "panel"}],
        examples=[{"id": "d0000.02a#chain", "revisions": 1}],
    )
    assert (
        "\n# self_feedback\n\n1 questions, 2 chains, 1 revisions, 1 pairs, 1 examples, 0 failures.\n" in text
    )
    assert text.startswith("---\nconfigs:\n- config_name: turns\n  data_files: turns.jsonl\n")


def test_the_number_of_revisions_and_the_ends_are_counted() -> None:
    """By the feedback on the last version, even if its row came first; after a revision it is the limit."""
    turns = [turn(n, f"d{i:04d}") for i in range(4) for n in (0, 2)]
    feedback = [
        asked("d0000.02a", "not_needed", "stopped"),
        revised_into("d0000.00a", "d0000.02a"),
        revised_into("d0001.00a", "d0001.02a"),
        asked("d0002.00a", "needed", "unchanged"),
    ]
    text = told(2, turns=turns, feedback=feedback)
    assert "| revisions | chains |\n|---|---|\n| 0 | 2 |\n| 1 | 2 |\n" in text
    for end in ("stopped", "limit", "unchanged", "no feedback"):
        assert f"| {end} | 1 |\n" in text
    assert "Revised as often as required, 2 or more: 0 of 4 chains." in text
    assert "as required, 1 or more: 2 of 4 chains." in told(1, turns=turns, feedback=feedback)
    assert "required, " not in told(turns=turns)


def test_verdicts_are_counted_by_the_revisions_before_them() -> None:
    """The share is of those that could be read: one of two, then one of one."""
    turns = [row for i in range(3) for row in (turn(0, f"d{i:04d}"), turn(2, f"d{i:04d}"))]
    feedback = [
        revised_into("d0000.00a", "d0000.02a"),
        revised_into("d0001.00a", "d0001.02a", "not_needed", overruled=True),
        asked("d0002.00a", "cut_off"),
        asked("d0000.02a", "not_needed", "stopped"),
        asked("d0001.02a", "given", kind="panel"),
    ]
    text = told(turns=turns, feedback=feedback)
    assert (
        "| after revisions | needed | not needed | absent | cut off | ambiguous | contradicts | over" in text
    )
    assert "| 0 | 1 | 1 | 0 | 1 | 0 | 0 | 1 | 50.0% (9.5% to 90.5%) |" in text
    assert "| 1 | 0 | 1 | 0 | 0 | 0 | 0 | 0 | 100.0% (20.7% to 100.0%) |" in text
    assert "| all | 1 | 2 | 0 | 1 | 0 | 0 | 1 | 66.7% (20.8% to 93.9%) |" in text


def test_rating_and_words_are_told_by_the_number_of_revisions() -> None:
    """4, 5, 6 are 5 ± 2.48 (Student's t of two degrees); what is not rated counts for the words alone."""
    turns = [turn(0, f"d{i:04d}", words=10 * (i + 1)) for i in range(3)] + [turn(2, words=50)]
    verdicts = [rated(f"d{i:04d}.00a", 4.0 + i) for i in range(3)]
    text = told(turns=turns, verdicts=verdicts, feedback=[revised_into("d0000.00a", "d0000.02a")])
    assert "| ada | 0 | 5.00 ± 2.48 | 3 | 20.0 ± 24.8 | 3 | 0 |" in text
    assert "| ada | 1 | not rated | 0 | 50.0, one value | 1 | 0 |" in text
    assert "A weak judge rewards length" in text


def test_versions_that_were_cut_are_counted_beside_their_ratings() -> None:
    """Of two answers one; the revision; a try that did not count is in no row."""
    turns = [unfinished(turn(0)), turn(0, "d0001"), unfinished(turn(2)), unfinished(turn(2, draft="b"))]
    text = told(turns=turns, feedback=[revised_into("d0000.00a", "d0000.02a")])
    assert "| words, mean ± 95 % | n | cut at the limit |" in text
    assert "| ada | 0 | not rated | 0 | 4.0 ± 0.0 | 2 | 1 |" in text
    assert "| ada | 1 | not rated | 0 | 4.0, one value | 1 | 1 |" in text


def test_a_change_is_told_raw_and_at_equal_length() -> None:
    """The change is 1 + 2 ln(length ratio), exactly: 1 at equal length; the mean is 1.69 ± 3.18 x 0.895."""
    tables = revised(
        (1.0, 100), (1.0 + 2 * 0.6931472, 200), (1.0 - 2 * 0.6931472, 50), (1.0 + 2 * 1.3862944, 400)
    )
    assert "| ada | 4 | 4 | +1.69 ± 2.85 | +1.00 ± 0.00 | +1.00, too few questions | 1 |" in told(**tables)


def test_the_matched_subset_is_within_a_tenth_of_the_length() -> None:
    """105 and 95 words beside 100, not 150."""
    tables = revised((0.5, 105), (1.5, 95), (9.0, 150))
    assert "| +1.00 ± 6.35 | 2 |" in told(**tables)


def test_first_and_last_versions_are_those_of_the_same_chains() -> None:
    """The third was not rated in the end, the fourth not revised: of neither is the first version there."""
    tables = revised((1.0, 50), (3.0, 70), (9.0, 500))
    tables["verdicts"].pop()
    tables["turns"] += [turn(0, "d0009", words=900)]
    text = told(**tables)
    assert "| seat | rating, first | rating, last | words, first | words, last | n |" in text
    assert "| ada | 5.00 ± 0.00 | 7.00 ± 12.71 | 100.0 ± 0.0 | 60.0 ± 127.1 | 2 |" in text


def test_without_ratings_no_means_of_first_and_last_are_told() -> None:
    """A mean of nothing is no number; the chains are counted as revised."""
    tables = revised((1.0, 50))
    text = told(turns=tables["turns"], feedback=tables["feedback"])
    assert "| words, last | n |" not in text
    assert "| ada | 1 | 0 | not defined | not defined | not defined | 0 |" in text


def test_a_chain_without_both_ratings_has_no_change() -> None:
    """It is counted as revised, not as rated."""
    tables = revised((1.0, 100), (2.0, 120))
    tables["verdicts"] = tables["verdicts"][:2]
    assert "| ada | 2 | 1 | +1.00, too few questions | not defined | +1.00, too few questions | 1 |" in told(
        **tables
    )


def test_chains_that_were_never_revised_have_no_change() -> None:
    """It is not 0."""
    assert "First against last" not in told(turns=[turn(0)], verdicts=[rated("d0000.00a", 5.0)])


def test_seats_of_a_panel_are_told_together_and_each() -> None:
    """Two seats answer the same two questions; together there are still two questions."""
    one, other = revised((1.0, 100), (3.0, 100)), revised((2.0, 100), (4.0, 100), seat="bob", number=1)
    text = told(**{name: one[name] + other[name] for name in one})
    assert "| all | 4 | 4 | +2.50 ± 12.71 |" in text
    assert "| ada | 2 | 2 | +2.00 ± 12.71 |" in text
    assert "| bob | 2 | 2 | +3.00 ± 12.71 |" in text
    assert "| bob | 1 | 8.00 ± 12.71 | 2 |" in text


def test_means_of_all_seats_are_clustered_by_question() -> None:
    """Both seats gain 1 on one question and 3 on the other: two questions, t of one degree, not four."""
    one, other = revised((1.0, 100), (3.0, 120)), revised((1.0, 100), (3.0, 120), seat="bob", number=1)
    text = told(**{name: one[name] + other[name] for name in one})
    assert "| all | 0 | 5.00 ± 0.00 | 4 | 100.0 ± 0.0 | 4 | 0 |" in text
    assert "| all | 1 | 7.00 ± 12.71 | 4 | 110.0 ± 127.1 | 4 | 0 |" in text
    assert "| all | 5.00 ± 0.00 | 7.00 ± 12.71 | 100.0 ± 0.0 | 110.0 ± 127.1 | 4 |" in text
    assert "| ada | 5.00 ± 0.00 | 7.00 ± 12.71 | 100.0 ± 0.0 | 110.0 ± 127.1 | 2 |" in text


def test_several_answers_to_one_question_have_no_interval() -> None:
    """They are not independent."""
    one, other = revised((1.0, 100)), revised((3.0, 100), seat="bob", number=1)
    text = told(**{name: one[name] + other[name] for name in one})
    assert "| all | 1 | 7.00, too few questions | 2 |" in text


def test_the_last_version_is_compared_with_the_first_in_both_orders() -> None:
    """`other` is the last version: two wins, a loss, a tie, a flip; an abstention is left out."""
    statuses = ("other", "other", "about", "tie", "flipped", "absent")
    turns = [turn(0, f"d{i:04d}") for i in range(6)]
    text = told(turns=turns, feedback=[compared(f"d{i:04d}.00a", s) for i, s in enumerate(statuses)])
    fifth = "20.0% (3.6% to 62.4%)"
    assert f"| ada | 6 | 1 | 5 | 40.0% (11.8% to 76.9%) | {fifth} | {fifth} | {fifth} |" in text
    assert "no feedback | 6" in text


def test_a_last_version_of_the_same_words_is_a_tie() -> None:
    """Nobody was asked, and it is no abstention."""
    same = compared("d0000.00a", "tie") | {"outcome": "equal"}
    text = told(turns=[turn(0)], feedback=[same])
    assert "| ada | 1 | 0 | 1 | 0.0% (0.0% to 79.3%) | 100.0% (20.7% to 100.0%) |" in text


def test_comparisons_of_a_panel_are_told_by_seat() -> None:
    """By whose versions they compare."""
    turns = [turn(0), turn(1, speaker="bob")]
    text = told(turns=turns, feedback=[compared("d0000.00a", "other"), compared("d0000.01a", "about")])
    assert "| all | 2 | 0 | 2 | 50.0% (9.5% to 90.5%) | 0.0%" in text
    assert "| ada | 1 | 0 | 1 | 100.0%" in text
    assert "| bob | 1 | 0 | 1 | 0.0%" in text


def test_what_can_be_learned_from_is_counted() -> None:
    """Pairs by kind, examples by revisions."""
    text = told(
        preferences=[{"kind": "revision"}, {"kind": "revision"}, {"kind": "panel"}],
        examples=[
            {"id": f"d000{i}.00a#chain", "revisions": revisions} for i, revisions in enumerate((2, 0, 2))
        ],
    )
    assert "| pairs, kind: revision | 2 |\n| pairs, kind: panel | 1 |\n" in text
    assert "| examples, revisions: 0 | 1 |\n| examples, revisions: 2 | 2 |\n" in text


def test_it_is_told_why_chains_made_no_example() -> None:
    """Each for its first reason; an example of an earlier version is the chain's."""
    turns = [
        *(turn(n, f"d000{i}") for i in range(3) for n in (0, 2)),
        unfinished(turn(0, "d0003")),
        *(turn(0, f"d000{i}") for i in range(4, 6)),
    ]
    feedback = [
        *(revised_into(f"d000{i}.00a", f"d000{i}.02a", "absent" if i == 1 else "needed") for i in range(3)),
        asked("d0000.02a", "not_needed", "stopped"),
        asked("d0001.02a", "needed", "unchanged"),
        asked("d0002.02a", "needed", "unchanged"),
        asked("d0003.00a", "not_needed", "stopped"),
        asked("d0004.00a", "cut_off", "unclear"),
        asked("d0005.00a", "not_needed", "stopped"),
    ]
    text = told(turns=turns, feedback=feedback, examples=[{"id": "d0000.00a#chain", "revisions": 0}])
    assert (
        "\n5 of 6 chains made no example: 2 with unclear feedback, 1 ended by unchanged, 1 cut at the limit, "
        "1 for no reason told.\n"
    ) in text


def test_where_every_chain_made_an_example_nothing_is_missed() -> None:
    """Of one chain there is one."""
    text = told(
        turns=[turn(0)],
        feedback=[asked("d0000.00a", "not_needed", "stopped")],
        examples=[{"id": "d0000.00a#last", "revisions": 0}],
    )
    assert "| examples, revisions: 0 | 1 |" in text
    assert "made no example" not in text


def test_it_is_told_why_questions_of_a_panel_made_no_example() -> None:
    """Of the first the best is one; of the second one answer is cut, of the third the ratings are equal."""
    turns = [turn(n, f"d000{i}", seat) for i in range(3) for n, seat in ((0, "ada"), (1, "bob"))]
    turns[2] |= {"finish": "length"}
    turns = [row | {"kind": "answer"} for row in turns]
    text = told(
        turns=turns,
        feedback=[asked(row["id"], "given", "unchanged", kind="panel") for row in turns],
        verdicts=[rated(row["id"], 5.0) for row in turns],
        examples=[{"id": "d0000.01a#panel", "revisions": 0}],
    )
    assert (
        "2 of 3 questions made no example (the best of the last answers): 1 with fewer than two last answers "
        "that are whole and rated, 1 without a clear best."
    ) in text


@pytest.mark.parametrize("shown", [[], [Path("x") / "ratings_by_revisions.png"]])
def test_pictures_and_failures_end_the_report(shown: list[Path]) -> None:
    """If there are any."""
    text = revise_report({"failures": [{"what": "empty_reply"}]}, "c", plots=shown)
    assert ("![ratings by revisions](ratings_by_revisions.png)" in text) == bool(shown)
    assert text.endswith("## Failures\n\n- empty_reply: 1\n")


def test_a_run_that_came_to_nothing_has_a_report() -> None:
    """With its title and no tables."""
    text = told()
    assert "0 questions, 0 chains" in text
    assert "|" not in text


def test_what_a_text_says_is_not_in_the_report() -> None:
    """Only its length is."""
    row = turn(0) | {"content": "| a | b |\n# hostile"}
    assert "hostile" not in told(
        turns=[row], preferences=[{"kind": "revision", "chosen": [Message(role="x", content="hostile")]}]
    )
