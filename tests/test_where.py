"""Filters for drafts: what they find, and what is said of a mistake."""

import pytest

from agents.dialogue import Reply, Turn
from agents.errors import ConfigError
from arena.transcript import Draft, Judged
from arena.where import Where
from rewards.verdict import Verdict

VERDICT = Verdict("d0000.03b", "m", rating=4.0, wim="The cost", wim_status="ok", echo=0.25, reward=-0.5)
TURN = Turn("d0000.03b", "", "ada", Reply("Heat pumps pay", finish="length"))
DRAFT = Draft(TURN, step=6, tokens=12, model="m", judged=Judged(VERDICT, "bob", 0.0), outcome="tie")
UNJUDGED = Draft(TURN, step=6, tokens=12, model="m")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rating<5", True),
        ("rating < 4", False),
        ("rating<=4", True),
        ("rating>4", False),
        ("rating>=4.0", True),
        ("rating=4", True),
        ("rating!=4", False),
        ("reward<-0.4", True),
        ("echo>0.2", True),
        ("tokens_out=12", True),
        ("step=6", True),
        ("turn=3", True),
        ("speaker=ada", True),
        ("speaker!=ada", False),
        ("speaker~AD", True),
        ("finish=length", True),
        ("outcome=tie", True),
        ("wim~COST", True),
        ("content~'heat pump'", True),
        ('content~"and pay"', False),
        ("rating<5 and speaker=ada", True),
        ("rating<5 AND speaker=bob", False),
        ("cosine<1", False),
        ("cosine!=1", False),
    ],
)
def test_a_filter_finds_what_it_says(text: str, found: bool) -> None:
    """A draft that was rated 4; it has no cosine, so nothing can be said of that."""
    assert Where.parse(text).holds(DRAFT) is found


@pytest.mark.parametrize("text", ["rating<5", "rating>=5", "rating!=5", "outcome=tie", "outcome!=tie"])
def test_what_a_draft_does_not_have_meets_no_condition(text: str) -> None:
    """Neither a comparison nor its opposite."""
    assert not Where.parse(text).holds(UNJUDGED)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "expected a comparison such as rating<5 at the end"),
        ("rating", "at 'rating'"),
        ("rating<", "at 'rating<'"),
        ("rating<<5", "at 'rating<<5'"),
        ("rating==5", "at 'rating==5'"),
        ("rating<5 and", "at the end"),
        ("rating<5 or turn=1", "'or turn=1' follows 'rating<5'; join comparisons by 'and'"),
        ("rating<5 turn=1", "'turn=1' follows 'rating<5'"),
        ("content~heat pump", "'pump' follows 'content~heat'.* in quotes"),
        ("ratng<5", "'ratng' is no field, did you mean 'rating'\\? allowed are rating, reward, cosine"),
        ("zzz<5", "'zzz' is no field; allowed are rating"),
        ("rating<five", "rating is a number, but 'five' is none"),
        ("rating~5", "rating is a number, so '~' says nothing; allowed are < <= > >= = !="),
        ("speaker<5", "speaker is a text, so '<' says nothing; allowed are = != ~"),
        ("__import__('os')<5", "at "),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(text: str, answer: str) -> None:
    """The part that is wrong, not the whole."""
    with pytest.raises(ConfigError, match=answer):
        Where.parse(text)
