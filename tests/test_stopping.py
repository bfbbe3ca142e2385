"""Reading from a feedback text whether a revision is needed: every outcome has a status."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.stopping import NEEDED, NEEDS_BELOW, NOT_NEEDED, Stop, overrule, parse_stop

DATA = Path(os.environ.get("ARENA_DATA") or Path(__file__).parents[2] / "shared" / "data")
PIECES = [
    *("Revision is needed", "revision is not needed", "no revision", "Verdict:", "Score: 9", "Score: 4/10"),
    *("but", "if", "isn't needed", "needed", "yes", "no", "please revise", "optional", "I do not think"),
    *('"', "“", "’", "*", "_", "```", "\n", "\n\n", ". ", "? ", "! ", "; ", ", and", " ", "-", ":"),
    *("Dates are missing", "İ", "ß"),
]
FEEDBACK = st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join) | st.text(max_size=40)
"""Texts of what feedback and its traps are made of."""


def feedbacks(name: str) -> list[str]:
    """The real feedback texts of a file; the test is skipped where it is not there."""
    path = DATA / "sft" / name
    if not path.is_file():
        pytest.skip(f"no {name}: set ARENA_DATA to a folder with sft/{name}")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [step["feedback"] for row in rows for step in row["outputs"]]


@pytest.mark.parametrize(
    "text",
    [
        NEEDED,
        "REVISION IS NEEDED!",
        "**Revision is needed**",
        "A small revision is needed because no source is given.",
        "Revision needed.",
        "No, revision is needed.",
        "There is no need to mention dates. Revision is needed.",
        "The answer needs to be revised.",
        "You must revise the answer.",
        "It requires a major revision.",
        "There is a need for revision.",
        "Some changes are necessary.",
        "Not only is revision needed, but the tone is wrong.",
        "Revision is not only needed but urgent.",
        "There is no doubt that revision is needed.",
        "There is no question that the answer needs revision.",
        "Therefore, “Revision is needed”.",
        "A little revision is needed.",
        "Revision needed: yes",
        "Is revision needed? Yes.",
        "**Verdict:** needed.",
        "Well put.\n\nRevision is recommended.",
        "Please revise your answer.",
    ],
)
def test_a_revision_is_needed(text: str) -> None:
    """However it is put; advice counts where nothing is said of need."""
    assert parse_stop(text) == Stop("needed", None, text)


@pytest.mark.parametrize(
    "text",
    [
        NOT_NEEDED,
        "Revision is **NOT** needed",
        "No revision is needed",
        "No minor or major revision is required at this time.",
        "Revision isn’t needed.",
        "It needs no revision.",
        "The text needs no further improvement.",
        "There is no need to revise.",
        "I see no need for any changes.",
        "It does not require any revision.",
        "It doesn’t require revision.",
        "No further changes are necessary.",
        "Revision is no longer needed.",
        "Revision is unnecessary.",
        "Nothing needs to be revised.",
        "You don't need to revise the answer.",
        "There aren't any further revisions needed.",
        "There are no issues that require revision.",
        "Neither revision nor any change is needed.",
        "I do not think any revisions are necessary.",
        "I disagree that revision is needed.",
        "I would say that no revision is needed.",
        "I am unable to find any further revisions needed.",
        "The previous answer needed work; no revision needed now.",
        "Is revision needed? No revision is needed.",
        "Revision needed: No",
        "Revision needed: no changes",
        "Verdict: not needed",
        "No critique needed.",
        '"Revision is not needed."',
        "Water is needed. Revision is not needed.",
        "Revision is optional.",
        "Please revise the title. Revision is not needed.",
        "I do not have any suggestions for revision.",
    ],
)
def test_no_revision_is_needed(text: str) -> None:
    """Also where the need is denied with other words, or in front."""
    assert parse_stop(text) == Stop("not_needed", None, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Score",
        "There is no need to mention dates.",
        "Water is needed.",
        "More sources are required.",
        "The revision removes code that is not needed.",
        "Is revision needed?",
        '"Is revision needed?" is what I asked myself.',
        "Revision is needed if you want a perfect text.",
        "If the date is wrong, revision is needed.",
        "No revision is needed, unless the date is wrong.",
        "Say whether revision is needed.",
        "End with 'Revision is needed' or 'Revision is not needed'.",
        'You wrote "revision is needed" in your answer.',
        "Revision may be needed.",
        "Perhaps a revision is needed.",
        "Little revision is needed.",
        "Revision is hardly needed.",
        "I am not sure that revision is needed.",
        "Revision is not unnecessary.",
        "Write it so:\n```\nRevision is not needed.\n```",
        "Score: 8\n\nRevision is",
    ],
)
def test_no_verdict_is_made_up(text: str) -> None:
    """Questions, conditions, guesses, quotes, code, and other needs; a cut text has its own status."""
    assert parse_stop(text).status == "absent"
    assert parse_stop(text, truncated=True).status == "cut_off"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("It is not true that no revision is needed.", "needed"),
        ("I do not think that no revision is needed.", "needed"),
        ("I cannot say that revision is not needed.", "needed"),
        ("It is not the case that there is no need to revise.", "needed"),
    ],
)
def test_a_double_negation_is_a_yes(text: str, status: str) -> None:
    """What denies the denial turns it round."""
    assert parse_stop(text).status == status


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Revision is needed. On reflection, revision is not needed.", "not_needed"),
        ("Revision is not needed. The dates are wrong. Revision is needed.\nScore: 5", "needed"),
        ("Verdict: Revision is needed.\nNo revision is needed, I thought first. But I was wrong.", "needed"),
        ("Revision is needed. Revision is not needed. It is a fine text.", "ambiguous"),
        ("Verdict: Revision is needed.\nVerdict: Revision is not needed.", "ambiguous"),
        ("Verdict: Revision is needed.\nIt is fine.\nRevision is not needed.", "ambiguous"),
        ("Revision is needed; no revision is needed.", "ambiguous"),
    ],
)
def test_the_last_word_or_a_label_decides(text: str, status: str) -> None:
    """Of opposite verdicts; a score after the last sentence takes nothing from it."""
    assert parse_stop(text).status == status


@pytest.mark.parametrize(
    ("score", "verdict", "status"),
    [
        (8.9, NOT_NEEDED, "contradicts"),
        (9, NOT_NEEDED, "not_needed"),
        (9, NEEDED, "contradicts"),
        (8.9, NEEDED, "needed"),
        (15, NOT_NEEDED, "contradicts"),
        (15, NEEDED, "contradicts"),
        (85, NOT_NEEDED, "contradicts"),
    ],
)
def test_a_score_can_contradict_the_verdict(score: float, verdict: str, status: str) -> None:
    """Below 9 of 10 a revision is needed, from 9 on it is not; a score off the scale fits neither."""
    assert NEEDS_BELOW == 9
    assert parse_stop(f"Fine.\nScore: {score}\n{verdict}").status == status


@pytest.mark.parametrize("score", ["15", "0", "0.5", "-3", "11/10", "85/100", "4/5", "95%", "**12**"])
@pytest.mark.parametrize("verdict", [NEEDED, NOT_NEEDED])
def test_a_labelled_score_off_the_scale_spoils_the_verdict(score: str, verdict: str) -> None:
    """Whichever way it goes, and wherever the score stands; a text without a verdict has none still."""
    for text in (f"Score: {score}. {verdict} It is clear.", f"Clear.\n\n**Rating:** {score}\n\n{verdict}"):
        assert parse_stop(text) == Stop("contradicts", None, text)
    assert parse_stop(f"Score: {score}. It is clear.").status == "absent"


@pytest.mark.parametrize(
    "score",
    ["It has 85/100.", "Score: 8-9.", "Score: 8. Score: 15.", "15 of 16 dates are right.", "Score: seven."],
)
def test_other_numbers_spoil_nothing(score: str) -> None:
    """Without a label, of a range, or beside a score on the scale, a number does not count as one off it."""
    assert parse_stop(f"{score} {NOT_NEEDED}").status == "not_needed"


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Score: 7", 7),
        ("**Score:** 7/10", 7),
        ("Score (1-10): 7", 7),
        ("Score:\n7", 7),
        ("Overall score = 6", 6),
        ("It is 8 out of 10.", 8),
        ("I rate this **8**/10", 8),
        ("[[8]]", 8),
        ("I give it a score of 8.5 out of 10.", 8.5),
        ("On a scale of 1-10, I would rate your answer a 9.", 9),
        ("With dates it would be 10/10. Score: 8", 8),
        ("Score: 7. Or, once more, 7/10.", 7),
        ("", None),
        ("Score: seven", None),
        ("Score: 85", None),
        ("Score: 85/100", None),
        ("Score: 4/5", None),
        ("Score: 0", None),
        ("Score: 11/10", None),
        ("Score: 8-9", None),
        ("Score: 8. Score: 9.", None),
        ("From 7/10 to 8/10.", None),
        ("On 8/10/2020 it rained.", None),
        ("The interest rate is 5.", None),
        ("A score of 8.5%", None),
        ("```\nscore = 3\n```", None),
    ],
)
def test_a_score_is_of_one_to_ten(text: str, score: float | None) -> None:
    """From the clearest place; other scales, two scores and no score give none."""
    assert parse_stop(text).score == score


@pytest.mark.parametrize(
    ("text", "overruled"),
    [
        (NOT_NEEDED, NEEDED),
        ("", NEEDED),
        ("Add dates.", f"Add dates.\n\n{NEEDED}"),
        ("Add dates.\n\nScore: 9\n\nRevision is not needed.", f"Add dates.\n\nScore: 9\n\n{NEEDED}"),
        ("The answer is good, and no revision is needed.", f"The answer is good.\n\n{NEEDED}"),
        ("Revision isn’t needed, but dates would help.", f"Dates would help.\n\n{NEEDED}"),
        ("Fine. No revision is needed, but add dates.", f"Fine. Add dates.\n\n{NEEDED}"),
        ("**Verdict:** not needed\nAdd dates.", f"Add dates.\n\n{NEEDED}"),
        ("There is no need to add dates.", f"There is no need to add dates.\n\n{NEEDED}"),
    ],
)
def test_a_verdict_is_overruled(text: str, overruled: str) -> None:
    """The verdict goes, what was said of the answer stays, and a revision is needed."""
    assert overrule(text) == overruled


@settings(max_examples=400, deadline=None)
@given(text=FEEDBACK, truncated=st.booleans())
def test_every_text_has_one_of_six_statuses(text: str, truncated: bool) -> None:
    """And the same one each time; `cut_off` only where it was cut."""
    stop = parse_stop(text, truncated)
    known = {"needed", "not_needed", "ambiguous", "contradicts", "cut_off" if truncated else "absent"}
    assert stop.status in known and stop.raw == text
    assert stop.score is None or 1 <= stop.score <= 10


@settings(max_examples=400, deadline=None)
@given(text=FEEDBACK)
def test_an_overruled_text_asks_for_a_revision(text: str) -> None:
    """Whatever stood there before; only a high score can still contradict it."""
    stop = parse_stop(overrule(text))
    high = stop.score is not None and stop.score >= NEEDS_BELOW
    assert stop.status == ("contradicts" if high else "needed")


@pytest.mark.parametrize(
    ("name", "no_verdict", "low_score"),
    [("selfee_feedback_mbpp.jsonl", 0.048, 0.247), ("selfee_feedback_conala.jsonl", 0.057, 0.111)],
)
def test_real_feedback_is_read(name: str, no_verdict: float, low_score: float) -> None:
    """The shares, within one percentage point, that were found by reading a sample by eye.

    Of all feedback, how much has no verdict (mostly it was cut at 128 tokens); of the "not needed" with
    a score, how many have one below 9, against the rule of the prompt that asked for them.
    """
    stops = [parse_stop(text) for text in feedbacks(name)]
    count = Counter(stop.status for stop in stops)
    assert count["absent"] / len(stops) == pytest.approx(no_verdict, abs=0.01)
    kept = [stop for stop in stops if stop.status == "not_needed" and stop.score is not None]
    low = [stop for stop in stops if stop.status == "contradicts" and (stop.score or 10) < NEEDS_BELOW]
    assert len(low) / len(low + kept) == pytest.approx(low_score, abs=0.01)
    assert count["ambiguous"] / len(stops) < 0.005


@pytest.mark.parametrize("name", ["selfee_feedback_mbpp.jsonl", "selfee_feedback_conala.jsonl"])
def test_the_plain_verdict_at_the_end_of_real_feedback_is_read(name: str) -> None:
    """Where a text ends with one of the two sentences that were asked for, that is the verdict."""
    for text in feedbacks(name):
        stop = parse_stop(text)
        needed = stop.status == "needed" or (
            stop.status == "contradicts" and (stop.score or 0) >= NEEDS_BELOW
        )
        if text.endswith(f"\n{NEEDED}"):
            assert needed, text
        elif text.endswith(f"\n{NOT_NEEDED}"):
            assert stop.status in {"not_needed", "contradicts"} and not needed, text
