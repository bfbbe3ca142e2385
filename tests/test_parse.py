"""Reading what a judge wrote: every outcome has a status, and no number comes from nowhere."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.parse import echo, parse_rating, parse_wim

DATA = Path(os.environ.get("ARENA_DATA") or Path(__file__).parents[2] / "shared" / "data")
BRACKETED = st.text(alphabet="[]{}0123456789./ \nwimnoeg:,", max_size=60)
"""Texts of what judges' formats are made of."""


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a file of real data; the test is skipped where it is not there."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"no {name}: set ARENA_DATA to a folder with it")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def transcripts() -> Iterator[list[dict[str, str]]]:
    """The messages of the ancestor's ten conversations; each ends with a rating in free text."""
    for row in rows("convs/expert_chat_examples.jsonl"):
        yield json.loads(row["text"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("It is clear. [[7]]", 7.0),
        ("[[7.5]]", 7.5),
        ("[[8/10]]", 8.0),
        ("[[8 out of 10]]", 8.0),
        ("[[\n 7\n]]", 7.0),
        ("[[10]]", 10.0),
        ("[[[the cost of heat]]] [[9]]", 9.0),
        ("[[[]]] [[9]]", 9.0),
        ("[[[it lacks\ntwo things]]]\n[[3]]", 3.0),
        ("[[6]] because ... so [[6]]", 6.0),
        ("[[6]], that is [[6/10]]", 6.0),
        ("[[see above]] [[4]]", 4.0),
        ("[[[it says [[10]] itself]]] [[4]]", 4.0),
    ],
)
def test_a_number_in_double_brackets_is_the_rating(text: str, value: float) -> None:
    """Also a fraction of ten, a decimal, and one that follows what is missing."""
    assert parse_rating(text).value == value


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("8 out of 10", "absent"),
        ("", "absent"),
        ("[8]", "absent"),
        ("[[[8]]]", "absent"),
        ("[[[[8]]]]", "absent"),
        ("[[[8]]", "absent"),
        ("[[8]]]", "absent"),
        ("[[[it lacks [8] sources]]]", "absent"),
        ("[[[it says [[8]] itself]]]", "absent"),
        ("[[eight]]", "unreadable"),
        ("[[]]", "unreadable"),
        ("[[-3]]", "unreadable"),
        ("[[7 or 8]]", "unreadable"),
        ("[[85]]", "out_of_range"),
        ("[[0]]", "out_of_range"),
        ("[[0.5]]", "out_of_range"),
        ("[[85/100]]", "other_scale"),
        ("[[4/5]]", "other_scale"),
        ("[[6]] or rather [[7]]", "ambiguous"),
        ("[[8]], in percent [[85]]", "ambiguous"),
        ("[[8]], in percent [[85/100]]", "ambiguous"),
        ("not a [[10 out of 10]] but a [[7]]", "ambiguous"),
    ],
)
def test_what_is_no_single_rating_has_a_status_and_no_value(text: str, status: str) -> None:
    """Brackets of another kind, other scales, words, and two numbers."""
    rating = parse_rating(text)
    assert (rating.value, rating.status) == (None, status)


def test_the_judges_text_is_kept_with_the_rating() -> None:
    """Whatever came of it."""
    assert [parse_rating(text).raw for text in ("[[7]]", "seven")] == ["[[7]]", "seven"]


@settings(deadline=None)
@given(st.one_of(st.text(), BRACKETED))
def test_any_text_gives_a_rating_in_range_or_none(text: str) -> None:
    """A value comes with `ok`, and never without."""
    rating = parse_rating(text)
    assert (rating.value is not None) == (rating.status == "ok")
    assert rating.value is None or 1 <= rating.value <= 10


@settings(deadline=None)
@given(st.one_of(st.text(), BRACKETED))
def test_a_rating_stands_in_the_text_it_was_read_from(text: str) -> None:
    """Nothing is computed or defaulted: its digits are there, in brackets."""
    rating = parse_rating(text)
    if rating.value is not None:
        numbers = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", text)]
        assert rating.value in numbers
        assert "[[" in text


@settings(deadline=None)
@given(st.floats(1, 10))
def test_every_rating_that_a_judge_can_write_is_read_back(value: float) -> None:
    """To the digits that it wrote."""
    written = f"{value:.2f}"
    assert parse_rating(f"Well. [[{written}]]").value == float(written)


@pytest.mark.parametrize(
    "text",
    ["[[" + " " * 5000, "[" * 5000, "[[[" + "a" * 5000, "Missing" * 700, "**" * 2500, "nothing " * 700],
    ids=["spaces", "brackets", "unclosed", "words", "stars", "nothing"],
)
def test_long_nonsense_is_read_in_no_time(text: str) -> None:
    """No pattern tries every way to cut it."""
    assert parse_rating(text).value is None
    assert parse_wim(text)[1] in ("absent", "ok", "placeholder")


@pytest.mark.parametrize(
    ("text", "wim"),
    [
        ("the cost of heat", "the cost of heat"),
        ("[[[the cost of heat]]] [[7]]", "the cost of heat"),
        ("[[7]] [[[the cost\n  of heat]]]", "the cost of heat"),
        ("Missing: the cost of heat.", "the cost of heat."),
        ("**Missing:** the cost of heat", "the cost of heat"),
        ("What's missing is the cost of heat", "the cost of heat"),
        ("What’s missing: the cost of heat", "the cost of heat"),
        ("WIM - the cost of heat", "the cost of heat"),
        ("[[[WIM: the cost of heat]]]", "the cost of heat"),
        ("missing from the answer: the cost of heat", "the cost of heat"),
    ],
)
def test_what_is_missing_is_read_without_its_label(text: str, wim: str) -> None:
    """With or without brackets, over several lines."""
    assert parse_wim(text) == (wim, "ok")


@pytest.mark.parametrize(
    "text",
    [
        "how to swim - safely",
        "the answer is vague; missing: sources",
        "missing island names",
        "Missing-person statistics",
        "a mention of what is missing is missing",
        "None of the costs are named",
        "Nothing is said about the cost of heat",
        "Nothing is missing but the cost of heat",
        "None. However, it could name the cost of heat",
    ],
)
def test_words_that_only_resemble_a_label_or_a_denial_stay(text: str) -> None:
    """The text is handed on letter by letter."""
    assert parse_wim(text) == (text, "ok")


@pytest.mark.parametrize(
    "text",
    [
        "None.",
        "none",
        "N/A",
        "No.",
        "n/a.",
        "nothing",
        "**Nothing**",
        "nothing is missing",
        "Nothing is missing from the answer.",
        "Nothing is missing; the answer is complete.",
        "nothing important is missing!",
        "There is nothing missing",
        "No important information is missing.",
        "No missing content",
        "[[[]]] [[9]]",
        "[[[ \n ]]]",
        "[[[None.]]]",
        "Missing: nothing.",
    ],
)
def test_a_judge_that_misses_nothing_is_understood(text: str) -> None:
    """A category of its own: no text to embed, no cosine of 1."""
    assert parse_wim(text) == ("", "nothing_missing")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("wim", "placeholder"),
        ("[[[WIM]]]", "placeholder"),
        ("[[[...]]]", "placeholder"),
        ("[[[what is missing]]]", "placeholder"),
        ("[[[text]]]", "placeholder"),
        ("[[[8]]]", "placeholder"),
        ("Missing: wim", "placeholder"),
        ("[[[the cost of heat", "absent"),
        ("[[[the cost of heat]] [[7]]", "absent"),
        ("", "empty"),
        (" \n", "empty"),
        ("Missing:", "empty"),
        ("[[[Missing:]]]", "empty"),
    ],
)
def test_what_names_nothing_missing_has_a_status_and_no_text(text: str, status: str) -> None:
    """Echoes of the format, bare numbers, brackets that never close."""
    assert parse_wim(text) == ("", status)


@settings(deadline=None)
@given(st.one_of(st.text(), BRACKETED))
def test_any_text_gives_what_is_missing_or_a_reason(text: str) -> None:
    """A text comes with `ok`, and never without; its letters are the judge's."""
    wim, status = parse_wim(text)
    assert bool(wim) == (status == "ok")
    assert set(wim) <= {*text, " "}


def test_an_echo_is_the_share_of_trigrams_that_stand_in_the_reply() -> None:
    """`the cost of`, `cost of heat`, `of heat here`: two of the three stand there, or one of them."""
    assert echo("the cost of heat here", "It ignores the COST of heating.") == pytest.approx(1 / 3)
    assert echo("the cost of heat here", "It ignores the cost, of heat!") == pytest.approx(2 / 3)


def test_fewer_than_three_words_echo_nothing() -> None:
    """There is no trigram to be repeated."""
    assert echo("the cost", "the cost") == 0.0


@settings(deadline=None)
@given(st.text(), st.text())
def test_an_echo_is_a_share(wim: str, reply: str) -> None:
    """In [0, 1], and 1 for a text that repeats itself."""
    assert 0 <= echo(wim, reply) <= 1
    assert echo(wim, wim) in (0.0, 1.0)


def test_reviews_without_brackets_give_no_rating() -> None:
    """1040 reviews by GPT-4 are full of scores, "9 8" and "7 out of 10", none of them in brackets."""
    reviews = [row["review"] for row in rows("scores/vicuna80_gpt4_reviews.jsonl")]
    assert len(reviews) > 1000
    assert {parse_rating(review).status for review in reviews} == {"absent"}


def test_free_ratings_of_the_ancestors_give_no_number() -> None:
    """Four of five of Llama's say a number, two of them "10 out of 10" in the negative."""
    texts = [message["content"] for messages in transcripts() for message in messages]
    assert any("out of 10" in text for text in texts)
    assert [parse_rating(text).value for text in texts] == [None] * len(texts)


def test_bracketed_scores_of_real_reviews_are_read() -> None:
    """Behind the review that they belong to, as the rubric asks for them."""
    for row in rows("scores/vicuna80_gpt4_reviews.jsonl")[:200]:
        score = float(row["scores"][0])
        read = parse_rating(f"{row['review']} [[{score:g}]]")
        assert read.value == (score if 1 <= score <= 10 else None)
