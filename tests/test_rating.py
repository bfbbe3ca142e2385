"""Ways to rate: what each makes of its judge's words, probabilities or nothing at all."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import Agent, ConfigError, Message, Reply, Scripted
from agents.base import Prompt
from agents.errors import Unavailable
from rewards.rating import NEUTRAL, Labels, Length, Pattern, Pmi, Random, Text
from rewards.rubric import Rubric
from rewards.verdict import Case, Rating

NOBODY = Agent()
"""Cannot be asked anything."""


class Labelling(Agent):
    """Gives the same label probabilities and mass whatever it is asked, and remembers the call."""

    reads_labels = True

    def __init__(self, probs: Sequence[float], mass: float = 1.0) -> None:
        """Take the answer."""
        super().__init__()
        self.probs, self.mass = list(probs), mass
        self.calls: list[tuple[Sequence[Prompt], Sequence[str], str]] = []

    def rate(
        self, prompts: Sequence[Prompt], labels: Sequence[str], lead: str = ""
    ) -> list[tuple[list[float], float]]:
        """The same for each prompt."""
        self.calls.append((prompts, labels, lead))
        return [(self.probs, self.mass) for _ in prompts]


class Scoring(Agent):
    """Gives every word of a reply one log-probability after a question, another after neutral words."""

    def __init__(self, asked: float, alone: float) -> None:
        """Take both numbers."""
        super().__init__()
        self.asked, self.alone = asked, alone

    def logps(self, prompts: Sequence[Prompt], replies: Sequence[Reply]) -> list[list[float]]:
        """One number per word."""
        neutral = NEUTRAL.read_text(encoding="utf-8").strip()
        assert not any(reply.ids for reply in replies), "the judge may have another tokenizer"
        return [
            [self.alone if prompt[-1]["content"] == neutral else self.asked] * len(reply.text.split())
            for prompt, reply in zip(prompts, replies, strict=True)
        ]


def case(text: str, id: str = "d0000.01a") -> Case:
    """An answer to be rated."""
    return Case(id, "ice", (Message(role="user", content="Why does ice float?"),), Reply(text, ids=(1, 2)))


def test_labels_give_the_expected_rating() -> None:
    """A quarter on 4 and three quarters on 8: 0.25 x 4 + 0.75 x 8 = 7."""
    judge = Labelling([0, 0, 0, 0.25, 0, 0, 0, 0.75, 0, 0])
    [rating] = Labels()(judge, [case("It is lighter.")], [0])
    assert (rating.value, rating.status) == (7.0, "ok")


def test_labels_are_asked_in_one_batch_after_the_lead() -> None:
    """Ten labels; one call for all cases."""
    judge = Labelling([0.1] * 10)
    cases = [case("one"), case("two")]
    ratings = Labels(lead="Rating: ")(judge, cases, [0, 1])
    [(prompts, labels, lead)] = judge.calls
    assert prompts == [Rubric.load("rating").ask(one) for one in cases]
    assert (list(labels), lead) == ([str(n) for n in range(1, 11)], "Rating: ")
    assert [rating.value for rating in ratings] == [pytest.approx(5.5)] * 2


def test_a_judge_that_means_no_rating_abstains() -> None:
    """The labels together have 9 % of its mass; it takes 10 %."""
    [low] = Labels(mass=0.1)(Labelling([0.1] * 10, mass=0.09), [case("x")], [0])
    [enough] = Labels(mass=0.1)(Labelling([0.1] * 10, mass=0.1), [case("x")], [0])
    assert (low.value, low.status) == (None, "no_rating_meant")
    assert enough.status == "ok"


def test_a_mass_that_is_no_number_abstains() -> None:
    """Overflow in the judge's weights gives NaN, which is not below any threshold."""
    [rating] = Labels()(Labelling([math.nan] * 10, mass=math.nan), [case("x")], [0])
    assert (rating.value, rating.status) == (None, "no_rating_meant")


def test_rounding_does_not_leave_the_scale() -> None:
    """Probabilities in float32 sum to a little more than 1."""
    [rating] = Labels()(Labelling([0.0] * 9 + [1.0000001]), [case("x")], [0])
    assert rating.value == 10.0


def test_labels_ask_for_text_where_a_judge_has_no_labels() -> None:
    """A remote or scripted judge gets the other rubric, and its brackets are read."""
    judge = Scripted(["Sound. [[7]]", "Wrong."])
    cases = [case("one"), case("two")]
    ratings = Labels(rubric="rating", text_rubric="text")(judge, cases, [0, 1])
    assert [(rating.value, rating.status) for rating in ratings] == [(7.0, "ok"), (None, "absent")]
    assert judge.heard == [Rubric.load("text").ask(one) for one in cases]


def test_text_hands_seeds_and_the_limit_to_the_judge() -> None:
    """So that a judge that samples can be replayed."""

    class Recorder(Scripted):
        """Keeps what it was called with."""

        def reply(
            self,
            prompts: Sequence[Prompt],
            n: int = 1,
            *,
            seeds: Sequence[int] = (),
            max_new_tokens: int = 0,
        ) -> list[list[Reply]]:
            """The script."""
            self.called = (n, list(seeds), max_new_tokens)
            return super().reply(prompts, n, seeds=seeds, max_new_tokens=max_new_tokens)

    judge = Recorder(["[[3]]"])
    Text(max_new_tokens=99)(judge, [case("one"), case("two")], [5, 7])
    assert judge.called == (1, [5, 7], 99)


def test_pmi_is_the_mean_gain_of_a_token_by_the_question() -> None:
    """-1 after the question, -1.5 without: 0.5 nats a token; 5.5 + 4.5 tanh(0.5) = 7.5795."""
    [rating] = Pmi()(Scoring(-1.0, -1.5), [case("three words here")], [0])
    assert rating.value == pytest.approx(7.5795, abs=1e-4)
    assert rating.raw == "pmi 0.5000 nats/token"


def test_pmi_at_its_scale_is_rated_8_9() -> None:
    """2 nats a token at a scale of 2: 5.5 + 4.5 tanh(1) = 8.927."""
    [rating] = Pmi(scale=2.0)(Scoring(-1.0, -3.0), [case("words")], [0])
    assert rating.value == pytest.approx(8.927, abs=1e-3)


def test_an_answer_that_owes_nothing_to_the_question_is_in_the_middle() -> None:
    """And one that the question makes less likely is below it."""
    [same] = Pmi()(Scoring(-2.0, -2.0), [case("words")], [0])
    [worse] = Pmi()(Scoring(-2.5, -2.0), [case("words")], [0])
    assert same.value == 5.5
    assert worse.value is not None and worse.value < 5.5


def test_pmi_does_not_depend_on_length() -> None:
    """It is a mean over tokens."""
    ratings = Pmi()(Scoring(-1.0, -1.5), [case("one"), case("one two three")], [0, 1])
    assert ratings[0].value == pytest.approx(ratings[1].value)


def test_pmi_that_is_no_number_abstains() -> None:
    """Minus infinity on both sides says nothing."""
    [rating] = Pmi()(Scoring(-math.inf, -math.inf), [case("words")], [0])
    assert (rating.value, rating.status) == (None, "not_a_number")


def test_random_depends_on_seed_and_id_alone() -> None:
    """Not on the text, the order or the company."""
    first = Random()(NOBODY, [case("good", "a"), case("bad", "b")], [1, 2])
    second = Random()(NOBODY, [case("other", "b"), case("words", "a")], [2, 1])
    assert [rating.value for rating in first] == [rating.value for rating in reversed(second)]
    assert first[0].value != first[1].value


def test_random_is_the_same_on_every_machine() -> None:
    """Pinned, since Python's own hashes of texts differ between processes."""
    [rating] = Random()(NOBODY, [case("x", "a")], [0])
    assert rating.value == pytest.approx(9.3952, abs=1e-4)


def test_random_is_even_over_the_scale() -> None:
    """The mean of 2000 draws is 5.5 within four standard errors (2.598 / sqrt 2000 = 0.058)."""
    cases = [case("x", str(number)) for number in range(2000)]
    values = [rating.value or 0.0 for rating in Random()(NOBODY, cases, [0] * 2000)]
    assert abs(sum(values) / len(values) - 5.5) < 0.24
    assert 1 <= min(values) < 1.1 and 9.9 < max(values) <= 10


def test_length_gives_the_middle_to_its_half() -> None:
    """60 words: 1 + 9 x 60 / 120 = 5.5; none: 1."""
    ratings = Length(half=60)(NOBODY, [case("w " * 60), case("")], [0, 0])
    assert [rating.value for rating in ratings] == [5.5, 1.0]


@settings(deadline=None)
@given(st.integers(0, 5000), st.integers(1, 5000))
def test_a_longer_answer_has_a_higher_length_rating(words: int, more: int) -> None:
    """And none reaches 10."""
    short, long = Length()(NOBODY, [case("w " * words), case("w " * (words + more))], [0, 0])
    assert short.value is not None and long.value is not None
    assert 1 <= short.value < long.value < 10


def test_a_pattern_gives_10_where_it_is_found_and_1_elsewhere() -> None:
    """Also over lines."""
    ratings = Pattern("ice.*floats")(NOBODY, [case("ice\nfloats"), case("it sinks")], [0, 0])
    assert [rating.value for rating in ratings] == [10.0, 1.0]


@pytest.mark.parametrize("rater", [Random(), Length(), Pattern("x")])
def test_control_arms_ask_nobody(rater: Random | Length | Pattern) -> None:
    """The plan counts no judge calls for them."""
    assert not rater.asks
    assert isinstance(rater(NOBODY, [case("x")], [0])[0], Rating)


@pytest.mark.parametrize("rater", [Labels(), Text(), Pmi()])
def test_other_raters_ask(rater: Labels | Text | Pmi) -> None:
    """They need a judge."""
    assert rater.asks


def test_settings_out_of_range_are_refused() -> None:
    """With what is allowed."""
    with pytest.raises(ConfigError, match=r"must be above 0, got 0\.0"):
        Pmi(scale=0.0)
    with pytest.raises(ConfigError, match="must be above 0, got -1"):
        Length(half=-1)
    with pytest.raises(ConfigError, match=r"pattern='\(' is no regular expression: missing \)"):
        Pattern("(")


class Flaky(Scripted):
    """A judge on a server that misses some replies."""

    def outcomes(self, prompts: Sequence[Prompt], **_: object) -> list[Reply | Unavailable]:
        """A line of the script each; `""` stands for a reply that was missed."""
        said = [reply.text for [reply] in self.reply(prompts)]
        return [Reply(text) if text else Unavailable("busy") for text in said]


def test_a_judge_that_misses_a_reply_abstains_there() -> None:
    """The others are rated; what it did is on record."""
    ratings = Text()(Flaky(["[[7]]", "", "[[3]]"]), [case("one"), case("two"), case("three")], [1, 2, 3])
    assert [(rating.value, rating.status) for rating in ratings] == [(7, "ok"), (None, "no_reply"), (3, "ok")]
    assert ratings[1].raw == "busy"


def test_a_judge_that_gives_no_reply_at_all_is_out_of_reach() -> None:
    """Nothing would be judged, and nobody would notice."""
    with pytest.raises(Unavailable, match="busy"):
        Text()(Flaky([""]), [case("one"), case("two")], [1, 2])
