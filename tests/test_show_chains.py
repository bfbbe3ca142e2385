"""Reading what became of answers: kinds of turns, changes word by word, feedback, comparisons, pairs."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from example_run import CONTROL, HOSTILE, Example, refused, shown
from test_show_command import on_terminal

from agents.dialogue import Message, Reply, Turn
from arena.feedback.events import Feedback, Routed, Work
from arena.feedback.rows import COLLECT_TABLES, REVISE_TABLES, feedback_row, problem_row
from arena.problems import Problem
from arena.records import Row, line, preference_row, turn_row, verdict_row
from arena.rundir import RunFolder
from arena.show import main
from rewards.verdict import Preference, Verdict

ANSWER = (
    "A heat pump moves heat instead of making it. It takes heat from the air outside and brings it into the "
    "house. A COP of 3 means that one unit of electricity gives three units of heat. In winter the COP is "
    "always 3."
)
REVISED = ANSWER.replace("is always 3.", "falls to about 2.\n\nSo it pays most in a well insulated house.")
PASSAGE = "Give the gist of this text.\n\n" + "The harbour was built in three stages, each on old piles. " * 9


def problem(question: str, task: str = "qa") -> Problem:
    """Something to answer."""
    return Problem(task, (Message(role="user", content=question),), "", "problems.jsonl, line 3")


def turn(id: str, speaker: str, kind: str, text: str, parent: str = "", finish: str = "stop") -> Row:
    """A row of a turn of d0000."""
    return turn_row(
        Turn(f"d0000.{id}", parent and f"d0000.{parent}", speaker, Reply(text, finish), "", kind),
        model="scripted",
        seed=0,
        step=0,
    )


def feedback(kind: str, about: str, *, by: str = "teacher", **said: str | float | bool) -> Row:
    """A row of feedback in d0000; `other`, `comment` and `result` name turns."""
    links = {key: f"d0000.{said.pop(key)}" for key in ("other", "comment", "result") if key in said}
    id = f"d0000.{about}|{links.get('other', '')}#{kind}"
    return feedback_row(Feedback(id=id, kind=kind, about=f"d0000.{about}", by=by, **links, **said))  # type: ignore[arg-type]


def pair(chosen: str, rejected: str, margin: float, kind: str) -> Row:
    """A row of a pair in d0000."""
    replies = (Reply("better"), Reply("worse"))
    found = Preference((), *replies, margin, f"d0000.{chosen}", f"d0000.{rejected}", kind)
    return preference_row(found, seat="ada", judge="teacher")


def write(
    path: Path, tables: Sequence[str], rows: dict[str, list[Row]], problems: Sequence[Problem] = ()
) -> None:
    """Write a finished folder of the seats ada and bob."""
    settings = {"agents.ada.system": "", "agents.bob.system": "", "min_revisions": 2}
    folder = RunFolder(path, "", settings, tables)
    folder.describe(conf="example", status="done")
    if problems:
        listed = [
            {"task": p.task, "prompt": list(p.prompt), "reference": p.reference, "where": p.where}
            for p in problems
        ]
        folder.remember("problems", lambda: listed)
    for table, own in rows.items():
        for row in own:
            folder.append(table, row)
    folder.close()


def write_chain(path: Path, question: str = "How does a heat pump work?", revised: str = REVISED) -> None:
    """Ada answers, comments on herself, and revises: one verdict is overruled, one unreadable."""
    turns = [
        turn("00a", "ada", "answer", ANSWER),
        turn("01a", "ada", "feedback", "The last sentence is wrong. Score: 6. Revision is needed.", "00a"),
        turn("02a", "ada", "revision", ANSWER, "01a"),
        turn("02b", "ada", "revision", revised, "01a"),
        turn("03a", "ada", "feedback", "Good. Score: 9. Revision is not needed.", "02b"),
        turn("04a", "ada", "revision", "Heat pumps move heat from cold places to warm ones.", "03a"),
        turn("05a", "ada", "feedback", "The answer could", "04a", "length"),
    ]
    given = [
        feedback("feedback", "00a", by="ada", status="needed", score=6.0, outcome="revised",
                 comment="01a", result="02b"),
        feedback("feedback", "02b", by="ada", status="not_needed", score=9.0, overruled=True,
                 outcome="revised", comment="03a", result="04a"),
        feedback("feedback", "04a", by="ada", status="cut_off", outcome="unclear", comment="05a"),
        feedback("comparison", "00a", by="bob", status="other", outcome="given", other="04a"),
    ]  # fmt: skip
    rating = Verdict("d0000.02b", "m", rating=7.0, reward=1 / 3, scale="rating")
    verdict = verdict_row(rating, judge="bob", about="revision", zeta=0.0, step=0)
    pairs = [pair("02b", "00a", 0.31111, "revision"), pair("04a", "02b", 0.25, "revision")]
    rows = {"turns": turns, "feedback": given, "verdicts": [verdict], "preferences": pairs}
    write(path, REVISE_TABLES, rows, [problem(question), problem("Why is the sky blue?")])


def write_collection(path: Path) -> None:
    """Ada and bob answer; the teacher comments on ada's answer, rewrites both, and compares them."""
    turns = [
        turn("00a", "ada", "answer", ANSWER),
        turn("01a", "bob", "answer", "It burns electricity."),
        turn("02a", "teacher", "feedback", "The COP falls in winter.", "00a"),
        turn("04a", "ada", "revision", REVISED, "02a"),
        turn("06a", "teacher", "revision", ANSWER, "00a"),
        turn("07a", "teacher", "revision", "It moves heat; it burns nothing.", "01a"),
    ]
    given = [
        feedback("critique", "00a", status="given", outcome="pair", comment="02a", result="04a"),
        feedback("critique", "01a", status="not_asked", outcome="truncated"),
        feedback("refinement", "00a", status="given", outcome="equal", result="06a"),
        feedback("refinement", "01a", status="given", outcome="pair", result="07a"),
        feedback("preference", "00a", status="flipped", outcome="flipped", other="01a"),
    ]
    pairs = [pair("04a", "00a", 1.0, "critique"), pair("07a", "01a", 1.0, "refinement")]
    kinds = ("critique", "refinement", "preference")
    known = problem_row(Routed(Work("d0000", problem("How does a heat pump work?")), 1.2341, "medium", kinds))
    rows = {"turns": turns, "problems": [known], "feedback": given, "preferences": pairs}
    write(path, COLLECT_TABLES, rows)


def part(text: str, start: str, end: str) -> str:
    """What stands between two headings, with single spaces."""
    return " ".join(text[text.index(start) : text.index(end)].split())


@pytest.fixture
def chain(runs: Path) -> str:
    """A folder of a chain."""
    write_chain(runs / "chain")
    return "chain"


@pytest.fixture
def collection(runs: Path) -> str:
    """A folder of collected feedback."""
    write_collection(runs / "collection")
    return "collection"


def test_the_question_is_the_title_and_what_is_known_of_it_stands_below(
    collection: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """From problems.jsonl; nobody opens."""
    lines = shown(capsys, collection).splitlines()
    assert lines[0] == "d0000  How does a heat pump work?"
    assert lines[1] == "       qa · medium, 1.234 nats/token · critique, refinement, preference"
    assert lines[2] == "       runs/collection · conf example · done · 6 turns"


def test_the_question_is_known_before_the_problem_is_routed(
    chain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the list that the run began with; without a group there is no difficulty."""
    lines = shown(capsys, chain).splitlines()
    assert lines[:2] == ["d0000  How does a heat pump work?", "       qa"]
    assert lines[2] == "       runs/chain · conf example · done · 6 turns, 7 drafts"


def test_a_long_question_is_shown_whole_once(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the title; a match begins with three lines of it, a Markdown heading does without."""
    write_chain(runs / "a", question=PASSAGE)
    for form in ([], ["--md"]):
        assert " ".join(shown(capsys, "a", *form).replace(">", " ").split()).count("each on old piles.") == 9
    found = shown(capsys, "a", "--where", "turn=0")
    assert "..." in found
    assert 1 < found.count("harbour") < 9
    assert shown(capsys, "a", "--md").startswith("# d0000\n\n> Give the gist of this text.\n>\n> The harbour")


def test_turns_say_what_they_are_and_what_they_go_on_from(
    chain: str, collection: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Revisions are counted per speaker; what stands just above needs no mention."""
    heads = re.compile(r"^ (\d)  (\w+ · [\w ]+?) ─+ ?(.*)$", re.MULTILINE)
    assert heads.findall(shown(capsys, chain)) == [
        ("0", "ada · answer", ""),
        ("1", "ada · feedback", ""),
        ("2", "ada · revision 1", ""),
        ("3", "ada · feedback", ""),
        ("4", "ada · revision 2", ""),
        ("5", "ada · feedback", ""),
    ]
    assert heads.findall(shown(capsys, collection))[2:] == [
        ("2", "teacher · feedback", "from 00a"),
        ("4", "ada · revision 1", ""),
        ("6", "teacher · revision 1", "from 00a"),
        ("7", "teacher · revision 1", "from 01a"),
    ]


def test_a_revision_shows_the_words_that_it_changes(chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Against the version before, past the feedback and past the attempts that were not taken."""
    text = shown(capsys, chain)
    second = part(text, " 2  ada", " 3  ada")
    assert "In winter the COP [-is always 3.-]{+falls to about 2.+} {+So it pays most" in second
    assert "(every word stays, and none is new)" in second
    assert "(rewritten: 4 % of the words stay)" in part(text, " 4  ada", " 5  ada")
    assert "{+" not in part(text, " 4  ada", " 5  ada")
    assert "{+" not in part(text, " 0  ada", " 2  ada")


def test_revisions_are_counted_for_each_speaker(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Along what they go on from, whoever wrote that."""
    turns = [
        turn("00a", "ada", "answer", "Ten years."),
        turn("01a", "teacher", "revision", "Nine years.", "00a"),
        turn("02a", "ada", "revision", "Nine years, then.", "01a"),
        turn("03a", "ada", "revision", "Nine years, I think.", "02a"),
    ]
    write(runs / "a", REVISE_TABLES, {"turns": turns})
    revisions = re.findall(r"(\w+) · revision (\d)", shown(capsys, "a"))
    assert revisions == [("teacher", "1"), ("ada", "1"), ("ada", "2")]


def test_without_diff_a_revision_is_plain(chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In both forms for people."""
    for form in ([], ["--md"]):
        text = shown(capsys, chain, "--no-diff", *form)
        assert "{+" not in text
        assert "falls to about 2." in text
        assert "of the words" not in text


def test_colours_take_the_place_of_marks(chain: str) -> None:
    """Deleted words red and struck through, inserted ones green; marks where no colour is wanted."""
    path = str(Path("runs") / chain)
    text = on_terminal(path, "--no-pager")
    assert "\x1b[9;31mis always 3.\x1b[0m\x1b[32mfalls\x1b[0m" in text
    assert "{+" not in text
    plain = on_terminal(path, "--no-pager", NO_COLOR="1")
    assert "[-is always 3.-]{+falls to about 2.+}" in " ".join(plain.split())
    assert "\x1b[9" not in plain


def test_a_verdict_stands_below_its_feedback(chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With its score, and why it was not followed or could not be."""
    text = shown(capsys, chain)
    assert "      verdict  needed, score 6\n" in text[text.index(" 1  ada") : text.index(" 2  ada")]
    assert "      verdict  not needed, score 9, overruled: the minimum is 2 revisions\n" in text
    end = text[text.index(" 5  ada") :]
    assert "      verdict  unclear: cut off\n" in end
    assert "      outcome  the chain ends: the verdict is unclear\n" in end


def test_attempts_at_a_revision_are_told_from_the_one_that_counts(
    chain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first had the words of the answer; it is in no pair and was not taken."""
    text = shown(capsys, chain)
    assert re.search(r"^ a  \d+ words$", text, re.MULTILINE)
    assert re.search(r"^ b  taken  chosen  rejected  \d+ words$", text, re.MULTILINE)
    assert "not decided" not in text
    assert "no outcome" not in text


def test_ratings_stand_at_any_version(chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As at a draft of a dialogue."""
    assert "rating 7.00 by bob" in part(shown(capsys, chain), " 2  ada", " 3  ada")


def test_pairs_are_listed_at_the_end(chain: str, collection: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the margin where there is one: of feedback it is only known which text is better."""
    end = "    pairs  02b over 00a by 0.3111 (revision); 04a over 02b by 0.25 (revision)\n\n"
    assert shown(capsys, chain).endswith(end)
    end = "    pairs  04a over 00a (critique); 07a over 01a (refinement)\n\n"
    assert shown(capsys, collection).endswith(end)


def test_comparisons_stand_at_the_end(
    chain: str, collection: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They have no turn of their own."""
    assert "\n    bob compares 00a with 04a: 04a is better\n" in shown(capsys, chain)
    assert "\n    teacher compares 00a with 01a: flipped (no pair)\n" in shown(capsys, collection)


def test_what_came_of_feedback_stands_below_its_result(
    collection: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or below the answer, where none was given."""
    text = shown(capsys, collection)
    assert "outcome critique: no pair: truncated" in part(text, " 1  bob", " 2  teacher")
    assert "outcome pair: over d0000.00a" in part(text, " 4  ada", " 6  teacher")
    assert "outcome no pair: equal" in part(text, " 6  teacher", " 7  teacher")
    assert "outcome" not in part(text, " 2  teacher", " 4  ada")


def test_a_comparison_with_a_winner_says_which(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And one that abstains says why."""
    turns = [turn("00a", "ada", "answer", "Yes."), turn("01a", "bob", "answer", "No.")]
    given = [
        feedback("preference", "00a", status="other", outcome="pair", other="01a"),
        feedback("preference", "01a", status="no_label", outcome="abstained", other="00a"),
        feedback("preference", "02a", status="not_asked", outcome="truncated", other="00a"),
    ]
    write(runs / "a", COLLECT_TABLES, {"turns": turns, "feedback": given})
    text = shown(capsys, "a")
    assert "    teacher compares 00a with 01a: 01a is better\n" in text
    assert "    teacher compares 01a with 00a: no label (no pair)\n" in text
    assert "    teacher compares 02a with 00a: not asked (no pair: truncated)\n" in text


def test_a_panel_revises_its_own_answers(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a text between; one whose revision did not count ends below the answer that it was about."""
    turns = [
        turn("00a", "ada", "answer", "Roughly ten years."),
        turn("01a", "bob", "answer", "Five."),
        turn("02a", "ada", "revision", "Roughly nine years.", "00a"),
        turn("03a", "bob", "revision", "Five.", "01a"),
    ]
    given = [
        feedback("panel", "00a", by="peers", status="given", outcome="revised", result="02a"),
        feedback("panel", "01a", by="peers", status="given", outcome="unchanged"),
    ]
    write(runs / "a", REVISE_TABLES, {"turns": turns, "feedback": given})
    text = shown(capsys, "a")
    assert "from 00a Roughly [-ten-]{+nine+} years." in part(text, " 2  ada", " 3  bob")
    ended = "Five. outcome the chain ends: the revision has the same words"
    assert part(text, " 1  bob", " 2  ada").endswith(ended)
    assert text.count("outcome") == 1


def test_markdown_has_the_same(chain: str, collection: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As headings, quotations and lists."""
    text = shown(capsys, chain, "--md")
    assert text.startswith("# d0000: How does a heat pump work?\n\nqa\n\nruns/chain · conf example · done\n")
    assert "## 2 ada · revision 1\n" in text
    assert "> A heat pump moves heat" in text
    assert "In winter the COP [-is always 3.-]{+falls to about 2.+}\n>\n> {+So it pays" in text
    assert "(rewritten: 4 % of the words stay)\n" in text
    assert "- verdict: not needed, score 9, overruled: the minimum is 2 revisions\n" in text
    assert "- pairs: 02b over 00a by 0.3111 (revision); 04a over 02b by 0.25 (revision)\n" in text
    text = shown(capsys, collection, "--md")
    assert "## 7 teacher · revision 1 · from 01a\n" in text
    assert "- outcome: pair: over d0000.00a\n" in text
    assert "- teacher compares 00a with 01a: flipped (no pair)\n" in text


def test_json_has_kind_number_of_the_revision_and_what_feedback_says(
    chain: str, collection: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Null where there is none."""
    rows = [json.loads(line) for line in shown(capsys, chain, "--json").splitlines()]
    assert [(row["kind"], row["revision"]) for row in rows] == [
        ("answer", None), ("feedback", None), ("revision", 1), ("revision", 1), ("feedback", None),
        ("revision", 2), ("feedback", None),
    ]  # fmt: skip
    said = [(row["feedback_status"], row["feedback_score"], row["overruled"]) for row in rows]
    assert said[4:] == [("not_needed", 9.0, True), (None, None, None), ("cut_off", None, False)]
    assert (rows[3]["chosen"], rows[3]["rejected"], rows[3]["outcome"]) == (True, True, "revised")
    assert (rows[0]["topic"], rows[0]["task"], rows[0]["group"]) == ("How does a heat pump work?", "qa", "")
    row = json.loads(shown(capsys, collection, "--json").splitlines()[-1])
    assert (row["group"], row["difficulty"], row["outcome"]) == ("medium", 1.2341, "pair")


def test_where_finds_a_kind_and_an_outcome(
    chain: str, collection: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A revision that was found shows its changes, too."""
    text = shown(capsys, chain, "--where", "kind=revision and content~insulated")
    assert "d0000.02b  ada · revision 1 ─" in text
    assert "[-is always 3.-]{+falls to about 2.+}" in text
    assert text.endswith("1 of 7 drafts match kind=revision and content~insulated\n")
    assert "1 of 6 drafts match outcome=equal\n" in shown(capsys, collection, "--where", "outcome=equal")


def test_n_keeps_the_last_turns_and_what_they_change(chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The version before is not shown, but it is on record."""
    text = shown(capsys, chain, "-n", "4")
    assert "(2 earlier turns not shown)" in text
    assert "from 01a" in text
    assert "[-is always 3.-]" in text


def test_as_is_refused(chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    """These prompts were no view of a dialogue."""
    told = refused(capsys, chain, "--as", "ada")
    assert "what a seat was shown is only rebuilt for the dialogues of arena.run" in told


def test_a_revision_whose_version_is_not_on_record_is_plain(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder can be read while it is written, or after somebody cut it."""
    write(runs / "a", REVISE_TABLES, {"turns": [turn("02a", "ada", "revision", "Heat moves.", "01a")]})
    text = shown(capsys, "a")
    assert text.startswith("d0000  (the topic is not on record yet)\n")
    assert " 2  ada · revision 1 ─" in text
    assert "    Heat moves.\n" in text


def test_turns_that_go_on_from_themselves_are_an_error(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not an endless loop."""
    turns = [turn("00a", "ada", "revision", "One.", "01a"), turn("01a", "ada", "revision", "Two.", "00a")]
    write(runs / "a", REVISE_TABLES, {"turns": turns})
    assert main(["a"]) == 1
    assert "goes on from itself" in capsys.readouterr().err


def test_a_run_from_before_turns_had_kinds_is_read(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its turns are replies."""
    (runs / "a").mkdir(parents=True)
    row = turn("00a", "ada", "reply", "Just now")
    del row["kind"]
    (runs / "a" / "turns.jsonl").write_bytes(line(row))
    text = shown(capsys, "a")
    assert " 0  ada ─" in text
    assert "    not decided yet\n    Just now\n" in text


def test_pairs_of_experts_are_told_by_their_exchanges(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their rows of preferences, which had no dialogue once, are not read."""
    Example().write(runs / "a")
    before = shown(capsys, "a", "d0000")
    assert "pair: b over a by 0.2" in before
    row = pair("01b", "01a", 0.2, "online")
    del row["dialogue"]
    (runs / "a" / "preferences.jsonl").write_bytes(line(row))
    assert shown(capsys, "a", "d0000") == before


@pytest.mark.parametrize("form", [[], ["--md"], ["--json"], ["--where", "turn=2"]])
def test_no_text_of_a_chain_can_command_the_terminal(
    form: list[str], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Questions, revisions and what they revise."""
    write_chain(runs / "a", question=HOSTILE, revised=f"{ANSWER} {HOSTILE}")
    text = shown(capsys, "a", *form)
    assert not CONTROL.search(text)


def test_no_line_is_longer_than_the_terminal(chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    """100 columns where there is none; marks are counted."""
    text = shown(capsys, chain)
    assert max(map(len, text.splitlines())) <= 100
    assert not any(each.endswith(" ") for each in text.splitlines())
    narrow = re.sub(r"\x1b\[[\d;]*m", "", on_terminal(os.path.join("runs", chain), "--no-pager"))
    assert max(len(each.rstrip("\r")) for each in narrow.split("\n")) <= 80
