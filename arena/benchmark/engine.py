"""This engine: whole dialogues, and its speeds at reading, writing and learning alone."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agents.base import Agent, Prompt
from agents.dialogue import Dialogue
from arena.benchmark.measure import Peak
from arena.benchmark.work import Asked
from arena.loop import Drafted, Event, Exchanged, Performed, Table, Turned, converse
from arena.train.online_dpo import OnlineDPO
from rewards.verdict import Preference

PHASES = ("draft", "rating", "missing", "rest of judging", "learn")
"""Where the time of a dialogue goes; the rest of judging is embedding, above all."""


@dataclass
class Held:
    """Dialogues that were held, and what they took."""

    dialogues: int
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    """Seconds of each phase."""
    turns: list[float] = field(default_factory=list)
    """Seconds of drafting each turn; of all seats that speak in it."""
    judged: int = 0
    """Answers that have a verdict."""
    pairs: int = 0
    """Pairs that were learned from."""
    calls: list[Asked] = field(default_factory=list)
    """What the agents were asked."""
    growth: float = 0.0
    """Peak memory above the level at the start, in bytes."""
    most: float = 0.0
    """Peak memory, in bytes."""

    @property
    def written(self) -> int:
        """New tokens of drafts and judges."""
        return sum(sum(call.written) for call in self.calls)

    @property
    def per_hour(self) -> float:
        """Dialogues per hour."""
        return self.dialogues * 3600 / self.seconds

    @property
    def writing_speed(self) -> float:
        """New tokens per second of the calls that write."""
        return self.written / sum(call.seconds for call in self.calls if call.drafts)

    @property
    def judging_speed(self) -> float:
        """Pairs of answers per second of judging."""
        return self.judged / 2 / sum(self.phases[phase] for phase in PHASES[1:4])

    @property
    def learning_speed(self) -> float:
        """Pairs per second of learning."""
        return self.pairs / self.phases["learn"]


def hold(
    table: Table,
    dialogues: Sequence[Dialogue],
    calls: list[Asked],
    learners: Mapping[str, OnlineDPO],
    device: str,
) -> Held:
    """Hold dialogues as a run does, without its files.

    Args:
        table: who meets; its seats are `Recorded`.
        dialogues: what is held.
        calls: the record that the seats have in common; emptied.
        learners: seat -> learner, attached.
        device: whose memory is watched.
    """
    calls.clear()
    held = Held(len(dialogues), turns=[0.0] * table.turns)
    with Peak(device) as peak:
        lap = start = time.perf_counter()
        for event in converse(table, dialogues):
            since, lap = time.perf_counter() - lap, time.perf_counter()
            new = calls[len(held.calls) :]
            held.calls += new
            _count(held, event, since, new, len(table.seats))
            if isinstance(event, Turned) and learners:
                _learn(held, event, learners)
                lap = time.perf_counter()
        held.seconds = time.perf_counter() - start
    held.growth, held.most = peak.growth, peak.most
    return held


def _count(held: Held, event: Event, since: float, new: Sequence[Asked], seats: int) -> None:
    """Add the seconds since the last event to the phases that they were spent in."""
    if isinstance(event, Drafted):
        held.phases["draft"] += since
        held.turns[event.step // seats] += since
    elif isinstance(event, Exchanged | Performed):
        rating = sum(call.seconds for call in new if not call.drafts)
        missing = sum(call.seconds for call in new if call.drafts)
        for phase, took in zip(PHASES[1:4], (rating, missing, since - rating - missing), strict=True):
            held.phases[phase] += took
        given = event.exchanges if isinstance(event, Exchanged) else (event,)
        held.judged += sum(len(one.verdicts) for one in given)


def _learn(held: Held, event: Turned, learners: Mapping[str, OnlineDPO]) -> None:
    """Let the seats of a turn learn from their pairs, as a run does."""
    start = time.perf_counter()
    for exchanged in event.exchanged:
        if exchanged.seat in learners:
            pairs = [e.preference for e in exchanged.exchanges if e.preference]
            update = learners[exchanged.seat].step(pairs)
            held.pairs += update.pairs if update else 0
    held.phases["learn"] += time.perf_counter() - start


@dataclass(frozen=True)
class Speed:
    """How fast a batch is read and written."""

    rows: int
    prompt: float
    """Mean tokens of a prompt."""
    reading: float
    """Seconds of reading all prompts, and of one new token."""
    step: float
    """Seconds of one decoding step."""
    whole: float
    """New tokens per second of a whole call, reading included."""


def speed(ask: Callable[[int], int], rows: int, limit: int) -> Speed:
    """Time prompts that are new to who is asked, then steps of decoding.

    The prompts are read anew once. The two calls whose difference is the decoding come after it, so that
    whoever keeps what has been read keeps it in both.

    Args:
        ask: asks `rows` prompts for so many new tokens each; returns the tokens of the prompts.
        rows: number of prompts.
        limit: new tokens of the longest call, at least 2.
    """
    took, read = [], 0
    for wanted in (1, 1, limit):
        start = time.perf_counter()
        read = ask(wanted)
        took.append(time.perf_counter() - start)
    first, again, long = took
    return Speed(
        rows, read / rows, first, (long - again) / (limit - 1), rows * limit / (first - again + long)
    )


def asking(agent: Agent, prompts: Sequence[Prompt]) -> Callable[[int], int]:
    """How `speed` asks an agent."""
    return lambda limit: sum(own[0].tokens_in for own in agent.reply(prompts, max_new_tokens=limit))


def pairs(agent: Agent, prompts: Sequence[Prompt], limit: int, seed: int) -> list[Preference]:
    """A pair of two replies to each prompt; the longer text is the better one."""
    seeds = [seed * len(prompts) + place for place in range(len(prompts))]
    found = []
    for prompt, drafted in zip(
        prompts, agent.reply(prompts, 2, seeds=seeds, max_new_tokens=limit), strict=True
    ):
        worse, better = sorted(drafted, key=lambda reply: reward(reply.text))
        found.append(Preference(tuple(prompt), better, worse, 1.0))
    return found


def reward(text: str) -> float:
    """Of an answer: its letters. What is measured must not hang on a judge."""
    return float(len(text))
