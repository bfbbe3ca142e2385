"""The pairwise judge: both orders, ties, contradictions, and what is no choice at all."""

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import Agent, ConfigError, Message, Reply, Scripted
from agents.base import Prompt
from rewards.pairwise import CHOICES, Comparison, Pairwise, parse_choice
from rewards.rubric import Rubric
from rewards.verdict import Case

Probs = tuple[float, float, float]
RUBRIC = "compare_qa"


class Placed(Agent):
    """Gives label probabilities by the text that stands first, and remembers its calls."""

    reads_labels = True

    def __init__(self, by_first: Mapping[str, Probs], mass: float = 1.0) -> None:
        """Take the probabilities of A, B, C."""
        super().__init__()
        self.by_first, self.mass = by_first, mass
        self.calls: list[tuple[Sequence[Prompt], Sequence[str], str]] = []

    def rate(
        self, prompts: Sequence[Prompt], labels: Sequence[str], lead: str = ""
    ) -> list[tuple[list[float], float]]:
        """By the first answer of each prompt."""
        self.calls.append((prompts, labels, lead))
        return [(list(self.by_first[first(prompt)]), self.mass) for prompt in prompts]


def first(prompt: Prompt) -> str:
    """The answer that a judge is shown first."""
    return prompt[-1]["content"].partition("<answer_a>")[2].partition("</answer_a>")[0]


def case(text: str = "one", other: str = "two", id: str = "d0000.00a") -> Case:
    """An answer and another one."""
    return Case(id, "ice", (Message(role="user", content="Why does ice float?"),), Reply(text), Reply(other))


def by_labels(one_first: Probs, two_first: Probs, mass: float = 1.0) -> Comparison:
    """The comparison of `one` and `two` by a judge that says this in each order."""
    judge = Placed({"one": one_first, "two": two_first}, mass)
    [found] = Pairwise()(judge, [case()], [0], [RUBRIC])
    return found


def by_text(*lines: str) -> Comparison:
    """The comparison by a judge that writes these lines, one per order."""
    [found] = Pairwise()(Scripted(lines), [case()], [0], [RUBRIC])
    return found


A, B, C = (0.7, 0.2, 0.1), (0.2, 0.7, 0.1), (0.2, 0.2, 0.6)


@pytest.mark.parametrize(
    ("one_first", "two_first", "status"),
    [
        (A, B, "about"),
        (B, A, "other"),
        (A, A, "flipped"),
        (B, B, "flipped"),
        (C, C, "tie"),
        (A, C, "tie"),
        (C, B, "tie"),
        (B, C, "tie"),
        (C, A, "tie"),
    ],
)
def test_only_what_both_orders_agree_on_is_a_preference(
    one_first: Probs, two_first: Probs, status: str
) -> None:
    """By label probabilities and by text alike."""
    words = [f"Better: {CHOICES[probs.index(max(probs))]}" for probs in (one_first, two_first)]
    assert by_labels(one_first, two_first).status == status
    assert by_text(*words).status == status


def test_the_probability_is_the_mean_over_the_orders_with_ties_halved() -> None:
    """First 0.7 + 0.1 / 2 = 0.75, then, as B, 0.5 + 0.3 / 2 = 0.65: 0.7."""
    found = by_labels(A, (0.2, 0.5, 0.3))
    assert found.probability == pytest.approx(0.7)
    assert found.choices == ("A", "B")
    assert found.raw == "mass 1.000; 0.700 0.200 0.100\nmass 1.000; 0.200 0.500 0.300"


@pytest.mark.parametrize(
    ("lines", "probability"), [(("A", "B"), 1.0), (("A", "A"), 0.5), (("C", "B"), 0.75), (("B", "A"), 0.0)]
)
def test_a_written_choice_is_a_certain_one(lines: tuple[str, str], probability: float) -> None:
    """Half a point for a tie."""
    assert by_text(*lines).probability == probability


def test_a_judge_that_always_prefers_the_first_place_gives_no_preference() -> None:
    """It is as sure as can be, in both orders."""
    found = by_labels((1.0, 0.0, 0.0), (1.0, 0.0, 0.0))
    assert (found.status, found.probability) == ("flipped", 0.5)


def test_labels_that_are_equally_likely_are_a_tie() -> None:
    """And not the one that is named first."""
    assert by_labels((0.4, 0.4, 0.2), (0.4, 0.4, 0.2)).choices == ("C", "C")


@settings(deadline=None)
@given(st.tuples(*[st.floats(0.01, 1)] * 3), st.tuples(*[st.floats(0.01, 1)] * 3))
def test_comparing_the_other_way_round_gives_the_opposite(one: Probs, two: Probs) -> None:
    """Whatever the judge says: the sides swap, ties and contradictions stay."""
    one, two = ((p / sum(ps), q / sum(ps), r / sum(ps)) for ps in (one, two) for p, q, r in [ps])
    judge = Placed({"one": one, "two": two})
    [found] = Pairwise()(judge, [case("one", "two")], [0], [RUBRIC])
    [swapped] = Pairwise()(judge, [case("two", "one")], [0], [RUBRIC])
    opposite = {"about": "other", "other": "about"}
    assert swapped.status == opposite.get(found.status, found.status)
    assert found.probability is not None and swapped.probability is not None
    assert found.probability + swapped.probability == pytest.approx(1)
    assert 0 <= found.probability <= 1


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("Better: A", "I cannot say"), "absent"),
        (("Hm.", "Better: A"), "absent"),
        (("Better: A", "Better: A or B"), "ambiguous"),
        (("Hm.", "Better: A or B"), "absent"),
    ],
)
def test_a_choice_that_cannot_be_read_in_either_order_abstains(lines: tuple[str, str], reason: str) -> None:
    """One order alone proves nothing; there is no probability."""
    found = by_text(*lines)
    assert (found.status, found.probability) == (reason, None)
    assert found.raw == "\n".join(lines)


@pytest.mark.parametrize("mass", [0.09, math.nan])
def test_a_judge_that_means_no_choice_abstains(mass: float) -> None:
    """The labels have 9 % of its mass, and it takes 10 %; or its weights have overflowed."""
    found = by_labels(A, B, mass)
    assert (found.status, found.probability) == ("no_choice_meant", None)
    assert by_labels(A, B, 0.1).status == "about"


def test_an_empty_answer_is_not_compared() -> None:
    """The judge is not asked, and the others keep their places."""
    judge = Placed({"one": A, "two": B})
    cases = [case("", "two", "x"), case(id="y"), case("one", " \n", "z")]
    found = Pairwise()(judge, cases, [0, 1, 2], [RUBRIC] * 3)
    assert [(one.about, one.status) for one in found] == [
        ("x", "empty_answer"),
        ("y", "about"),
        ("z", "empty_answer"),
    ]
    assert [len(prompts) for prompts, _, _ in judge.calls] == [2]


def test_nobody_is_asked_about_nothing() -> None:
    """No cases, or only empty ones."""
    assert Pairwise()(Agent(), [], [], []) == []
    assert Pairwise()(Agent(), [case("")], [0], [RUBRIC])[0].status == "empty_answer"


def test_mixed_tasks_and_both_orders_are_one_batch() -> None:
    """Each case by its rubric: first all in their own order, then all the other way round."""
    judge = Placed({"one": A, "two": B, "three": A, "four": B})
    cases = [case("one", "two", "x"), case("three", "four", "y")]
    found = Pairwise(lead="So: ")(judge, cases, [0, 1], ["compare_qa", "compare_dialogue"])
    [(prompts, labels, lead)] = judge.calls
    assert [first(prompt) for prompt in prompts] == ["one", "three", "two", "four"]
    assert prompts[0] == Rubric.load("compare_qa").ask(cases[0])
    assert prompts[3] == Rubric.load("compare_dialogue").ask(case("four", "three", "y"))
    assert (tuple(labels), lead) == (("A", "B", "C"), "So: ")
    assert [(one.about, one.status) for one in found] == [("x", "about"), ("y", "about")]


def test_a_judge_that_writes_gets_seeds_and_the_limit() -> None:
    """The same seed in both orders."""

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

    judge = Recorder(["C"])
    Pairwise(max_new_tokens=9)(judge, [case(), case()], [5, 7], [RUBRIC] * 2)
    assert judge.called == (1, [5, 7, 5, 7], 9)


def test_one_order_alone_is_what_a_biased_judge_is_seen_by() -> None:
    """The judge of the first place prefers `about` each time."""
    judge = Placed({"one": A})
    [found] = Pairwise(swap=False)(judge, [case()], [0], [RUBRIC])
    assert (found.status, found.choices) == ("about", ("A",))
    assert found.probability == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("Better: A", "A"),
        ("better: B.", "B"),
        ("**Better:** C", "C"),
        ("Better:\nB", "B"),
        ("Better: answer (B)", "B"),
        ("Better summary: A", "A"),
        ("Better: B, since A is wrong", "B"),
        ("Better: neither", "C"),
        ("[[B]]", "B"),
        ("Winner: [[c]]", "C"),
        ("The better answer is B.", "B"),
        ("A is more detailed. My final answer: B", "B"),
        ("Answer B is better", "B"),
        ("Answer A is clearly better than answer B.", "A"),
        ("I prefer answer B because it is short", "B"),
        ("Which one is better? B is better.", "B"),
        ("Both are equally good.", "C"),
        ("It is a tie.", "C"),
        ("C) tie", "C"),
        ("(A)", "A"),
        ("B", "B"),
        ("C: The two say the same.", "C"),
        ("", "absent"),
        ("A good answer says more.", "absent"),
        ("Better: A more detailed answer would help", "absent"),
        ("Neither A nor B is better.", "absent"),
        ("A is not better than B", "absent"),
        ("It is not a tie", "absent"),
        ("Oranges hold vitamin C) and fibre", "absent"),
        ("B-vitamins are better", "absent"),
        ("Answer A: it is short. Answer B: it is long.", "absent"),
        ("Better: D", "absent"),
        ("Better: A or B", "ambiguous"),
        ("Better: A\nBetter: B", "ambiguous"),
        ("[[A]] or [[B]]", "ambiguous"),
        ("A) is long\nB) is short", "ambiguous"),
        ("(A) is long and (B) is short", "ambiguous"),
    ],
)
def test_a_written_choice_is_read_by_its_form(text: str, choice: str) -> None:
    """Never by a letter that stands somewhere."""
    assert parse_choice(text) == choice


@settings(deadline=None)
@given(st.text(alphabet="ABC abc:()[].\nis better or tie"))
def test_any_text_has_one_reading(text: str) -> None:
    """And no other outcome."""
    assert parse_choice(text) in {*CHOICES, "absent", "ambiguous"}


@given(st.lists(st.sampled_from(["the", "a", "cat", "is", "good", "better", "best", "than"])).map(" ".join))
def test_lower_case_words_choose_nothing(text: str) -> None:
    """The article is no choice."""
    assert parse_choice(text) == "absent"


def test_a_rubric_that_shows_one_answer_alone_is_refused() -> None:
    """Before the judge is asked."""
    with pytest.raises(ConfigError, match=r"'rating' compares nothing: its \[case\] needs .* \{other\}"):
        Pairwise()(Agent(), [case()], [0], ["rating"])


def test_a_mass_out_of_range_is_refused() -> None:
    """With what is allowed."""
    with pytest.raises(ConfigError, match=r"must be in \[0, 1\], got 2"):
        Pairwise(mass=2)
