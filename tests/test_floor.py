"""The floor asks in chunks, never twice, and ends where a seat is out of reach."""

from collections.abc import Generator, Sequence
from typing import Any

import pytest
from feedback_seats import Seat, last

from agents import ConfigError
from agents.dialogue import Message, Reply, Turn
from agents.errors import Unavailable
from arena.feedback.floor import Floor, Line, Said, Unsaid


def lines(count: int, speaker: str = "ada") -> list[Line]:
    """Lines to be said."""
    return [
        Line(f"d{i:04d}.00a", "", speaker, "answer", (Message(role="user", content=f"question {i}"),))
        for i in range(count)
    ]


def run(generator: Generator[Any, None, dict[str, Turn]]) -> tuple[list[Any], dict[str, Turn]]:
    """The events and what is returned."""
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as stop:
            return events, stop.value


def test_lines_are_said_in_chunks_and_counted() -> None:
    """Five lines in chunks of two: three events, which say how far it is."""
    floor = Floor({"ada": Seat(lambda prompt, seed: last(prompt))}, chunk=2)
    events, turns = run(floor.say("answers", lines(5)))
    assert [(event.done, event.of, len(event.turns)) for event in events] == [(2, 5, 2), (4, 5, 2), (5, 5, 1)]
    assert [turns[line.id].text for line in lines(5)] == [f"question {i}" for i in range(5)]
    assert all(turn.kind == "answer" and turn.speaker == "ada" for turn in turns.values())


def test_what_is_on_record_is_not_asked_again() -> None:
    """Only the missing line reaches the seat, with the seed it would have had."""
    seeds: list[int] = []
    seat = Seat(lambda prompt, seed: seeds.append(seed) or str(seed))  # type: ignore[func-returns-value]
    _, first = run(Floor({"ada": seat}, seed=3).say("answers", lines(3)))
    told = {id: turn for id, turn in first.items() if id != "d0001.00a"}
    again = Seat(lambda prompt, seed: str(seed))
    events, second = run(Floor({"ada": again}, seed=3, told=told).say("answers", lines(3)))
    assert len(again.heard) == 1 and second == first and len(set(seeds)) == 3
    assert [(event.known, len(event.turns)) for event in events] == [(True, 2), (False, 1)]


def test_seats_of_one_company_are_asked_together_and_keep_their_order() -> None:
    """Two seats, mixed lines."""
    seats = {"ada": Seat(lambda p, s: f"ada {last(p)}"), "bob": Seat(lambda p, s: f"bob {last(p)}")}
    mixed = [line for pair in zip(lines(3), _renamed(lines(3)), strict=True) for line in pair]
    _, turns = run(Floor(seats).say("answers", mixed))
    assert [turns[line.id].text for line in mixed] == [
        f"{line.speaker} {last(line.prompt)}" for line in mixed
    ]


def _renamed(own: Sequence[Line]) -> list[Line]:
    return [Line(line.id.replace("00a", "01a"), "", "bob", "answer", line.prompt) for line in own]


class Flaky(Seat):
    """Fails to answer some prompts."""

    def outcomes(self, prompts: Any, **_: Any) -> list[Reply | Unavailable]:
        """One outcome per prompt."""
        return [
            Unavailable("busy") if last(prompt) in self.bad else Reply(last(prompt)) for prompt in prompts
        ]

    bad: tuple[str, ...] = ()


def test_a_line_that_is_not_said_is_an_event_and_the_others_are_kept() -> None:
    """One of four fails."""
    seat = Flaky(lambda prompt, seed: "")
    seat.bad = ("question 2",)
    events, turns = run(Floor({"ada": seat}).say("answers", lines(4)))
    assert [event.line.id for event in events if isinstance(event, Unsaid)] == ["d0002.00a"]
    assert len(turns) == 3


def test_a_seat_that_is_down_ends_the_run_after_some_failures_in_a_row() -> None:
    """What was said before is told first; failures that are not in a row do not count together."""
    seat = Flaky(lambda prompt, seed: "")
    seat.bad = ("question 1", "question 3", "question 4", "question 5")
    said: list[Any] = []
    generator = Floor({"ada": seat}, chunk=3, patience=3).say("answers", lines(9))
    with pytest.raises(
        Unavailable, match="ada gave no reply 3 times in a row.*what was written is kept.*busy"
    ):
        while True:
            said.append(next(generator))
    assert [turn.id for e in said if isinstance(e, Said) for turn in e.turns] == ["d0000.00a", "d0002.00a"]
    assert len([event for event in said if isinstance(event, Unsaid)]) == 4


@pytest.mark.parametrize("setting", ["chunk", "patience"])
def test_settings_are_checked(setting: str) -> None:
    """At least one."""
    with pytest.raises(ConfigError, match=f"{setting} must be at least 1, got 0"):
        Floor({}, **{setting: 0})  # type: ignore[arg-type]


def test_what_a_local_speaker_begins_with_is_part_of_what_it_says() -> None:
    """It is put into its mouth; a seat on a server is asked without it."""
    line = lines(1)[0]
    begun = Line(line.id, "", "ada", "feedback", line.prompt, begins="Score:")
    seat = Seat(
        lambda prompt, seed: "7." if last(prompt) == "Score:" else "no form", labels=lambda prompt: {}
    )
    _, turns = run(Floor({"ada": seat}).say("feedback", [begun]))
    assert turns[line.id].text == "Score: 7."
    _, turns = run(Floor({"ada": Seat(lambda prompt, seed: last(prompt))}).say("feedback", [begun]))
    assert turns[line.id].text == "question 0"


def test_a_line_that_the_walk_went_on_without_is_not_asked_again() -> None:
    """A continued run would else put a reply under what was built on its absence."""
    seat = Seat(lambda prompt, seed: last(prompt))
    events, turns = run(Floor({"ada": seat}, lost=frozenset(["d0001.00a"])).say("answers", lines(3)))
    assert sorted(turns) == ["d0000.00a", "d0002.00a"] and len(seat.heard) == 2
    assert not any(isinstance(event, Unsaid) for event in events)


def test_what_a_seat_that_is_down_did_not_say_is_asked_again() -> None:
    """The run ended there, so nothing rests on it; a line that was missed alone is final."""
    down = Flaky(lambda prompt, seed: "")
    down.bad = tuple(f"question {i}" for i in range(9))
    said: list[Any] = []
    generator = Floor({"ada": down}, patience=3).say("answers", lines(4))
    with pytest.raises(Unavailable):
        while True:
            said.append(next(generator))
    assert [event.final for event in said if isinstance(event, Unsaid)] == [False] * 4
    down.bad = ("question 1",)
    events, _ = run(Floor({"ada": down}, patience=3).say("answers", lines(4)))
    assert [event.final for event in events if isinstance(event, Unsaid)] == [True]


def test_refusals_that_are_apart_never_end_a_run_however_often_it_is_repeated() -> None:
    """What is on record counts as heard."""
    seat = Flaky(lambda prompt, seed: "")
    seat.bad = ("question 1", "question 3", "question 5")
    told = {line.id: line.turn(seat, Reply("x")) for line in lines(8) if last(line.prompt) not in seat.bad}
    events, _ = run(Floor({"ada": seat}, told=told, patience=2).say("answers", lines(8)))
    assert len([event for event in events if isinstance(event, Unsaid)]) == 3
