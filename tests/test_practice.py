"""Practice: prompts in steps, drafts, rewards; and what was gained, measured in pairs."""

from collections.abc import Callable, Sequence

import pytest

from agents import Agent, ArenaError, ConfigError, Message, Scripted
from agents.base import Prompt
from arena.loop import Drafted, Exchanged, Turned
from arena.problems import Problem
from arena.train.gain import gain
from arena.train.practice import Practice, practise, presentations
from rewards.judge import Judge
from rewards.rating import Pattern

Speech = Callable[[Prompt, int], str]


def problem(text: str) -> Problem:
    """A prompt of one message."""
    return Problem("dialogue", (Message(role="user", content=text),))


def answer(prompt: Prompt, draft: int) -> str:
    """The first draft is a question, the second is not."""
    return f"{prompt[-1]['content']}{'?' if draft % 2 == 0 else '.'}"


def table(count: int, system: str = "") -> Practice:
    """One seat that writes two drafts to each of some problems."""
    problems = {f"d{i:04d}": problem(f"p{i}") for i in range(count)}
    return Practice(
        {"ada": Scripted(answer, system=system)}, Judge(Pattern(r"\?$")), "", 1, {"ada": 2}, problems=problems
    )


def test_a_step_takes_a_batch_and_ends_with_a_turn_to_learn_from() -> None:
    """Four problems, two in a step: drafts, verdicts, then the learner's turn, twice."""
    events = list(practise(table(4), "ada", 2))
    assert [type(event) for event in events] == [Drafted, Exchanged, Turned] * 2
    exchanged = [event for event in events if isinstance(event, Exchanged)]
    assert [[e.dialogue.id for e in event.exchanges] for event in exchanged] == [
        ["d0000", "d0001"], ["d0002", "d0003"],
    ]  # fmt: skip
    assert [event.step for event in exchanged] == [0, 1]


def test_an_exchange_holds_what_the_agent_was_shown() -> None:
    """The persona and the problem; the judge is shown the problem alone."""
    shown: list[tuple[Message, ...]] = []

    class Watching(Judge):
        def rate(self, agent: Agent, cases: Sequence, seeds: Sequence[int]) -> list:  # type: ignore[type-arg]
            shown.extend(case.prompt for case in cases)
            return super().rate(agent, cases, seeds)

    given = table(1, system="be brief")
    watched = Practice(given.seats, Watching(Pattern(r"\?$")), "", 1, {"ada": 2}, problems=given.problems)
    [exchanged] = [event for event in practise(watched, "ada", 1) if isinstance(event, Exchanged)]
    [exchange] = exchanged.exchanges
    assert [message["content"] for message in exchange.prompt] == ["be brief", "p0"]
    assert {tuple(m["content"] for m in prompt) for prompt in shown} == {("p0",)}
    assert exchange.preference and exchange.preference.chosen.text == "p0?"


def test_without_a_persona_there_is_no_system_message() -> None:
    """An empty one would be a prompt of its own."""
    [event, *_] = [e for e in practise(table(1), "ada", 1) if isinstance(e, Exchanged)]
    assert [message["role"] for message in event.exchanges[0].prompt] == ["user"]


def test_problems_come_in_whole_steps_and_each_pass_has_its_order() -> None:
    """Five problems, twice, in steps of four: eight presentations."""
    problems = [problem(str(i)) for i in range(5)]
    drawn = [p.question for p in presentations(problems, 2, 4, 0)]
    assert len(drawn) == 8 and sorted(drawn[:5]) == ["0", "1", "2", "3", "4"]
    assert drawn == [p.question for p in presentations(problems, 2, 4, 0)]
    assert drawn[:5] != [p.question for p in presentations(problems, 2, 4, 1)][:5]


def test_too_few_problems_for_a_step_are_refused() -> None:
    """With what to set."""
    with pytest.raises(
        ConfigError, match="1 prompts to learn from are fewer than the 8 of a step: set batch=1, or passes=8"
    ):
        presentations([problem("a")], 1, 8, 0)


class Noted:
    """Stands in for the scribe: keeps what failed."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.failed: list[tuple[str, str]] = []

    def fail(self, id: str, what: str, about: str, raw: str, *, by: str, step: int = 0) -> None:
        """Keep it."""
        self.failed.append((id, what))


class Trained(Scripted):
    """Remembers how it was."""

    def __init__(self, now: Speech, before: Speech) -> None:
        """Both ways of speaking."""
        super().__init__(now)
        self.before = Scripted(before)

    def fixed(self) -> Agent:
        """As it was."""
        return self.before


def test_a_moving_judge_is_the_seat_as_it_is() -> None:
    """A fixed one is the seat as it began."""
    agent = Trained(answer, answer)
    for moving, judge in ((True, agent), (False, agent.before)):
        seated = Practice({"ada": agent}, Judge(Pattern(r"\?$"), moving=moving), "", 1, {"ada": 2})
        assert seated.judge_of("ada") == ("judge", judge)


def measured(agent: Agent, judge: Judge, problems: list[Problem], noted: Noted) -> dict[str, float | int]:
    """The gain, with failures noted."""
    return gain(agent, judge, problems, 0, noted)  # type: ignore[arg-type]


def test_gain_is_a_paired_difference() -> None:
    """Before, one in four is a question; after, all are: R goes from -1 to 1 three times."""
    problems = [problem(f"p{i}") for i in range(4)]
    agent = Trained(lambda p, d: "yes?", lambda p, d: "yes?" if p[-1]["content"] == "p0" else "no.")
    found = measured(agent, Judge(Pattern(r"\?$")), problems, Noted())
    assert (found["prompts"], found["rewarded"]) == (4, 4)
    assert (found["before"], found["after"], found["change"]) == (-0.5, 1.0, 1.5)
    assert found["change_low"] < 1.5 < found["change_high"]


def test_a_judge_that_abstains_gives_no_gain_and_says_why() -> None:
    """Empty answers are not judged: there is no number to write down, but a row for each."""
    silent, noted = Scripted(lambda prompt, draft: ""), Noted()
    with pytest.raises(ArenaError, match="only 0 of 2 held-out prompts were rewarded"):
        measured(silent, Judge(Pattern("x")), [problem("a"), problem("b")], noted)
    sides = [f"gain{i:04d}.{side}" for side in ("before", "after") for i in (0, 1)]
    assert noted.failed == [(id, "empty_answer") for id in sides]


def test_replies_are_those_of_the_persona() -> None:
    """The agent is asked in the same way as in practice."""
    asked: list[list[str]] = []

    def watch(prompt: Prompt, draft: int) -> str:
        asked.append([message["role"] for message in prompt])
        return "yes?"

    agent = Scripted(watch, system="be brief")
    measured(agent, Judge(Pattern(r"\?$")), [problem("a"), problem("b")], Noted())
    assert asked and all(roles == ["system", "user"] for roles in asked)
