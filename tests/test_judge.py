"""The judge: rating and what is missing become one reward, or an abstention with its reason."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agents import Agent, ConfigError, Message, Reply, Scripted
from rewards.judge import Judge
from rewards.rating import Labels, Length, Text
from rewards.rubric import Rubric
from rewards.verdict import NORMALISATIONS, Case, Rating, Verdict
from rewards.wim import Embedder, Wim


class Fixed:
    """Rates each case alike, and counts how many it saw."""

    asks = False

    def __init__(self, value: float | None, status: str = "ok") -> None:
        """Take the rating."""
        self.rating = Rating(value, status, "raw words")
        self.seen: list[str] = []

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """The rating, for each."""
        self.seen += [case.id for case in cases]
        return [self.rating] * len(cases)


class Compass(Embedder):
    """Points a text to the number that its first word names, in degrees."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(texts, 2) unit vectors."""
        angles = np.radians([float(text.split()[0]) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)


def case(reply: str, id: str = "d0000.00a", topic: str = "90 degrees") -> Case:
    """An answer to be judged."""
    return Case(id, topic, (Message(role="user", content="Where to?"),), Reply(reply))


def judged(wim: str, zeta: float = 0.4, rating: float | None = 7.75, **options: Any) -> Verdict:
    """The verdict on a reply that points to 0 degrees; 7.75 is R = 0.5."""
    judge = Judge(Fixed(rating), Wim(Compass()), zeta, **options)
    [verdict] = judge.rate(Scripted([wim]), [case("0 degrees")], [0])
    return verdict


@pytest.mark.parametrize(
    ("zeta", "reward"),
    [(0.0, 0.5), (0.4, 0.6 * 0.5 + 0.4 * 0.5), (1.0, 0.5)],
)
def test_zeta_weighs_the_cosine_against_the_rating(zeta: float, reward: float) -> None:
    """R = (7.75 - 5.5) / 4.5 = 0.5; 60 degrees apart is a cosine of 0.5."""
    verdict = judged("60 degrees", zeta)
    assert verdict.cosine == pytest.approx(0.5)
    assert verdict.reward == pytest.approx(reward)


def test_the_reward_is_computed_by_hand() -> None:
    """Rating 10 is R = 1, 180 degrees a cosine of -1: 0.6 x 1 + 0.4 x (-1) = 0.2."""
    assert judged("180 degrees", rating=10.0).reward == pytest.approx(0.2)


@pytest.mark.parametrize(("name", "quality"), [("centred", 1.0), ("ancestor", 1.0), ("paper", 9 / 11)])
def test_the_normalisation_is_chosen_by_name(name: str, quality: float) -> None:
    """Rating 10, without the cosine."""
    verdict = judged("60 degrees", 0.0, 10.0, normalisation=name)
    assert verdict.reward == pytest.approx(quality)


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(1, 10), st.integers(0, 360))
def test_a_centred_reward_is_in_range(zeta: float, rating: float, degrees: int) -> None:
    """Between the quality and the cosine, both in [-1, 1]."""
    verdict = judged(f"{degrees} degrees", zeta, rating)
    assert verdict.reward is not None
    assert -1 - 1e-6 <= verdict.reward <= 1 + 1e-6


def test_nothing_missing_has_no_cosine_and_a_scale_of_its_own() -> None:
    """0.6 x 0.5 = 0.3: silence adds nothing, and is compared only with silence."""
    verdict = judged("Nothing is missing.")
    assert (verdict.cosine, verdict.wim_status, verdict.scale) == (None, "nothing_missing", "nothing_missing")
    assert verdict.reward == pytest.approx(0.3)


def test_nothing_missing_is_worth_nothing_where_the_cosine_is_all() -> None:
    """With zeta 1 the rating does not count."""
    assert judged("None.", 1.0).reward == 0.0


@pytest.mark.parametrize(("zeta", "scale"), [(0.0, "rating"), (0.4, "rating+wim")])
def test_the_scale_says_which_terms_the_reward_has(zeta: float, scale: str) -> None:
    """With zeta 0 what is missing is on record, and does not count."""
    verdict = judged("60 degrees", zeta)
    assert (verdict.scale, verdict.wim) == (scale, "60 degrees")


@pytest.mark.parametrize(
    ("told", "status"),
    [("[[[60 degrees", "wim_absent"), ("wim", "wim_placeholder"), ("", "wim_empty")],
)
def test_an_unreadable_wim_abstains_where_it_counts(told: str, status: str) -> None:
    """It is not replaced by the rating."""
    verdict = judged(told, 0.4)
    assert (verdict.reward, verdict.status, verdict.rating) == (None, status, 7.75)


@pytest.mark.parametrize("told", ["[[[60 degrees", "wim", "", "Nothing is missing."])
def test_an_unreadable_wim_does_no_harm_where_it_does_not_count(told: str) -> None:
    """With zeta 0 all verdicts are on the scale of ratings."""
    verdict = judged(told, 0.0)
    assert (verdict.reward, verdict.status, verdict.scale) == (0.5, "ok", "rating")


def test_an_unreadable_rating_abstains_with_its_reason_and_words() -> None:
    """It is not replaced by the cosine, nor by a middle rating."""
    judge = Judge(Fixed(None, "absent"), Wim(Compass()), 0.4)
    [verdict] = judge.rate(Scripted(["60 degrees"]), [case("0 degrees")], [0])
    assert (verdict.reward, verdict.status, verdict.raw) == (None, "rating_absent", "raw words")


def test_an_unreadable_rating_abstains_even_where_only_the_cosine_counts() -> None:
    """One missing term is no verdict."""
    judge = Judge(Fixed(None, "absent"), Wim(Compass()), 1.0)
    [verdict] = judge.rate(Scripted(["60 degrees"]), [case("0 degrees")], [0])
    assert verdict.reward is None


@pytest.mark.parametrize("reply", ["", " \n\t"])
def test_an_empty_answer_is_not_judged(reply: str) -> None:
    """Nobody is asked about it, and the others keep their places."""
    rater, agent = Fixed(7.75), Scripted(["60 degrees"])
    cases = [case("0 degrees", "a"), case(reply, "b"), case("0 degrees", "c")]
    verdicts = Judge(rater, Wim(Compass()), 0.4).rate(agent, cases, [0, 1, 2])
    assert [verdict.status for verdict in verdicts] == ["ok", "empty_answer", "ok"]
    assert (rater.seen, len(agent.heard)) == (["a", "c"], 2)


def test_no_cases_ask_nobody() -> None:
    """And give no verdicts."""
    agent = Scripted(["x"])
    assert Judge(Text()).rate(agent, [], []) == []
    assert agent.heard == []


def test_all_cases_are_asked_in_one_batch() -> None:
    """One call for the ratings, one for what is missing."""

    class Counting(Scripted):
        """Counts calls."""

        calls = 0

        def reply(self, prompts: Sequence[Any], *args: Any, **options: Any) -> list[list[Reply]]:
            """The script."""
            self.calls += 1
            return super().reply(prompts, *args, **options)

    agent = Counting(["90 [[7]]"])
    Judge(Text(), Wim(Compass()), 0.4).rate(agent, [case("0", f"c{i}") for i in range(8)], range(8))
    assert agent.calls == 2


def test_the_shuffled_control_is_taken_from_another_topic() -> None:
    """The neighbour shares the topic, so the third one's WIM is compared: 180 degrees, cosine -1."""
    cases = [case("0", "a", "10 x"), case("0", "b", "10 x"), case("0", "c", "20 y")]
    agent = Scripted(["60 degrees", "90 degrees", "180 degrees"])
    verdicts = Judge(Fixed(5.0), Wim(Compass()), 0.4).rate(agent, cases, [0, 1, 2])
    assert [v.cosine_shuffled for v in verdicts] == pytest.approx([-1.0, -1.0, 0.5], abs=1e-6)


def test_the_topic_control_compares_the_answer_with_the_bare_topic() -> None:
    """0 and 90 degrees: a cosine of 0."""
    assert judged("60 degrees").cosine_topic == pytest.approx(0.0, abs=1e-6)


def test_one_answer_alone_has_no_shuffled_control() -> None:
    """Its own WIM would be no control."""
    assert judged("60 degrees").cosine_shuffled is None


def test_controls_are_taken_among_readable_wims_only() -> None:
    """Of three, one says that nothing is missing."""
    agent = Scripted(["60 degrees", "None.", "90 degrees"])
    cases = [case("0", id) for id in "abc"]
    verdicts = Judge(Fixed(5.0), Wim(Compass()), 0.4).rate(agent, cases, [0, 1, 2])
    assert verdicts[1].cosine_shuffled is None
    assert [verdicts[i].cosine_shuffled for i in (0, 2)] == pytest.approx([0.0, 0.5], abs=1e-6)


def test_what_the_wim_repeats_of_the_answer_is_on_record() -> None:
    """Every three words of it stand in the answer."""
    judge = Judge(Fixed(5.0), Wim(Compass()), 0.4)
    [verdict] = judge.rate(Scripted(["45 is the angle"]), [case("0 or 45 is the angle")], [0])
    assert verdict.echo == 1.0


def test_the_verdict_names_who_judged() -> None:
    """By the agent's name."""
    assert judged("60 degrees").judge == "scripted"


def test_a_local_judge_goes_on_from_the_lead() -> None:
    """Others get the rubric alone."""

    class Local(Scripted):
        """Continues an assistant message."""

        reads_labels = True

    local, remote = Local(["60 degrees"]), Scripted(["60 degrees"])
    for agent in (local, remote):
        Wim(Compass(), lead="Missing:").ask(agent, [case("0")], [0], [Rating(7.0)])
    assert local.heard[0][-1] == {"role": "assistant", "content": "Missing:"}
    assert remote.heard[0][-1]["role"] == "user"


@pytest.mark.parametrize(("rating", "shown"), [(7.4, "7"), (9.6, "10"), (None, "6")])
def test_a_local_judge_goes_on_from_its_rating(rating: float | None, shown: str) -> None:
    """As a whole number; one that could not be read is the middle of the scale."""

    class Local(Scripted):
        """Continues an assistant message."""

        reads_labels = True

    local, remote = Local(["60 degrees"]), Scripted(["60 degrees"])
    wim = Wim(Compass(), rubric="verdict", lead="Rating: {rating}\nMissing:")
    for agent in (local, remote):
        wim.ask(agent, [case("0")], [0], [Rating(rating)])
    assert local.heard[0][:-1] == Rubric.load("verdict").ask(case("0"))
    assert local.heard[0][-1]["content"] == f"Rating: {shown}\nMissing:"
    assert remote.heard[0] == Rubric.load("wim").ask(case("0"))


def test_only_the_first_line_of_what_is_missing_is_taken() -> None:
    """Small judges go on with the next example of the rubric."""
    assert judged("60 degrees\n<question>Why?</question>").wim == "60 degrees"


def test_brackets_over_two_lines_are_read_whole() -> None:
    """They say themselves where they end."""
    assert judged("Well:\n[[[60\ndegrees]]] [[7]]").wim == "60 degrees"


@pytest.mark.parametrize("zeta", [-0.1, 1.1, math.nan, math.inf])
def test_zeta_out_of_range_is_refused(zeta: float) -> None:
    """The weights of a mean."""
    with pytest.raises(ConfigError, match=r"must be in \[0, 1\], got"):
        Judge(zeta=zeta, wim=Wim(Compass()))


def test_zeta_without_a_wim_is_refused() -> None:
    """Else the rating alone would be taken for the mixture."""
    with pytest.raises(ConfigError, match=r"zeta=0\.4 weighs a WIM that is never asked for"):
        Judge(zeta=0.4)


def test_an_unknown_normalisation_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(ConfigError, match="'centered' is not known; allowed are centred, ancestor, paper"):
        Judge(normalisation="centered")
    assert all(Judge(normalisation=name) for name in NORMALISATIONS)


@pytest.mark.parametrize("margin", [-0.01, math.nan])
def test_a_tie_margin_below_0_is_refused(margin: float) -> None:
    """A difference of rewards."""
    with pytest.raises(ConfigError, match="tie_margin must be at least 0"):
        Judge(tie_margin=margin)


def test_a_judge_is_shown_by_its_rater_and_zeta() -> None:
    """The default rater reads labels."""
    assert [str(Judge()), str(Judge(Length()))] == ["labels, zeta 0", "length, zeta 0"]
    assert isinstance(Judge().rater, Labels)


def control(cosine: str, *replies: str) -> list[Verdict]:
    """Verdicts by a control, on replies whose WIM points to 60 degrees, then to 120."""
    judge = Judge(Fixed(5.5), Wim(Compass()), 1.0, cosine=cosine)
    cases = [case(reply, f"d000{n}.00a", f"{90 * n} degrees") for n, reply in enumerate(replies)]
    return judge.rate(Scripted(["60 degrees", "120 degrees"][: len(replies)]), cases, [0] * len(replies))


@pytest.mark.parametrize(
    ("cosine", "rewards"), [("own", [0.5, -0.5]), ("shuffled", [-0.5, 0.5]), ("topic", [1.0, 0.0])]
)
def test_a_control_arm_counts_another_cosine(cosine: str, rewards: list[float]) -> None:
    """That with the WIM of the other answer, or with the bare topic; its scale is one of its own."""
    verdicts = control(cosine, "0 degrees", "0 degrees")
    assert [verdict.reward for verdict in verdicts] == pytest.approx(rewards, abs=1e-6)
    scale = "rating+wim" if cosine == "own" else f"rating+wim_{cosine}"
    assert {verdict.scale for verdict in verdicts} == {scale}


def test_without_another_answer_there_is_no_shuffled_control() -> None:
    """It abstains and says why."""
    [verdict] = control("shuffled", "0 degrees")
    assert (verdict.reward, verdict.status) == (None, "wim_no_other_answer")


def test_a_control_that_is_not_known_is_refused() -> None:
    """With what is allowed."""
    with pytest.raises(ConfigError, match="cosine='other' is not known; allowed are own, shuffled, topic"):
        Judge(Fixed(5.5), Wim(Compass()), 1.0, cosine="other")


def test_answers_of_one_topic_have_different_controls() -> None:
    """The n-th answer of a topic is compared with the WIM of the n-th of the next, in a circle."""
    from rewards.wim import _others

    assert _others(["a", "a", "b", "b", "c"]) == [2, 3, 4, 4, 0]
    assert _others(["a", "b", "a", "b"]) == [1, 0, 3, 2]
    assert _others(["a", "a", "a"]) == [1, 2, 0]
