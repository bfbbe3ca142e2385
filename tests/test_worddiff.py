"""Words that a revision keeps, deletes and inserts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.worddiff import diff, marked, staying

TEXTS = st.text(st.sampled_from("ab  \n\t"), max_size=30)
"""Few words, so that many stay."""


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("It is warm.", "It is warm.", "It is warm."),
        ("It is warm.", "It is cold.", "It is [-warm.-]{+cold.+}"),
        ("It is warm.", "It is very warm.", "It is {+very+} warm."),
        ("It is very warm.", "It is warm.", "It is [-very-] warm."),
        ("It is warm today.", "It is warm.", "It is [-warm today.-]{+warm.+}"),
        ("Sorry! It is warm.", "It is warm.", "[-Sorry!-] It is warm."),
        ("It is warm. Bye", "It is warm.", "It is warm. [-Bye-]"),
        ("It is warm.", "", "[-It is warm.-]"),
        ("", "It is warm.", "{+It is warm.+}"),
        ("", "", ""),
    ],
)
def test_deleted_and_inserted_words_stand_in_marks(before: str, after: str, shown: str) -> None:
    """As git writes them: the deleted words first, nothing between them and those in their place."""
    assert marked(diff(before, after)) == shown


def test_white_space_is_no_change_and_is_that_of_the_new_text() -> None:
    """A list that was set anew has the same words; deleted lines close up."""
    assert diff("one two\nthree", "one\n\n two three\n") == [("equal", "one\n\n two three\n")]
    assert marked(diff("one\n\ngone\naway\n\ntwo", "one\n\ntwo")) == "one [-gone away-]\n\ntwo"


def test_a_mark_ends_with_its_line() -> None:
    """So that it can be read where a text is a list."""
    shown = marked(diff("All of it pays:", "All of it pays:\n\n- in winter\n- in summer"))
    assert shown == "All of it pays:\n\n{+- in winter+}\n{+- in summer+}"


def test_a_lone_word_between_two_replacements_goes_with_them() -> None:
    """Two words at once do not."""
    assert marked(diff("so a b c end", "so x b z end")) == "so [-a b c-]{+x b z+} end"
    assert marked(diff("so a b b c end", "so x b b z end")) == "so [-a-]{+x+} b b [-c-]{+z+} end"


def test_frequent_words_of_a_long_text_are_compared_too() -> None:
    """Which difflib takes for noise from 200 words on, unless told."""
    same = " heat moves and" * 100
    segments = diff(f"old{same}", f"new{same}")
    assert [text for kind, text in segments if kind != "equal"] == ["old", "new"]


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [("a b c d", "a b c d e f", 1.0), ("a b c d", "a x y", 0.25), ("a", "b", 0.0), ("", "b", 0.0)],
)
def test_the_share_of_words_that_stay_is_of_the_text_before(before: str, after: str, share: float) -> None:
    """What is added to it does not lessen it."""
    assert staying(diff(before, after)) == share


@given(TEXTS, TEXTS)
def test_what_is_not_deleted_is_the_new_text_and_what_is_not_inserted_has_the_old_words(
    before: str, after: str
) -> None:
    """Letter by letter; of the old text word by word."""
    segments = diff(before, after)
    assert "".join(text for kind, text in segments if kind != "delete") == after
    kept = [word for kind, text in segments if kind != "insert" for word in text.split()]
    assert kept == before.split()
    assert all(text for _, text in segments)
