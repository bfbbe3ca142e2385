"""The report of a collection: every feedback is counted, difficulty is not oversold, length is told."""

from pathlib import Path
from typing import Any

import pytest

from agents.dialogue import Message
from arena.feedback.collect_report import collect_report
from arena.records import failure_row, line

Row = dict[str, Any]


def problem(number: int, group: str, kinds: str, difficulty: float = 1.0, task: str = "qa") -> Row:
    """A row of `problems.jsonl`."""
    id = f"d{number:04d}"
    row: Row = {"id": id, "dialogue": id, "task": task, "group": group, "kinds": kinds}
    return row | {"difficulty": difficulty}


def answer(number: int, speaker: str, nll: float, tokens: int) -> Row:
    """A row of `difficulties.jsonl`."""
    dialogue = f"d{number:04d}"
    row: Row = {"id": f"{dialogue}.00{speaker}", "dialogue": dialogue, "speaker": speaker}
    return row | {"nll": nll, "tokens": tokens}


def given(number: int, kind: str, outcome: str, status: str = "given") -> Row:
    """A row of `feedback.jsonl`."""
    return {"dialogue": f"d{number:04d}", "kind": kind, "outcome": outcome, "status": status}


def pair(number: int, kind: str, chosen: int, rejected: int) -> Row:
    """A row of `preferences.jsonl`, of so many words."""
    sides = {
        name: [Message(role="assistant", content="word " * n)]
        for name, n in (("chosen", chosen), ("rejected", rejected))
    }
    return {"id": f"p{number}", "dialogue": f"d{number:04d}", "kind": kind, **sides}


def told(**tables: list[Row]) -> str:
    """The report."""
    return collect_report(tables, "by_difficulty")


def test_the_head_counts_rows() -> None:
    """In one line under the title."""
    text = told(problems=[problem(0, "easy", "critique")], feedback=[given(0, "critique", "pair")] * 2)
    assert (
        "\n# by_difficulty\n\n1 problems, 0 answers with a difficulty, 2 feedbacks, 0 pairs, 0 failures.\n"
        in text
    )


def test_the_card_names_every_table_with_rows_and_the_split() -> None:
    """In the order given; an empty file would fail a reader."""
    rows = [pair(0, "critique", 1, 1)]
    card = told(preferences=rows, feedback=[], train=rows, valid=rows).partition("\n---\n")[0]
    names = ("preferences", "train", "valid")
    assert card == "---\nconfigs:\n" + "\n".join(
        f"- config_name: {name}\n  data_files: {name}.jsonl" for name in names
    )


@pytest.mark.slow
def test_the_card_loads_as_a_data_set(tmp_path: Path) -> None:
    """By name, with nothing but the folder."""
    import datasets

    rows = [pair(0, "critique", 1, 1), pair(1, "critique", 2, 1)]
    tables = {"train": rows[:1], "valid": rows[1:]}
    for name, own in tables.items():
        (tmp_path / f"{name}.jsonl").write_bytes(b"".join(map(line, own)))
    (tmp_path / "README.md").write_text(collect_report(tables, "c"), encoding="utf-8")
    found = datasets.load_dataset(str(tmp_path), "valid", split="train", cache_dir=str(tmp_path / "cache"))
    assert found["id"][:] == ["p1"]


def test_outcomes_are_counted_by_group_and_kind() -> None:
    """Groups from easy to hard, whatever the order of rows; two of three critiques made a pair."""
    text = told(
        problems=[
            problem(0, "hard", "preference", 2.0),
            problem(1, "easy", "critique", 0.5),
            problem(2, "easy", "critique refinement", 0.6),
        ],
        feedback=[
            given(0, "preference", "flipped", "flipped"),
            given(1, "critique", "pair"),
            given(2, "critique", "pair"),
            given(2, "critique", "meta"),
        ],
    )
    head, _, easy, unasked, hard = text[text.index("| group") :].split("\n")[:5]
    assert head == (
        "| group | kind | problems | rows | asked | pair | tie | flipped | equal | empty | meta "
        "| answer cut | rewrite cut | no reply | abstained | yield (95 %) |"
    )
    zeros = "0 | 0 | 0 | 0"
    assert easy == f"| easy | critique | 2 | 3 | 3 | 2 | {zeros} | 1 | {zeros} | 66.7% (20.8% to 93.9%) |"
    assert unasked == f"| easy | refinement | 1 | 0 | 0 | {zeros} | {zeros} | 0 | 0 | none of none |"
    assert hard.startswith("| hard | preference | 1 | 1 | 1 | 0 | 0 | 1 |")
    assert "nobody checks it: yield is not quality" in " ".join(text.split())


def test_a_cut_answer_is_not_asked_about_and_a_cut_rewrite_was() -> None:
    """Five rows, three of them asked, one of these with a pair."""
    text = told(
        problems=[problem(0, "easy", "critique")],
        feedback=[
            given(0, "critique", "truncated", "not_asked"),
            given(0, "critique", "truncated", "not_asked"),
            given(0, "critique", "truncated"),
            given(0, "critique", "no_reply", "no_reply"),
            given(0, "critique", "pair"),
        ],
    )
    told_of = (
        "| easy | critique | 1 | 5 | 3 | 1 | 0 | 0 | 0 | 0 | 0 | 2 | 1 | 1 | 0 | 33.3% (6.1% to 79.2%) |"
    )
    assert told_of in text


def test_an_outcome_nobody_thought_of_has_a_column_too() -> None:
    """So that the cells sum to the rows."""
    text = told(problems=[problem(0, "easy", "critique")], feedback=[given(0, "critique", "odd_one")])
    assert "| abstained | odd one | yield" in text
    assert f"| easy | critique | 1 | 1 | 1 |{' 0 |' * 10} 1 | 0.0%" in text


def test_problems_without_a_group_are_told_last() -> None:
    """And have no difficulty."""
    text = told(
        problems=[problem(0, "", "critique", 0.0), problem(1, "easy", "critique", 1.0)],
        feedback=[given(0, "critique", "pair"), given(1, "critique", "pair")],
    )
    assert text.index("| easy | critique | 1 | 1 |") < text.index("| no group | critique | 1 | 1 |")
    assert "| problems of group | qa |\n|---|---|\n| easy | 1 |\n| no group | 1 |\n" in text


def test_problems_are_counted_by_group_and_task() -> None:
    """Every problem is in one cell; where groups get different kinds, their yields are no comparison."""
    rows = [problem(i, "easy", "critique", 0.5, task) for i, task in enumerate(("qa", "qa", "dialogue"))]
    rows += [problem(3, "hard", "preference", 2.0, "summary")]
    text = told(problems=rows)
    table = "| problems of group | dialogue | qa | summary |\n|---|---|---|---|\n"
    assert f"{table}| easy | 1 | 2 | 0 |\n| hard | 0 | 0 | 1 |\n" in text
    assert "yields by kind are\nnot a comparison of kinds" in text
    same = told(problems=[row | {"kinds": "critique preference"} for row in rows])
    assert table in same and "comparison of kinds" not in same


def test_the_histogram_shows_every_answer() -> None:
    """Bars are as long as counts: two easy answers, one hard one."""
    text = told(
        problems=[problem(0, "easy", ""), problem(1, "easy", ""), problem(2, "hard", "", 2.0)],
        difficulties=[answer(0, "ada", 1.0, 9), answer(1, "ada", 1.0, 9), answer(2, "ada", 2.0, 9)],
    )
    block = text.split("```")[1].strip().split("\n")
    assert block[0].split() == ["nats/token", "easy", "hard"]
    first, last = block[1], block[-1]
    assert first.startswith("1.00 to 1.10")
    assert first.split()[3:] == ["█" * 28, "2"]
    assert last.split()[3:] == ["█" * 14, "1"]
    assert last.index("█") == block[0].index("hard")
    assert len(block) == 11


def test_one_answer_among_many_still_has_a_bar() -> None:
    """A sixtieth of the longest bar is rounded up."""
    rows = [answer(i, "ada", 1.0, 9) for i in range(60)] + [answer(60, "ada", 2.0, 9)]
    text = told(problems=[problem(i, "easy", "") for i in range(61)], difficulties=rows)
    assert "1.90 to 2.00  █ 1\n" in text


def test_difficulty_is_told_in_nats_by_seat_and_group() -> None:
    """1 and 2: mean 1.5 ± 0.98."""
    text = told(
        problems=[problem(0, "easy", ""), problem(1, "easy", "")],
        difficulties=[answer(0, "ada", 1.0, 5), answer(1, "ada", 2.0, 5), answer(0, "bob", 3.0, 5)],
    )
    assert "| ada | easy | 1.500 ± 6.353 | 1.000 to 2.000 | 2 |" in text
    assert "| bob | easy | 3.000, one value | 3.000 to 3.000 | 1 |" in text
    assert "It does not say how hard the problem is for people" in text


def test_answers_all_equally_difficult_can_be_drawn() -> None:
    """The bins have some width."""
    text = told(problems=[problem(0, "easy", "")], difficulties=[answer(0, "ada", 1.0, 5)])
    assert "█ 1" in text


def test_difficulty_that_follows_length_is_warned_of() -> None:
    """Ada's falls with every token, Eve's rises, Bob's does neither."""
    tokens = [10, 20, 30, 40, 50]
    levels = {"ada": [5.0, 4.0, 3.0, 2.0, 1.0], "bob": [3.0, 1.0, 5.0, 2.0, 4.0]}
    levels["eve"] = levels["ada"][::-1]
    rows = [answer(i, seat, own[i], tokens[i]) for seat, own in levels.items() for i in range(5)]
    text = told(problems=[problem(i, "easy", "") for i in range(5)], difficulties=rows)
    assert "| ada with the tokens of its answer | -1.00 | 5 |" in text
    assert "| bob with the tokens of its answer | +0.30 | 5 |" in text
    assert "| ada with bob | -0.30 | 5 |" in text
    too = "the groups differ in length too."
    assert f"**Warning**: shorter answers of ada count as harder (ρ = -1.00): {too}" in text
    assert f"**Warning**: longer answers of eve count as harder (ρ = +1.00): {too}" in text
    assert text.count("**Warning**") == 2


def test_a_correlation_that_is_none_is_no_number() -> None:
    """Two answers; or all of one length."""
    rows = [answer(0, "ada", 1.0, 5), answer(1, "ada", 2.0, 6)]
    rows += [answer(i, "bob", float(i), 7) for i in range(4)]
    text = told(problems=[problem(0, "easy", "")], difficulties=rows)
    assert "| ada with the tokens of its answer | not defined | 2 |" in text
    assert "| bob with the tokens of its answer | not defined | 4 |" in text


def test_seats_are_compared_on_the_problems_that_both_answered() -> None:
    """By the mean of their answers to each."""
    rows = [answer(i, "ada", float(i), 5) for i in range(4)]
    rows += [answer(i, "bob", level, 5) for i, level in ((1, 1.0), (1, 3.0), (2, 4.0), (3, 5.0))]
    assert "| ada with bob | +1.00 | 3 |" in told(problems=[], difficulties=rows)


def test_flips_and_ties_are_shares_of_what_could_be_read() -> None:
    """One of each status and two abstentions: a quarter of four."""
    statuses = ("about", "other", "tie", "flipped", "absent", "cut_off")
    text = told(feedback=[given(i, "preference", "pair", status) for i, status in enumerate(statuses)])
    assert "| preference | 6 | 2 | 25.0% (4.6% to 69.9%) | 25.0% (4.6% to 69.9%) | 4 |" in text


def test_comparisons_that_were_not_asked_for_are_not_counted() -> None:
    """What is compared and what abstained is what the outcomes say of it."""
    text = told(
        problems=[problem(0, "hard", "preference")],
        feedback=[
            given(0, "preference", "truncated", "not_asked"),
            given(0, "preference", "abstained", "absent"),
            given(0, "preference", "equal", "tie"),
        ],
    )
    assert "| hard | preference | 1 | 3 | 2 | 0 | 0 | 0 | 1 | 0 | 0 | 1 | 0 | 0 | 1 | 0.0%" in text
    assert "| preference | 2 | 1 | 0.0% (0.0% to 79.3%) | 100.0% (20.7% to 100.0%) | 1 |" in text
    assert "flipped with" not in told(feedback=[given(0, "preference", "truncated", "not_asked")])


def test_without_comparisons_nothing_is_said_of_flips() -> None:
    """A critique has a status too, but no orders."""
    assert "flipped with" not in told(feedback=[given(0, "critique", "pair")])


def test_the_length_of_pairs_is_told_by_kind() -> None:
    """Refinements are twice as long as what they refine; of the critiques there is one problem."""
    rows = [pair(i, "refinement", 20, 10) for i in range(4)] + [pair(9, "critique", 5, 10)]
    text = told(preferences=rows)
    assert "| refinement | 4 | 20.0 | 10.0 | 2.00 (2.00 to 2.00) | 100.0% (51.0% to 100.0%) |" in text
    assert "| critique | 1 | 5.0 | 10.0 | 0.50 of one problem | 0.0% (0.0% to 79.3%) |" in text


def test_the_split_is_counted_by_kind() -> None:
    """A kind that is on one side only has a 0 on the other; what is on neither was left out."""
    rows = [pair(i, "critique", 1, 1) for i in range(4)] + [pair(9, "preference", 1, 1)]
    text = told(preferences=rows, train=[rows[0], rows[1], rows[4]], valid=[rows[2]])
    assert "| kind | train | valid | left out |\n|---|---|---|---|\n| critique | 2 | 1 | 1 |\n" in text
    assert "| preference | 1 | 0 | 0 |" in text


def test_the_length_of_what_was_kept_is_told_beside_that_of_all() -> None:
    """Only where something was left out."""
    rows = [pair(0, "critique", 40, 10), pair(1, "critique", 10, 10)]
    text = told(preferences=rows, train=rows[1:], valid=[])
    assert "| critique | 2 | 25.0 | 10.0 |" in text
    assert "| critique, kept | 1 | 10.0 | 10.0 |" in text
    assert "kept" not in told(preferences=rows, train=rows[:1], valid=rows[1:])


def test_pictures_are_shown_by_their_names() -> None:
    """They lie beside the report, wherever that is."""
    text = collect_report({}, "c", [Path("some") / "where" / "words_of_pairs.png"])
    assert "## Pictures\n\n![words of pairs](words_of_pairs.png)\n" in text
    assert "Pictures" not in collect_report({}, "c")


def test_failures_are_counted_by_kind() -> None:
    """As in the report of a run."""
    text = told(failures=[failure_row("d0000.00a", "empty_reply", "answer", "", by="ada", step=0)])
    assert "## Failures\n\n- empty_reply: 1\n" in text


def test_a_collection_that_came_to_nothing_has_a_report() -> None:
    """With its title and no tables."""
    text = told()
    assert "0 problems" in text
    assert "|" not in text
