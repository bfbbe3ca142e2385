"""The main loop: dialogues in step, drafts, verdicts, preferences. No files, no printing, no weights.

The loop is replayable. What it asks for depends only on its arguments, every random choice on
`seed` and an id, and whatever stands in `told` and `judged` already is not asked again: a stopped run
continues by running the loop from its beginning over what is on record.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase

from agents.base import Agent
from agents.dialogue import Dialogue, Message, Reply, Turn
from rewards.judge import Judge
from rewards.verdict import Case, Preference, Verdict, prefer


@dataclass(frozen=True)
class Drafted:
    """Drafts of one seat have been written, before anyone judges them."""

    step: int
    seat: str
    turns: tuple[Turn, ...]


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


@dataclass(frozen=True)
class Exchanged:
    """One seat has spoken in all dialogues where it was its turn: an on-policy batch to learn from."""

    step: int
    seat: str
    judge: str
    """The seat that judged, or `judge` for a third agent."""
    exchanges: tuple[Exchange, ...]


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
    """Seat -> agent, in speaking order; at least two."""
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

    def seed_of(self, purpose: str, name: str) -> int:
        """A number that depends on the run's seed, the purpose and the id alone."""
        digest = hashlib.blake2b(f"{self.seed}/{purpose}/{name}".encode(), digest_size=6)
        return int.from_bytes(digest.digest())

    def reply_seed(self, turn_id: str) -> int:
        """The seed of a turn's drafts, which they share: each draft is a stream of its own under it."""
        return self.seed_of("reply", turn_id.rstrip(ascii_lowercase))


def converse(table: Table, dialogues: Sequence[Dialogue]) -> Iterator[Drafted | Exchanged | Performed]:
    """Hold `dialogues` in step. The caller may train a seat before it asks for the next event."""
    live = {dialogue.id: dialogue for dialogue in dialogues}
    for step in range(table.turns * len(table.seats)):
        turn, seat = step // len(table.seats), list(table.seats)[step % len(table.seats)]
        due = [d for d in live.values() if len(d.turns) == turn and table.speaker(d) == seat]
        if not due:
            continue
        drafted = _draft(table, seat, due)
        yield Drafted(step, seat, tuple(turn for drafts in drafted for turn in drafts))
        judge, verdicts = _judge_drafts(table, seat, due, drafted)
        exchanges = [
            _exchange(table, seat, dialogue, drafts, given)
            for dialogue, drafts, given in zip(due, drafted, verdicts, strict=True)
        ]
        live.update({e.dialogue.id: e.dialogue.say(e.said) for e in exchanges})
        yield Exchanged(step, seat, judge, tuple(exchanges))
    for seat in table.seats:
        yield _judge_performances(table, seat, list(live.values()))


def _draft(table: Table, seat: str, due: Sequence[Dialogue]) -> list[list[Turn]]:
    """All drafts of `seat`; the whole batch is written again if any is not on record, for equal batches."""
    n = table.drafts.get(seat, 1)
    names = [[dialogue.draft_id(draft) for draft in range(n)] for dialogue in due]
    if all(name in table.told for own in names for name in own):
        return [[table.told[name] for name in own] for own in names]
    agent = table.seats[seat]
    prompts = [table.prompt(dialogue, seat) for dialogue in due]
    seeds = [table.reply_seed(own[0]) for own in names]
    replies = agent.reply(prompts, n, seeds=seeds)
    return [
        [
            table.told.get(name, Turn(name, _last_id(dialogue), seat, reply, agent.version))
            for name, reply in zip(own, drafts, strict=True)
        ]
        for dialogue, own, drafts in zip(due, names, replies, strict=True)
    ]


def _last_id(dialogue: Dialogue) -> str:
    return dialogue.turns[-1].id if dialogue.turns else ""


def _judge_drafts(
    table: Table, seat: str, due: Sequence[Dialogue], drafted: Sequence[Sequence[Turn]]
) -> tuple[str, list[list[Verdict]]]:
    cases = [
        Case(turn.id, dialogue.topic, tuple(table.prompt(dialogue, seat)[1:]), turn.reply)
        for dialogue, drafts in zip(due, drafted, strict=True)
        for turn in drafts
    ]
    judge, verdicts = _verdicts(table, seat, cases)
    found = iter(verdicts)
    return judge, [[next(found) for _ in drafts] for drafts in drafted]


def _verdicts(table: Table, seat: str, cases: Sequence[Case]) -> tuple[str, list[Verdict]]:
    name, agent = table.judge_of(seat)
    if all(case.id in table.judged for case in cases):
        return name, [table.judged[case.id] for case in cases]
    given = table.judge.rate(agent, cases, [table.seed_of("judge", case.id) for case in cases])
    return name, [table.judged.get(verdict.id, verdict) for verdict in given]


def _exchange(
    table: Table, seat: str, dialogue: Dialogue, drafts: Sequence[Turn], verdicts: Sequence[Verdict]
) -> Exchange:
    """Choose the pair, and say the best draft aloud: a dialogue follows the improving policy."""
    prompt = table.prompt(dialogue, seat)
    replies = [(turn.id, turn.reply) for turn in drafts]
    preference, outcome = prefer(
        prompt, replies, verdicts, table.judge.tie_margin, table.judge.pair_truncated
    )
    if len(drafts) == 1:
        outcome = "one_draft"
    said = max(range(len(drafts)), key=lambda i: _worth(drafts[i], verdicts[i]))
    return Exchange(dialogue, tuple(drafts), tuple(verdicts), drafts[said], preference, outcome)


def _worth(turn: Turn, verdict: Verdict) -> tuple[bool, bool, bool, float]:
    """Said first: what has words, what was not cut, what was judged, what was judged best."""
    judged = verdict.reward is not None
    return bool(turn.text.strip()), not turn.reply.truncated, judged, verdict.reward or 0.0


def _judge_performances(table: Table, seat: str, dialogues: Sequence[Dialogue]) -> Performed:
    """Every reply has reached its judge by now."""
    cases = []
    for dialogue in dialogues:
        own = [turn.text for turn in dialogue.turns if turn.speaker == seat]
        if own:
            ask = Message(role="user", content=dialogue.topic)
            cases.append(Case(f"{dialogue.id}.{seat}", dialogue.topic, (ask,), Reply("\n\n".join(own))))
    judge, verdicts = _verdicts(table, seat, cases) if cases else ("", [])
    return Performed(seat, judge, tuple(verdicts))
