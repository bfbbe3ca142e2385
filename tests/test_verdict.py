"""From verdicts to a preference: better, worse, a tie, or no judgement."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import Message, Reply
from rewards.verdict import NORMALISATIONS, Case, Preference, Verdict, normalise, prefer

PROMPT = (Message(role="user", content="Why does ice float?"),)


def preferred(
    rewards: Sequence[float | None],
    tie_margin: float = 0.0,
    *,
    scales: Sequence[str] = (),
    cut: Sequence[int] = (),
    pair_truncated: bool = False,
) -> tuple[Preference | None, str]:
    """What comes of drafts `d0`, `d1`, ... with these rewards; those in `cut` are truncated."""
    drafts = [
        (f"d{i}", Reply(f"reply {i}", finish="length" if i in cut else "stop")) for i in range(len(rewards))
    ]
    verdicts = [
        Verdict(f"d{i}", "bob", reward=reward, scale=scales[i] if scales else "rating")
        for i, reward in enumerate(rewards)
    ]
    return prefer(PROMPT, drafts, verdicts, tie_margin, pair_truncated)


def ids(rewards: Sequence[float | None], tie_margin: float = 0.0, cut: Sequence[int] = ()) -> str:
    """`chosen>rejected`, or why there is no pair."""
    pair, outcome = preferred(rewards, tie_margin, cut=cut)
    return f"{pair.chosen_id}>{pair.rejected_id}" if pair else outcome


def test_the_best_is_chosen_and_the_worst_rejected() -> None:
    """0.7 - (-0.2) = 0.9; the two between them are left out."""
    pair, outcome = preferred([0.1, 0.7, -0.2, 0.3])
    assert pair is not None
    assert (pair.chosen_id, pair.rejected_id, outcome) == ("d1", "d2", "pair")
    assert pair.margin == pytest.approx(0.9)


def test_a_pair_holds_the_prompt_and_both_replies() -> None:
    """As they were given."""
    pair, _ = preferred([0.0, 1.0])
    assert pair is not None
    assert (pair.prompt, pair.chosen.text, pair.rejected.text) == (PROMPT, "reply 1", "reply 0")


@pytest.mark.parametrize("rewards", [[0.3, 0.9], [0.9, 0.3]])
def test_the_order_of_drafts_does_not_matter(rewards: list[float]) -> None:
    """The better one is chosen wherever it stands."""
    best = rewards.index(0.9)
    assert ids(rewards) == f"d{best}>d{1 - best}"


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_shuffled_drafts_give_the_same_margin(rewards: list[float], order: Random) -> None:
    """Whatever the rewards."""
    shuffled = list(rewards)
    order.shuffle(shuffled)
    first, second = preferred(rewards), preferred(shuffled)
    assert first[1] == second[1]
    assert (first[0] and first[0].margin) == (second[0] and second[0].margin)


def test_equal_rewards_are_a_tie() -> None:
    """And not a win of the first."""
    assert ids([0.4, 0.4]) == "tie"


def test_rewards_within_the_margin_are_a_tie() -> None:
    """0.75 - 0.5 = 0.25: a tie at a margin of 0.25, a pair below."""
    assert [ids([0.75, 0.5], margin) for margin in (0.25, 0.24)] == ["tie", "d0>d1"]


def test_the_same_words_are_a_tie_whatever_the_judge_says() -> None:
    """Two copies of one reply teach nothing."""
    drafts = [("d0", Reply("Ice floats.", ids=(1,))), ("d1", Reply("Ice floats.", ids=(2,)))]
    verdicts = [Verdict("d0", "bob", reward=0.9), Verdict("d1", "bob", reward=-0.9)]
    assert prefer(PROMPT, drafts, verdicts) == (None, "tie")


def test_a_verdict_that_abstains_is_not_compared() -> None:
    """It counts neither as 0 nor as the worst."""
    assert ids([-0.5, None, -0.9]) == "d0>d2"


def test_one_reward_alone_makes_no_pair() -> None:
    """Nor does none."""
    assert [ids([0.9, None]), ids([None, None]), ids([0.9])] == ["abstained"] * 3


def test_truncated_drafts_are_not_paired() -> None:
    """The best one was cut, so the second best is chosen."""
    assert ids([0.9, 0.1, 0.5], cut=[0]) == "d2>d1"


def test_one_whole_draft_alone_makes_no_pair() -> None:
    """And the reason is the limit, not the judge."""
    assert [ids([0.9, 0.1], cut=[0]), ids([0.9, 0.1], cut=[0, 1])] == ["truncated"] * 2


def test_truncated_drafts_are_paired_where_they_may() -> None:
    """`pair_truncated` is a setting of the judge."""
    pair, _ = preferred([0.9, 0.1], cut=[0, 1], pair_truncated=True)
    assert pair is not None and pair.chosen_id == "d0"


def test_two_scales_are_not_compared() -> None:
    """A reward without a cosine says nothing about one with it."""
    assert preferred([0.9, 0.1], scales=["rating+wim", "nothing_missing"]) == (None, "scales")


def test_drafts_on_the_common_scale_are_compared() -> None:
    """The best of all is on the rarer scale, and is left out."""
    pair, _ = preferred([0.2, 0.9, 0.6], scales=["rating+wim", "nothing_missing", "rating+wim"])
    assert pair is not None
    assert (pair.chosen_id, pair.rejected_id) == ("d2", "d0")


def test_three_drafts_on_three_scales_make_no_pair() -> None:
    """Each is alone."""
    assert preferred([0.2, 0.9, 0.6], scales=["a", "b", "c"]) == (None, "scales")


def test_the_scale_is_counted_without_truncated_drafts() -> None:
    """Of two and two, one of the second scale is cut."""
    pair, _ = preferred([0.2, 0.6, 0.9, 0.1], scales=["a", "a", "b", "b"], cut=[2])
    assert pair is not None
    assert (pair.chosen_id, pair.rejected_id) == ("d1", "d0")


@pytest.mark.parametrize(
    ("name", "one", "five", "ten"),
    [
        ("centred", -1.0, -1 / 9, 1.0),
        ("ancestor", -0.8, 0.0, 1.0),
        ("paper", -9 / 11, -1 / 11, 9 / 11),
    ],
)
def test_a_normalisation_maps_one_five_and_ten(name: str, one: float, five: float, ten: float) -> None:
    """(1 - 5.5) / 4.5 = -1; (1 - 5) / 5 = -0.8; (1 - 5.5) / 5.5 = -9/11."""
    assert [normalise(rating, name) for rating in (1, 5, 10)] == pytest.approx([one, five, ten])


def test_there_are_three_normalisations() -> None:
    """Those of the table above."""
    assert set(NORMALISATIONS) == {"centred", "ancestor", "paper"}


def test_the_question_of_a_case_is_what_was_answered() -> None:
    """The last message, not the topic."""
    prompt = (Message(role="user", content="first"), Message(role="user", content="second"))
    assert Case("x", "topic", prompt, Reply("r")).question == "second"
