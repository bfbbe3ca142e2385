"""Feedback by difficulty: the right kind for each group, pairs only where they are due, no second asking."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise as neighbours
from typing import Any

import pytest
from feedback_seats import Seat, last, of, works

from agents import ConfigError
from agents.base import Prompt
from agents.dialogue import Reply
from agents.errors import Unavailable
from arena.feedback.events import Event, Feedback, Given, Measured, Routed
from arena.feedback.floor import Floor, Said, Unsaid
from arena.feedback.gather import gather
from arena.feedback.gathering import Gathering
from arena.feedback.routing import Routing
from rewards.pairwise import Pairwise

NUMBER = {f"question {i}": i for i in range(40)}


def student(name: str, rewrite: str = "a better answer") -> Seat:
    """Answers with its name and the question's number; longer numbers are harder for it."""

    def say(prompt: Prompt, seed: int) -> str:
        return f"{name} says {NUMBER[last(prompt)]}" if last(prompt) in NUMBER else rewrite

    return Seat(say, nll=lambda text: float(text.rpartition(" ")[2]))


def teacher(better: str = "ada", text: str = "the teacher's words") -> Seat:
    """Prefers the answers of one student, wherever they stand; writes the same text otherwise."""

    def labels(prompt: Prompt) -> Mapping[str, float]:
        case = last(prompt)
        first = case.index("ada says") < case.index("bob says")
        choice = "A" if first == (better == "ada") else "B"
        return {choice: 0.8, "AB".replace(choice, ""): 0.1, "C": 0.1}

    return Seat(lambda prompt, seed: text, labels=labels)


def gathering(assignment: str = "crp", seats: Mapping[str, Any] | None = None, **settings: Any) -> Gathering:
    """Two students and a teacher."""
    found = seats or {"ada": student("ada"), "bob": student("bob"), "teacher": teacher()}
    floor = settings.pop("floor", None) or Floor(found)
    return Gathering(floor, settings.pop("routing", Routing(assignment)), Pairwise(), **settings)


def events_of(plan: Gathering, count: int = 6) -> list[Event]:
    """Everything that comes of it."""
    return list(gather(plan, works(count)))


def outcomes(events: list[Event]) -> dict[str, str]:
    """Feedback id -> outcome."""
    return {given.feedback.id: given.feedback.outcome for given in of(Given, events)}


def test_each_group_gets_the_kind_of_its_letter() -> None:
    """Problems 0 to 5 in rising difficulty: two critiques, two refinements, two preferences."""
    events = events_of(gathering())
    assert [(routed.group, routed.kinds) for routed in of(Routed, events)] == [
        ("easy", ("critique",)),
        ("easy", ("critique",)),
        ("medium", ("refinement",)),
        ("medium", ("refinement",)),
        ("hard", ("preference",)),
        ("hard", ("preference",)),
    ]
    assert [routed.difficulty for routed in of(Routed, events)] == [0, 1, 2, 3, 4, 5]
    assert set(outcomes(events).values()) == {"pair"} and len(outcomes(events)) == 4 + 4 + 2


def test_who_writes_the_chosen_text_is_what_the_kind_says() -> None:
    """Critique: the student; refinement: the teacher; preference: the better student."""
    events = events_of(gathering())
    found = {given.feedback.kind: given for given in of(Given, events)}
    pairs = {kind: given.preference for kind, given in found.items()}
    assert all(pairs.values())
    assert pairs["critique"].chosen.text == "a better answer"  # type: ignore[union-attr]
    assert pairs["refinement"].chosen.text == "the teacher's words"  # type: ignore[union-attr]
    assert pairs["preference"].chosen.text == "ada says 5"  # type: ignore[union-attr]
    assert pairs["preference"].rejected.text == "bob says 5"  # type: ignore[union-attr]
    assert [found[kind].speaker for kind in ("critique", "refinement", "preference")] == [
        "bob", "teacher", "ada",
    ]  # fmt: skip
    assert pairs["preference"].margin == pytest.approx(2 * 0.85 - 1)  # type: ignore[union-attr]


def test_the_student_sees_its_answer_and_the_comment_and_the_teacher_the_question() -> None:
    """What the prompts hold."""
    plan = gathering("c", {"ada": student("ada"), "teacher": teacher(text="say more")})
    events_of(plan, 1)
    asked = plan.floor.seats["ada"].heard[-1]  # type: ignore[attr-defined]
    assert [message["role"] for message in asked] == ["user", "assistant", "user"]
    assert asked[1]["content"] == "ada says 0" and "say more" in asked[2]["content"]
    heard = " ".join(message["content"] for message in plan.teacher.heard[0])  # type: ignore[attr-defined]
    assert "question 0" in heard and "ada says 0" in heard


def test_all_kinds_for_all_is_the_baseline() -> None:
    """Three kinds for each of three problems, of two students."""
    events = events_of(gathering("all"), 3)
    assert all(routed.kinds == ("critique", "refinement", "preference") for routed in of(Routed, events))
    assert len(outcomes(events)) == 3 * (2 + 2 + 1)
    ids = [turn.id for said in of(Said, events) for turn in said.turns]
    assert len(ids) == len(set(ids)) == 3 * (2 + 2 + 2 + 2)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("", "empty"), ("ada says 0", "equal"), ("Here is the improved answer:", "meta"), ("new words", "pair")],
)
def test_a_rewrite_that_says_nothing_makes_no_pair(text: str, outcome: str) -> None:
    """Empty, equal, nothing but talk about itself."""
    events = events_of(gathering("c", {"ada": student("ada", text), "teacher": teacher()}), 1)
    assert outcomes(events) == {"d0000.00a#critique": outcome}
    assert (of(Given, events)[0].preference is not None) == (outcome == "pair")


def test_talk_about_the_rewrite_is_taken_off_and_the_sampled_tokens_with_it() -> None:
    """What is learned from is the text, not its tokens."""
    rewrite = "Here is the improved answer:\n\nnew words"
    events = events_of(gathering("c", {"ada": student("ada", rewrite), "teacher": teacher()}), 1)
    [given] = of(Given, events)
    assert given.preference and given.preference.chosen.text == "new words"
    assert given.preference.chosen.ids == ()


def test_a_teacher_that_contradicts_itself_makes_no_pair() -> None:
    """It always prefers what stands first."""
    biased = teacher()
    biased.labels = lambda prompt: {"A": 0.9, "B": 0.05, "C": 0.05}
    plan = gathering("p", {"ada": student("ada"), "bob": student("bob"), "teacher": biased})
    assert set(outcomes(events_of(plan, 3)).values()) == {"flipped"}


def test_a_tie_makes_no_pair() -> None:
    """Neither is better, in both orders."""
    undecided = teacher()
    undecided.labels = lambda prompt: {"A": 0.1, "B": 0.1, "C": 0.8}
    plan = gathering("p", {"ada": student("ada"), "bob": student("bob"), "teacher": undecided})
    assert set(outcomes(events_of(plan, 2)).values()) == {"tie"}


def test_answers_that_were_cut_are_not_asked_about() -> None:
    """Unless they may make a pair; they still count for the difficulty."""

    def cut(prompt: Prompt, seed: int) -> Reply:
        return Reply(f"ada says {NUMBER.get(last(prompt), 0)}x 1", "length", (1,))

    seats = {"ada": Seat(cut), "teacher": teacher()}
    events = events_of(gathering("c", seats), 2)
    assert set(outcomes(events).values()) == {"truncated"} and len(of(Measured, events)) == 1
    assert seats["teacher"].heard == []
    seats = {"ada": Seat(cut), "teacher": teacher()}
    assert set(outcomes(events_of(gathering("r", seats, pair_truncated=True), 2)).values()) == {"pair"}


def test_an_empty_answer_leaves_its_problem_without_a_group() -> None:
    """It is neither measured nor asked about."""
    silent = Seat(lambda prompt, seed: "" if last(prompt) == "question 1" else "words")
    events = events_of(gathering("r", {"ada": silent, "teacher": teacher()}), 3)
    assert [routed.group for routed in of(Routed, events)] == ["any", "", "any"]
    assert set(outcomes(events)) == {"d0000.00a#refinement", "d0002.00a#refinement"}


def test_one_student_compares_its_samples() -> None:
    """Three samples: three comparisons of one problem."""
    draws = iter(range(100))
    seat = Seat(lambda prompt, seed: f"ada says {next(draws)}")
    judge = teacher()
    judge.labels = lambda prompt: {"C": 1.0}
    events = events_of(gathering("p", {"ada": seat, "teacher": judge}, samples=3), 1)
    assert set(outcomes(events)) == {
        f"d0000.00{a}|d0000.00{b}#preference" for a, b in [*neighbours("abc"), ("a", "c")]
    }


def test_a_second_walk_over_the_record_asks_nobody() -> None:
    """Everything that was asked is on record; the results are the same."""
    first = events_of(gathering())
    told = {turn.id: turn for said in of(Said, first) for turn in said.turns}
    measured = {t.id: nll for m in of(Measured, first) for t, nll in zip(m.turns, m.nll, strict=True)}
    compared = {given.feedback.id: given.feedback for given in of(Given, first) if given.feedback.other}
    seats = {"ada": student("ada"), "bob": student("bob"), "teacher": teacher()}
    plan = gathering(floor=Floor(seats, told=told), measured=measured, compared=compared)
    again = events_of(plan)
    assert outcomes(again) == outcomes(first) and of(Routed, again) == of(Routed, first)
    assert all(not seat.heard for seat in seats.values()) and not of(Measured, again)


def test_a_teacher_that_is_down_ends_the_run_with_what_was_said() -> None:
    """The answers and their difficulties are there, the error says so."""
    seats = {"ada": student("ada"), "bob": student("bob"), "teacher": teacher()}
    seats["teacher"].down = True
    events: list[Event] = []
    with pytest.raises(Unavailable, match="teacher gave no reply 2 times in a row"):
        for event in gather(gathering("c", floor=Floor(seats, patience=2)), works(6)):
            events.append(event)
    assert len(of(Said, events)) == 1 and len(of(Routed, events)) == 6


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"seats": {"teacher": Seat(lambda p, s: "")}}, "nobody answers"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"assignment": "p", "seats": {"ada": student("ada"), "teacher": teacher()}}, "set samples=2"),
        ({"routing": Routing("c", whose="eve")}, "whose='eve' is no student; allowed are mean, ada, bob"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], found: str) -> None:
    """With what to do."""
    with pytest.raises(ConfigError, match=found):
        gathering(**settings).check()


def test_a_comparison_on_record_gives_its_pair_again() -> None:
    """With the same margin, whatever its judge would say now: a kill may have come between the two rows."""
    plan = gathering("p")
    [given] = of(Given, events_of(plan, 1))
    known: dict[str, Feedback] = {given.feedback.id: given.feedback}
    [again] = of(Given, events_of(replace(plan, compared=known), 1))
    assert again == given and given.preference is not None


def test_a_pair_has_the_prompt_that_its_student_answered() -> None:
    """With its persona, in which `{topic}` stands for the question."""
    ada = student("ada")
    ada.system = "You are an expert on: {topic}"
    events = events_of(gathering("c", {"ada": ada, "teacher": teacher()}), 1)
    [given] = of(Given, events)
    assert given.preference and given.preference.prompt == ada.heard[0]
    assert given.preference.prompt[0] == {"role": "system", "content": "You are an expert on: question 0"}


def test_answers_of_the_same_words_are_not_compared() -> None:
    """They are no flip and no tie of the judge's."""
    alike = {
        "ada": Seat(lambda p, s: "forty-two"),
        "bob": Seat(lambda p, s: "forty-two "),
        "teacher": teacher(),
    }
    assert outcomes(events_of(gathering("p", alike), 1)) == {"d0000.00a|d0000.01a#preference": "equal"}


def test_a_comparison_whose_judge_was_out_of_reach_is_no_feedback() -> None:
    """It is a loss that the walk goes on without, or the end of the run."""
    silent = Seat(lambda prompt, seed: "")
    silent.down = True
    seats = {"ada": student("ada"), "bob": student("bob"), "teacher": silent}
    events = events_of(gathering("p", floor=Floor(seats, patience=9)), 2)
    assert not of(Given, events) and [event.final for event in of(Unsaid, events)] == [True, True]
    with pytest.raises(Unavailable, match="teacher gave no reply 2 times in a row"):
        events_of(gathering("p", floor=Floor(seats, patience=2)), 2)
