"""Judges that score: a score is a reward, and what is no number is no reward."""

import math
from collections.abc import Sequence

import pytest

from agents import Agent, Message, Reply, Scripted
from arena.records import verdict_of, verdict_row
from rewards.scores import Score, Scored
from rewards.verdict import Case, prefer


class Lengths(Scored):
    """The number of letters; some texts have none."""

    def score(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Score]:
        """`nan` is not a number, `?` cannot be scored."""
        special = {"nan": Score(math.nan), "?": Score(None, "unclear", "hm")}
        return [special.get(case.reply.text, Score(float(len(case.reply.text)))) for case in cases]


def case(text: str) -> Case:
    """An answer."""
    return Case(f"d0000.00{text[:1] or 'x'}", "t", (Message(role="user", content="q"),), Reply(text))


def test_a_score_is_the_reward() -> None:
    """On a scale of its own, without a rating."""
    [verdict] = Lengths(Scripted(["x"])).rate(Scripted(["x"]), [case("four")], [0])
    assert (verdict.reward, verdict.rating, verdict.scale, verdict.status) == (4.0, None, "score", "ok")


@pytest.mark.parametrize(
    ("text", "status"), [("", "empty_answer"), ("nan", "score_not_a_number"), ("?", "score_unclear")]
)
def test_what_is_no_number_is_no_reward(text: str, status: str) -> None:
    """It abstains, and says why."""
    [verdict] = Lengths().rate(Scripted(["x"]), [case(text)], [0])
    assert (verdict.reward, verdict.status) == (None, status)


def test_scored_drafts_make_a_pair() -> None:
    """By their difference."""
    drafts = [("a", Reply("four")), ("b", Reply("seven!!"))]
    verdicts = Lengths().rate(Scripted(["x"]), [case(reply.text) for _, reply in drafts], [0, 0])
    pair, outcome = prefer((Message(role="user", content="q"),), drafts, verdicts)
    assert pair and outcome == "pair"
    assert (pair.chosen_id, pair.margin) == ("b", 3.0)


def test_a_row_holds_a_score_without_a_rating() -> None:
    """The number that does not exist is 0.0, and comes back as none."""
    [verdict] = Lengths().rate(Scripted(["x"]), [case("four")], [0])
    row = verdict_row(verdict, judge="judge", about="draft", zeta=0.0, step=0)
    assert (row["rating"], row["scale"], row["reward"]) == (0.0, "score", 4.0)
    assert verdict_of(row) == verdict
