"""The main loop: who speaks when, what each sees, who judges whom, and how it continues from a record."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agents import Agent, Dialogue, Reply, Scripted, Turn
from agents.base import Call, Prompt
from arena.loop import Drafted, Event, Exchange, Exchanged, Performed, Table, Turned, converse
from rewards.judge import Judge
from rewards.rating import Length, Random, Text
from rewards.verdict import Case, Rating, Verdict

OPENING = "Open on {topic}."


def numbered(name: str) -> Scripted:
    """An agent that says its name, how often it was asked and the draft; later drafts are longer."""
    asked: dict[int, int] = {}

    def line(prompt: Prompt, draft: int) -> str:
        asked[draft] = asked.get(draft, 0) + 1
        return f"{name} {asked[draft]}" + " more" * draft

    return Scripted(line, system=f"You are {name} on {{topic}}.")


@dataclass
class Noting:
    """Rates by length, and notes which agent was asked about which answers."""

    asks = False
    seen: list[tuple[Agent, list[Case], list[int]]] = field(default_factory=list)

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """One rating per case."""
        self.seen.append((agent, list(cases), list(seeds)))
        return Length(half=3)(agent, cases, seeds)


def dialogues(count: int, seats: Sequence[str] = ("ada", "bob")) -> list[Dialogue]:
    """Dialogues that the seats open in turn."""
    return [Dialogue(f"d{i:04d}", f"topic {i}", seats[i % len(seats)]) for i in range(count)]


def table(
    seats: Sequence[str] = ("ada", "bob"),
    turns: int = 2,
    judge: Judge | None = None,
    drafts: Mapping[str, int] | None = None,
) -> Table:
    """Scripted agents who draft one reply, unless `drafts` says otherwise."""
    agents = {name: numbered(name) for name in seats}
    return Table(agents, judge or Judge(Length(half=3)), OPENING, turns, drafts or {})


def exchanges(events: Sequence[Event]) -> list[Exchange]:
    """All turns, in order."""
    return [exchange for event in events if isinstance(event, Exchanged) for exchange in event.exchanges]


def transcripts(events: Sequence[Event]) -> dict[str, list[str]]:
    """Dialogue -> the speakers of its turns."""
    said: dict[str, list[str]] = {}
    for exchange in exchanges(events):
        said.setdefault(exchange.dialogue.id, []).append(exchange.said.speaker)
    return said


def test_each_seat_opens_half_of_the_dialogues() -> None:
    """Four dialogues of three turns."""
    said = transcripts(list(converse(table(turns=3), dialogues(4))))
    assert said["d0000"] == said["d0002"] == ["ada", "bob", "ada"]
    assert said["d0001"] == said["d0003"] == ["bob", "ada", "bob"]


def test_both_seats_work_in_every_turn() -> None:
    """Each step is one seat in half of the dialogues, so that no model idles."""
    steps = [event for event in converse(table(turns=3), dialogues(4)) if isinstance(event, Exchanged)]
    assert [(step.step, step.seat, len(step.exchanges)) for step in steps] == [
        (0, "ada", 2), (1, "bob", 2), (2, "ada", 2), (3, "bob", 2), (4, "ada", 2), (5, "bob", 2),
    ]  # fmt: skip


def test_three_seats_speak_in_turn_and_are_judged_by_the_one_behind() -> None:
    """Nothing assumes two: who spoke before is `user` for whoever speaks next, also twice in a row."""
    seats = ("ada", "bob", "eve")
    noting = Noting()
    made = table(seats, turns=4, judge=Judge(noting))
    events = list(converse(made, dialogues(3, seats)))
    said = transcripts(events)
    assert said == {
        "d0000": ["ada", "bob", "eve", "ada"],
        "d0001": ["bob", "eve", "ada", "bob"],
        "d0002": ["eve", "ada", "bob", "eve"],
    }
    judges = {event.seat: event.judge for event in events if isinstance(event, Exchanged)}
    assert judges == {"ada": "bob", "bob": "eve", "eve": "ada"}
    last = made.seats["ada"].heard[-1]  # type: ignore[attr-defined]
    assert [message["role"] for message in last] == ["system", "user", "assistant", "user", "user"]
    assert sorted(event.seat for event in events if isinstance(event, Performed)) == sorted(seats)


def test_a_step_with_nobody_to_speak_is_left_out() -> None:
    """One dialogue: the seats speak in turn, and numbers of steps stay those of their places."""
    steps = [event.step for event in converse(table(turns=4), dialogues(1)) if isinstance(event, Exchanged)]
    assert steps == [0, 3, 4, 7]


def test_drafts_are_told_before_they_are_judged() -> None:
    """So that a run that dies in judging has them on record; both seats before either may learn."""
    events = list(converse(table(turns=1), dialogues(2)))
    assert [type(event) for event in events] == [
        Drafted, Drafted, Exchanged, Exchanged, Turned, Performed, Performed,
    ]  # fmt: skip
    assert events[4] == Turned(tuple(events[2:4]))


@dataclass
class Shared(Scripted):
    """An agent that writes in one batch with others of its kind, and says what they say."""

    batches: list[int]

    def __post_init__(self) -> None:
        """One line."""
        super().__init__(["words"])

    company = voice = "shared"  # type: ignore[assignment]

    def reply_calls(self, calls: Sequence[Call]) -> list[list[list[Reply]]]:
        """As ever, noting how many calls come together."""
        self.batches.append(len(calls))
        return super().reply_calls(calls)


def test_seats_on_shared_weights_draft_in_one_batch() -> None:
    """One call for each turn of both; the order of the seats stays."""
    batches: list[int] = []
    seats = {"ada": Shared(batches), "bob": Shared(batches)}
    events = list(converse(Table(seats, Judge(Length()), OPENING, 3, {"bob": 2}), dialogues(4)))
    assert batches == [2, 2, 2]
    shares = [(event.seat, event.share) for event in events if isinstance(event, Exchanged)]
    assert shares == [("ada", 1 / 3), ("bob", 2 / 3)] * 3


def test_judges_of_one_voice_are_asked_together() -> None:
    """One call for the drafts of both seats, one for their performances; each gets its own verdicts."""
    rater = Noting()
    seats = {"ada": Shared([]), "bob": Shared([])}
    events = list(converse(Table(seats, Judge(rater), OPENING, 2, {"bob": 2}), dialogues(4)))
    assert [len(cases) for _, cases, _ in rater.seen] == [6, 6, 8]
    for exchange in exchanges(events):
        assert [verdict.id for verdict in exchange.verdicts] == [turn.id for turn in exchange.drafts]


def test_the_share_of_a_seat_is_what_it_wrote() -> None:
    """In tokens, of all that was written in the turn."""

    class Wordy(Scripted):
        """Says so many tokens."""

        def __init__(self, tokens: int) -> None:
            """Their number."""
            self.tokens = tokens
            super().__init__(["words"])

        def reply(self, prompts: Sequence[Prompt], n: int = 1, **_: object) -> list[list[Reply]]:
            """The tokens."""
            return [[Reply("words", ids=tuple(range(self.tokens)))] * n for _ in prompts]

    played = Table({"ada": Wordy(30), "bob": Wordy(10)}, Judge(Length()), OPENING, 1, {})
    events = converse(played, dialogues(2))
    assert [event.share for event in events if isinstance(event, Drafted)] == [0.75, 0.25]


def test_all_dialogues_are_asked_in_one_batch() -> None:
    """One call for all drafts of a seat's step."""

    class Counting(Scripted):
        """Notes the size of each batch."""

        def __init__(self) -> None:
            """One line."""
            super().__init__(["words"])
            self.batches: list[tuple[int, int]] = []

        def reply(
            self,
            prompts: Sequence[Prompt],
            n: int = 1,
            *,
            seeds: Sequence[int] = (),
            max_new_tokens: int = 0,
        ) -> list[list[Reply]]:
            """The line."""
            self.batches.append((len(prompts), n))
            return super().reply(prompts, n, seeds=seeds, max_new_tokens=max_new_tokens)

    agents = {"ada": Counting(), "bob": Counting()}
    list(converse(Table(agents, Judge(Length()), OPENING, 2, {"bob": 4}), dialogues(6)))
    assert agents["ada"].batches == [(3, 1), (3, 1)]
    assert agents["bob"].batches == [(3, 4), (3, 4)]


def test_the_opener_is_asked_to_open() -> None:
    """Its persona and the opening, both with the topic."""
    played = table(turns=1)
    list(converse(played, dialogues(1)))
    assert heard(played, "ada") == [
        [
            {"role": "system", "content": "You are ada on topic 0."},
            {"role": "user", "content": "Open on topic 0."},
        ]
    ]


def heard(played: Table, seat: str) -> list[Prompt]:
    """What a scripted seat was shown."""
    agent = played.seats[seat]
    assert isinstance(agent, Scripted)
    return agent.heard


def test_each_sees_its_own_turns_as_the_assistants() -> None:
    """And the other's as the user's; both views hold the same words."""
    played = table(turns=3)
    list(converse(played, dialogues(1)))
    assert [(m["role"], m["content"]) for m in heard(played, "bob")[0]] == [
        ("system", "You are bob on topic 0."),
        ("user", "ada 1"),
    ]
    assert [(m["role"], m["content"]) for m in heard(played, "ada")[1]] == [
        ("system", "You are ada on topic 0."),
        ("user", "Open on topic 0."),
        ("assistant", "ada 1"),
        ("user", "bob 1"),
    ]


def test_only_what_is_said_is_seen_by_the_others() -> None:
    """Of four drafts the longest is said; bob sees no other."""
    played = table(turns=2, drafts={"ada": 4})
    [first, _] = exchanges(list(converse(played, dialogues(1))))
    assert len(first.drafts) == 4
    assert first.said.text == "ada 1 more more more"
    assert heard(played, "bob")[0][-1]["content"] == first.said.text


def test_three_seats_speak_in_their_order() -> None:
    """Each opens in turn, and each sees both others as users."""
    seats = ("ada", "bob", "cyd")
    played = table(seats, turns=4)
    said = transcripts(list(converse(played, dialogues(3, seats))))
    assert said == {
        "d0000": ["ada", "bob", "cyd", "ada"],
        "d0001": ["bob", "cyd", "ada", "bob"],
        "d0002": ["cyd", "ada", "bob", "cyd"],
    }
    view = next(prompt for prompt in heard(played, "cyd") if "topic 0" in prompt[0]["content"])
    assert [m["role"] for m in view] == ["system", "user", "user"]


@pytest.mark.parametrize(
    ("seats", "judges"),
    [(("ada", "bob"), {"ada": "bob", "bob": "ada"}),
     (("ada", "bob", "cyd"), {"ada": "bob", "bob": "cyd", "cyd": "ada"})],
)  # fmt: skip
def test_each_seat_is_judged_by_the_next_one(seats: tuple[str, ...], judges: dict[str, str]) -> None:
    """With two seats that is the other; drafts and performances alike."""
    rater = Noting()
    played = table(seats, turns=3, judge=Judge(rater))
    events = list(converse(played, dialogues(3, seats)))
    named = {event.seat: event.judge for event in events if isinstance(event, Exchanged | Performed)}
    assert named == judges
    for agent, cases, _ in rater.seen:
        judged = {seat for case in cases for seat in seats if case.reply.text.startswith(seat)}
        assert [played.seats[judges[seat]] for seat in judged] == [agent]


def test_a_third_agent_can_judge_all() -> None:
    """It is called `judge`."""
    third = Scripted(["x"])
    rater = Noting()
    events = list(converse(table(judge=Judge(rater, agent=third)), dialogues(2)))
    assert {event.judge for event in events if isinstance(event, Exchanged | Performed)} == {"judge"}
    assert all(agent is third for agent, _, _ in rater.seen)


class Learner(Scripted):
    """Has a fixed twin, as an agent with an adapter has."""

    def __init__(self) -> None:
        """One line."""
        super().__init__(["words"])
        self.twin = Scripted(["words"])

    def fixed(self) -> Agent:
        """The twin."""
        return self.twin


@pytest.mark.parametrize("moving", [False, True])
def test_a_judge_moves_only_where_it_is_told_to(moving: bool) -> None:
    """By default an expert judges without what it has learned."""
    rater, ada = Noting(), Learner()
    played = Table({"ada": ada, "bob": Scripted(["y"])}, Judge(rater, moving=moving), OPENING, 1, {})
    list(converse(played, dialogues(1, ("bob", "ada"))))
    assert rater.seen[0][0] is (ada if moving else ada.twin)


def test_a_draft_is_judged_on_what_its_speaker_saw() -> None:
    """Without the persona; the question is the last message."""
    rater = Noting()
    list(converse(table(turns=2, judge=Judge(rater)), dialogues(1)))
    [case] = rater.seen[1][1]
    assert (case.id, case.topic, case.question) == ("d0000.01a", "topic 0", "ada 1")
    assert [message["role"] for message in case.prompt] == ["user"]


def test_a_pair_holds_the_speakers_whole_prompt() -> None:
    """Best and worst of three drafts, in words and ids."""
    [first] = exchanges(list(converse(table(turns=1, drafts={"ada": 3}), dialogues(1))))
    pair = first.preference
    assert pair is not None and first.outcome == "pair"
    assert (pair.chosen_id, pair.rejected_id) == ("d0000.00c", "d0000.00a")
    assert [message["role"] for message in pair.prompt] == ["system", "user"]


def test_one_draft_makes_no_pair_and_says_so() -> None:
    """It is neither a tie nor an abstention."""
    [first] = exchanges(list(converse(table(turns=1), dialogues(1))))
    assert (first.preference, first.outcome) == (None, "one_draft")


def test_turns_know_their_parents() -> None:
    """All drafts answer the turn that was said before them."""
    events = list(converse(table(turns=3, drafts={"ada": 2, "bob": 2}), dialogues(1)))
    drafts = [(turn.id, turn.parent) for exchange in exchanges(events) for turn in exchange.drafts]
    assert drafts == [
        ("d0000.00a", ""), ("d0000.00b", ""),
        ("d0000.01a", "d0000.00b"), ("d0000.01b", "d0000.00b"),
        ("d0000.02a", "d0000.01b"), ("d0000.02b", "d0000.01b"),
    ]  # fmt: skip


def said_of(drafts: Sequence[Reply], rewards: Sequence[float | None]) -> str:
    """Which of the drafts of one turn is said aloud, with these rewards."""

    class Fixed(Judge):
        """Gives the rewards in order."""

        def rate(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Verdict]:
            """One per draft; performances get none."""
            given = list(rewards) if len(cases) == len(rewards) else [None] * len(cases)
            return [Verdict(case.id, "x", reward=r) for case, r in zip(cases, given, strict=True)]

    class Saying(Scripted):
        """Says the drafts."""

        def reply(self, prompts: Sequence[Prompt], n: int = 1, **_: object) -> list[list[Reply]]:
            """All of them."""
            return [list(drafts) for _ in prompts]

    played = Table({"ada": Saying(["x"]), "bob": Scripted(["y"])}, Fixed(), OPENING, 1, {"ada": len(drafts)})
    [only] = exchanges(list(converse(played, dialogues(1))))
    return only.said.text


def test_the_best_draft_is_said() -> None:
    """Not the first."""
    assert said_of([Reply("a"), Reply("b"), Reply("c")], [0.1, 0.9, -0.3]) == "b"


def test_a_truncated_draft_is_said_only_if_all_are() -> None:
    """The other would go on from half a sentence."""
    cut = Reply("cut", finish="length")
    assert said_of([cut, Reply("whole")], [0.9, -0.9]) == "whole"
    assert said_of([cut, replace(cut, text="cut too")], [-0.9, 0.9]) == "cut too"


def test_a_draft_without_a_verdict_is_said_only_if_all_are() -> None:
    """An abstention is not a 0, which would beat -0.9."""
    assert said_of([Reply("unjudged"), Reply("judged")], [None, -0.9]) == "judged"
    assert said_of([Reply("first"), Reply("second")], [None, None]) == "first"


@pytest.mark.parametrize("empty", ["", "\n "])
def test_an_empty_draft_is_said_only_if_all_are(empty: str) -> None:
    """Even a truncated one is better."""
    assert said_of([Reply(empty), Reply("cut", finish="length")], [None, None]) == "cut"


def test_performances_are_judged_after_the_last_reply() -> None:
    """All of them, whole, on the topic: bob's last words have reached ada."""
    rater = Noting()
    events = list(converse(table(turns=4, judge=Judge(rater)), dialogues(1)))
    assert [type(event) for event in events[-2:]] == [Performed, Performed]
    [ada], [bob] = rater.seen[-2][1], rater.seen[-1][1]
    assert (ada.id, ada.reply.text, ada.question) == ("d0000.ada", "ada 1\n\nada 2", "topic 0")
    assert (bob.id, bob.reply.text) == ("d0000.bob", "bob 1\n\nbob 2")


def test_a_seat_that_never_spoke_has_no_performance() -> None:
    """One turn, three seats."""
    seats = ("ada", "bob", "cyd")
    events = list(converse(table(seats, turns=1), dialogues(1, seats)))
    performed = {event.seat: len(event.verdicts) for event in events if isinstance(event, Performed)}
    assert performed == {"ada": 1, "bob": 0, "cyd": 0}


def test_a_seed_depends_on_run_purpose_and_id_alone() -> None:
    """It fits every random generator, and differs with each of the three."""
    seeds = {
        Table({}, Judge(), "", 1, {}, seed=seed).seed_of(purpose, name)
        for seed in (0, 1)
        for purpose in ("reply", "judge")
        for name in ("a", "b")
    }
    assert len(seeds) == 8
    assert all(0 <= seed < 2**48 for seed in seeds)
    assert Table({}, Judge(), "", 9, {}).seed_of("reply", "a") in seeds


class Sampling(Scripted):
    """Says its seeds and drafts: what it says depends on nothing else."""

    def __init__(self, name: str) -> None:
        """Nothing said yet."""
        super().__init__([""])
        self.said, self.calls = name, 0

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """One text per seed and draft, and a legible verdict for judging prompts."""
        self.calls += 1
        return [
            [Reply(f"{self.said} {seed} {draft} [[{seed % 9 + 1}]]") for draft in range(n)] for seed in seeds
        ]


def sampled(told: Mapping[str, Turn] | None = None, judged: Mapping[str, Verdict] | None = None) -> Table:
    """A run whose words and verdicts depend on seeds."""
    seats = {name: Sampling(name) for name in ("ada", "bob")}
    drafts = {"ada": 2, "bob": 3}
    return Table(seats, Judge(Text()), OPENING, 3, drafts, 7, told or {}, judged or {})


def recorded(events: Sequence[Event]) -> tuple[dict[str, Turn], dict[str, Verdict]]:
    """What a run folder holds after these events."""
    told = {turn.id: turn for event in events if isinstance(event, Drafted) for turn in event.turns}
    judged = {verdict.id: verdict for exchange in exchanges(events) for verdict in exchange.verdicts}
    judged |= {v.id: v for event in events if isinstance(event, Performed) for v in event.verdicts}
    return told, judged


def calls(played: Table) -> int:
    """How often the seats of `sampled` were asked."""
    return sum(agent.calls for agent in played.seats.values() if isinstance(agent, Sampling))


def test_the_same_seed_gives_the_same_run() -> None:
    """Event by event."""
    assert list(converse(sampled(), dialogues(4))) == list(converse(sampled(), dialogues(4)))


def test_a_replay_asks_nobody_and_yields_the_same_events() -> None:
    """Everything is on record."""
    events = list(converse(sampled(), dialogues(4)))
    again = sampled(*recorded(events))
    assert list(converse(again, dialogues(4))) == events
    assert calls(again) == 0


@pytest.mark.parametrize("stopped_after", range(18))
def test_a_run_that_stopped_anywhere_continues_to_the_same_events(stopped_after: int) -> None:
    """After each of its 17 events, and before the first."""
    events = list(converse(sampled(), dialogues(4)))
    assert len(events) == 17
    again = sampled(*recorded(events[:stopped_after]))
    assert list(converse(again, dialogues(4))) == events


def test_a_batch_of_which_some_is_on_record_is_written_again_whole() -> None:
    """Half a batch would be decoded to other words; what is on record stays as it is."""
    events = list(converse(sampled(), dialogues(4)))
    told, _ = recorded(events[:1])
    first = "d0000.00a"
    kept = replace(told[first], reply=Reply("the words on record"))
    again = sampled({first: kept})
    drafted = next(converse(again, dialogues(4)))
    assert isinstance(drafted, Drafted)
    assert [turn.id for turn in drafted.turns] == list(told)
    assert [turn for turn in drafted.turns if turn.id == first] == [kept]
    assert [turn for turn in drafted.turns if turn.id != first] == [t for t in told.values() if t.id != first]


def test_verdicts_of_which_some_are_on_record_are_given_again_whole() -> None:
    """And the one on record counts."""
    events = list(converse(sampled(), dialogues(2)))
    told, judged = recorded(events)
    first = "d0000.00a"
    kept = Verdict(first, "bob", rating=10.0, reward=1.0, scale="rating")
    again = sampled(told, {first: kept})
    replayed = exchanges(list(converse(again, dialogues(2))))
    assert replayed[0].verdicts[0] == kept
    assert replayed[0].verdicts[1] == judged["d0000.00b"]
    assert replayed[0].said.id == first


def test_abstentions_on_record_are_not_asked_again() -> None:
    """A judge that could not be read stays so."""
    events = list(converse(sampled(), dialogues(2)))
    told, judged = recorded(events)
    judged = {id: Verdict(id, "bob", status="rating_absent") for id in judged}
    again = sampled(told, judged)
    replayed = exchanges(list(converse(again, dialogues(2))))
    assert calls(again) == 0
    assert {exchange.outcome for exchange in replayed} == {"abstained"}


def test_the_caller_may_change_a_seat_between_events() -> None:
    """The next draft is spoken by the changed policy: its version is on record."""

    class Versioned(Scripted):
        """Counts its updates."""

        updates = 0

        @property
        def version(self) -> str:
            """Its name and how often it was updated."""
            return f"ada@{self.updates}"

    ada = Versioned(["words"])
    played = Table({"ada": ada, "bob": Scripted(["more words"])}, Judge(Random()), OPENING, 2, {})
    adapters = []
    for event in converse(played, dialogues(2)):
        if isinstance(event, Drafted) and event.seat == "ada":
            adapters += [turn.adapter for turn in event.turns]
        if isinstance(event, Turned):
            ada.updates += 1
    assert adapters == ["ada@0", "ada@1"]


def test_views_alternate_for_the_template() -> None:
    """Every prompt of two seats goes user, assistant, user ..., and ends with the user."""
    played = table(turns=5)
    list(converse(played, dialogues(4)))
    for seat in ("ada", "bob"):
        for prompt in heard(played, seat):
            roles = [message["role"] for message in prompt[1:]]
            assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


def test_the_loop_imports_neither_weights_nor_configuration() -> None:
    """In a process of its own."""
    code = "import sys, arena.loop; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "transformers", "hydra", "omegaconf", "rich"} & set(loaded.split())


def test_the_loop_opens_no_file_and_prints_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole run leaves an empty folder and an empty screen."""
    monkeypatch.chdir(tmp_path)
    list(converse(table(), dialogues(2)))
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")
