"""The main loop: dialogues in step, drafts, verdicts, preferences. No files, no printing, no weights.

The loop is replayable. What it asks for depends only on its arguments, every random choice on
`seed` and an id, and whatever stands in `told` and `judged` already is not asked again: a stopped run
continues by running the loop from its beginning over what is on record.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase

from agents.base import Agent, Call, reply_together
from agents.dialogue import Dialogue, Message, Reply, Turn
from arena.seeds import seed_of
from rewards.judge import Judge
from rewards.verdict import Case, Preference, Verdict, prefer


@dataclass(frozen=True)
class Drafted:
    """Drafts of one seat have been written, before anyone judges them."""

    step: int
    seat: str
    turns: tuple[Turn, ...]
    share: float = 1.0
    """This seat's part, in (0, 1], of the tokens that all seats wrote in one batch in this turn."""


@dataclass(frozen=True)
class Exchange:
    """One turn of one dialogue: the drafts, what the judge says, which draft is said aloud."""

    dialogue: Dialogue
    """As it was before the turn."""
    drafts: tuple[Turn, ...]
    verdicts: tuple[Verdict, ...]
    said: Turn
    preference: Preference | None
    outcome: str
    """`pair`, or why there is none: `abstained`, `truncated`, `scales`, `tie`, `one_draft`."""
    prompt: tuple[Message, ...] = ()
    """What the speaker was shown."""


@dataclass(frozen=True)
class Exchanged:
    """One seat has spoken, and was judged, in all dialogues where it was its turn."""

    step: int
    seat: str
    judge: str
    """The seat that judged, or `judge` for a third agent."""
    exchanges: tuple[Exchange, ...]
    share: float = 1.0
    """This seat's part, in (0, 1], of the verdicts that were given in this turn."""


@dataclass(frozen=True)
class Turned:
    """All seats have been judged for this turn: an on-policy batch for each seat that learns."""

    exchanged: tuple[Exchanged, ...]


@dataclass(frozen=True)
class Performed:
    """At the end each seat has been judged for its whole performance in each dialogue."""

    seat: str
    judge: str
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Table:
    """Who meets, and by which rules."""

    seats: Mapping[str, Agent]
    """Seat -> agent, in speaking order; a dialogue needs two."""
    judge: Judge
    opening: str
    """Asks the opener for its first question; may hold `{topic}`."""
    turns: int
    """Turns of each dialogue, at least 1."""
    drafts: Mapping[str, int]
    """Replies that each seat drafts per turn; above 1 for a seat that learns."""
    seed: int = 0
    told: Mapping[str, Turn] = field(default_factory=dict)
    """Turns on record, by id."""
    judged: Mapping[str, Verdict] = field(default_factory=dict)
    """Verdicts on record, by the id of what was judged."""

    def speaker(self, dialogue: Dialogue) -> str:
        """Whose turn it is: the seats in order, beginning with the opener."""
        order = list(self.seats)
        return order[(order.index(dialogue.opener) + len(dialogue.turns)) % len(order)]

    def judge_of(self, seat: str) -> tuple[str, Agent]:
        """(name, agent) that judges `seat`: the third agent, else the seat that speaks after it."""
        if self.judge.agent is not None:
            return "judge", self.judge.agent
        order = list(self.seats)
        other = order[(order.index(seat) + 1) % len(order)]
        agent = self.seats[other]
        return other, agent if self.judge.moving else agent.fixed()

    def prompt(self, dialogue: Dialogue, seat: str) -> list[Message]:
        """What `seat` is shown before it speaks."""
        return dialogue.seen_by(seat, self.seats[seat].system, self.opening)

    def shown(self, dialogue: Dialogue, seat: str) -> tuple[Message, ...]:
        """What a judge is shown of that: all but the persona."""
        return tuple(message for message in self.prompt(dialogue, seat) if message["role"] != "system")

    def reference(self, dialogue: Dialogue) -> str:
        """A correct answer that a judge may know; a dialogue of experts has none."""
        return ""

    def seed_of(self, purpose: str, name: str) -> int:
        """A number that depends on the run's seed, the purpose and the id alone."""
        return seed_of(self.seed, purpose, name)

    def reply_seed(self, turn_id: str) -> int:
        """The seed of a turn's drafts, which they share: each draft is a stream of its own under it."""
        return self.seed_of("reply", turn_id.rstrip(ascii_lowercase))


Event = Drafted | Exchanged | Turned | Performed


def converse(table: Table, dialogues: Sequence[Dialogue]) -> Iterator[Event]:
    """Hold `dialogues` in step; in every turn all seats draft, all are judged, and then they may learn.

    The caller may train the seats at `Turned`, before it asks for the next event. No seat's update
    reaches a draft or a verdict of the same turn, so these are asked for in as few batches as can be.
    """
    live = {dialogue.id: dialogue for dialogue in dialogues}
    seats = list(table.seats)
    for turn in range(table.turns):
        due = {seat: [d for d in live.values() if table.speaker(d) == seat] for seat in seats}
        due = {seat: found for seat, found in due.items() if found}
        steps = {seat: turn * len(seats) + seats.index(seat) for seat in due}
        for event in take_turn(table, due, steps):
            if isinstance(event, Exchanged):
                live.update({e.dialogue.id: e.dialogue.say(e.said) for e in event.exchanges})
            yield event
    yield from _performed(table, list(live.values()))


def take_turn(
    table: Table, due: Mapping[str, Sequence[Dialogue]], steps: Mapping[str, int]
) -> Iterator[Drafted | Exchanged | Turned]:
    """One turn: each seat drafts in the dialogues that are its due, all are judged, and then they may learn.

    Args:
        table: who plays.
        due: seat -> the dialogues in which it is to speak.
        steps: seat -> the number of its step.
    """
    drafted = _draft(table, due)
    shares = _shares([sum(len(t.reply.ids) for own in drafts for t in own) for drafts in drafted])
    for (seat, step), drafts, share in zip(steps.items(), drafted, shares, strict=True):
        yield Drafted(step, seat, tuple(t for own in drafts for t in own), share)
    exchanged = list(_exchanged(table, due, steps, drafted))
    yield from exchanged
    yield Turned(tuple(exchanged))


def _shares(parts: Sequence[float]) -> list[float]:
    """Each part of the sum; equal parts where there is nothing."""
    total = sum(parts)
    return [part / total if total else 1 / len(parts) for part in parts]


def _draft(table: Table, due: Mapping[str, Sequence[Dialogue]]) -> list[list[list[Turn]]]:
    """All drafts of each seat; all are written again if any is not on record, for equal batches."""
    names = {
        seat: [[d.draft_id(n) for n in range(table.drafts.get(seat, 1))] for d in dialogues]
        for seat, dialogues in due.items()
    }
    if all(name in table.told for rows in names.values() for own in rows for name in own):
        return [[[table.told[name] for name in own] for own in rows] for rows in names.values()]
    calls = [
        Call(
            table.seats[seat],
            [table.prompt(dialogue, seat) for dialogue in dialogues],
            table.drafts.get(seat, 1),
            [table.reply_seed(own[0]) for own in names[seat]],
        )
        for seat, dialogues in due.items()
    ]
    return [
        [
            [
                table.told.get(name, Turn(name, _last_id(dialogue), seat, reply, table.seats[seat].version))
                for name, reply in zip(own, drafts, strict=True)
            ]
            for dialogue, own, drafts in zip(dialogues, names[seat], replies, strict=True)
        ]
        for (seat, dialogues), replies in zip(due.items(), reply_together(calls), strict=True)
    ]


def _last_id(dialogue: Dialogue) -> str:
    return dialogue.turns[-1].id if dialogue.turns else ""


def _exchanged(
    table: Table,
    due: Mapping[str, Sequence[Dialogue]],
    steps: Mapping[str, int],
    drafted: Sequence[Sequence[Sequence[Turn]]],
) -> Iterator[Exchanged]:
    """What the judges say of each seat's drafts, and what follows from it."""
    cases = {
        seat: [
            case
            for dialogue, own in zip(dialogues, drafts, strict=True)
            for case in cases_of(table, seat, dialogue, own)
        ]
        for (seat, dialogues), drafts in zip(due.items(), drafted, strict=True)
    }
    given = verdicts_on(table, cases)
    shares = _shares([len(own) for own in cases.values()])
    for (seat, dialogues), drafts, share in zip(due.items(), drafted, shares, strict=True):
        found = iter(given[seat])
        exchanges = [
            decided(table, seat, dialogue, own, [next(found) for _ in own])
            for dialogue, own in zip(dialogues, drafts, strict=True)
        ]
        yield Exchanged(steps[seat], seat, table.judge_of(seat)[0], tuple(exchanges), share)


def cases_of(table: Table, seat: str, dialogue: Dialogue, drafts: Sequence[Turn]) -> list[Case]:
    """What a judge is given of one exchange: what the seat was shown, but for its persona, and each draft."""
    shown, reference = table.shown(dialogue, seat), table.reference(dialogue)
    return [Case(turn.id, dialogue.topic, shown, turn.reply, reference=reference) for turn in drafts]


def verdicts_on(table: Table, cases: Mapping[str, Sequence[Case]]) -> dict[str, list[Verdict]]:
    """Seat -> verdicts on its cases; judges that would say the same are asked together.

    What a batch holds decides on its controls, and in the last digits on its ratings, so a batch of which
    something is missing on record is asked for as a whole.
    """
    judges = {seat: table.judge_of(seat)[1] for seat in cases}
    told = dict(table.judged)
    for voice in dict.fromkeys(agent.voice for agent in judges.values()):
        seats = [seat for seat, agent in judges.items() if agent.voice == voice]
        asked = [case for seat in seats for case in cases[seat]]
        if not all(case.id in told for case in asked):
            seeds = [table.seed_of("judge", case.id) for case in asked]
            given = table.judge.rate(judges[seats[0]], asked, seeds)
            told = {verdict.id: verdict for verdict in given} | told
    return {seat: [told[case.id] for case in own] for seat, own in cases.items()}


def decided(
    table: Table,
    seat: str,
    dialogue: Dialogue,
    drafts: Sequence[Turn],
    verdicts: Sequence[Verdict],
    said: Turn | None = None,
) -> Exchange:
    """Choose the pair, and say the best draft aloud, for a dialogue follows the improving policy.

    What was `said` already stays said, whatever the verdicts are.
    """
    prompt, judge = table.prompt(dialogue, seat), table.judge
    replies = [(turn.id, turn.reply) for turn in drafts]
    preference, outcome = prefer(prompt, replies, verdicts, judge.tie_margin, judge.pair_truncated)
    if len(drafts) == 1:
        outcome = "one_draft"
    best = max(range(len(drafts)), key=lambda i: _worth(drafts[i], verdicts[i]))
    aloud = said or drafts[best]
    return Exchange(dialogue, tuple(drafts), tuple(verdicts), aloud, preference, outcome, tuple(prompt))


def _worth(turn: Turn, verdict: Verdict) -> tuple[bool, bool, bool, float]:
    """Said first: what has words, what was not cut, what was judged, what was judged best."""
    judged = verdict.reward is not None
    return bool(turn.text.strip()), not turn.reply.truncated, judged, verdict.reward or 0.0


def _performed(table: Table, dialogues: Sequence[Dialogue]) -> Iterator[Performed]:
    """Each seat's whole performance; every reply has reached its judge by now."""
    cases: dict[str, list[Case]] = {seat: [] for seat in table.seats}
    for dialogue in dialogues:
        ask = Message(role="user", content=dialogue.topic)
        for seat in table.seats:
            own = [turn.text for turn in dialogue.turns if turn.speaker == seat]
            if own:
                said = Reply("\n\n".join(own))
                cases[seat].append(Case(f"{dialogue.id}.{seat}", dialogue.topic, (ask,), said))
    given = verdicts_on(table, {seat: own for seat, own in cases.items() if own})
    for seat in table.seats:
        verdicts = tuple(given.get(seat, ()))
        yield Performed(seat, table.judge_of(seat)[0] if verdicts else "", verdicts)
