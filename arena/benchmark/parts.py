"""What is measured of this engine, part by part."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from arena.benchmark import engine, machine, work
from arena.benchmark.engine import PHASES, Held, Speed
from arena.benchmark.machine import Limits, Need
from arena.benchmark.measure import Samples, interleaved, seconds
from arena.benchmark.online_trl import Step
from arena.benchmark.report import Report
from arena.benchmark.sizes import Sizes
from arena.benchmark.work import Asked, Recorded
from arena.loop import Table
from arena.train.online_dpo import OnlineDPO
from rewards.judge import Judge
from rewards.rating import Random

EARLY = 2
"""The turn, from 1, that a late turn is compared with."""
LATE = 12
"""That turn."""
CURVE = (1, 4, 16, 64)
"""Numbers of dialogues."""
LEARNING_TURNS = 2
"""Turns of the dialogues with learning."""


@dataclass
class Bench:
    """Everything that a part needs."""

    seats: Mapping[str, Recorded]
    judge: Judge
    learners: Mapping[str, OnlineDPO]
    """Not attached before a part asks for it: adapters slow everybody down."""
    opening: str
    sizes: Sizes
    report: Report
    say: Callable[[str], None]
    limits: Limits | None = None
    attached: set[str] = field(default_factory=set)

    @property
    def seat(self) -> str:
        """Whose speeds are measured: the first seat that learns, else the first."""
        return next(iter([*self.learners, *self.seats]))

    @property
    def agent(self) -> Recorded:
        """Who sits there."""
        return self.seats[self.seat]

    @property
    def calls(self) -> list[Asked]:
        """The record that all seats have in common."""
        return self.agent.calls

    @property
    def device(self) -> str:
        """Where the weights are."""
        return str(self.agent.backbone.device)

    def attach(self, seats: Iterable[str]) -> None:
        """Give those of `seats` that learn their adapters, once."""
        for seat in seats:
            if seat in self.learners and seat not in self.attached:
                self.learners[seat].attach(self.seats[seat], seat)
                self.attached.add(seat)

    def warm(self) -> None:
        """A few turns that are not timed: everything is loaded afterwards."""
        self.hold(self.sizes.repeats, replace(self.sizes, dialogues=len(self.seats), turns=1))

    def hold(self, repeat: int, sizes: Sizes, learning: bool = False) -> Held:
        """Dialogues as in a run; each repeat has topics and seeds of its own, so that nothing is known."""
        table = Table(
            seats=self.seats,
            judge=self.judge,
            opening=self.opening,
            turns=sizes.turns,
            drafts=dict.fromkeys(self.seats, sizes.drafts),
            seed=sizes.seed + repeat,
        )
        talks = work.dialogues(list(self.seats), sizes.dialogues, sizes.seed + repeat)
        return engine.hold(table, talks, self.calls, self.learners if learning else {}, self.device)

    def repeat(self, sides: Mapping[str, Callable[[int], Held]]) -> dict[str, list[Held]]:
        """The sides, interleaved."""
        return interleaved(sides, self.sizes.repeats, self.say)


def limits(bench: Bench) -> None:
    """What the machine gives at best."""
    bench.limits = found = machine.measure(bench.agent, bench.sizes.repeats, bench.say)
    for (kind, rows), rate in found.matrix.items():
        bench.report.add("machine", f"matrix rate {kind}, {rows} rows", scaled(rate, 1e-9), "Gflop/s")
    for name, rate in (("read", found.read), ("copy", found.copy)):
        bench.report.add("machine", f"memory {name}", scaled(rate, 1e-9), "GB/s")


def loop(bench: Bench) -> None:
    """Whole dialogues with drafts and verdicts, without learning."""
    found = bench.repeat({"dialogues": lambda repeat: bench.hold(repeat, bench.sizes)})["dialogues"]
    dialogues(bench.report, "dialogues", found)


def dialogues(report: Report, part: str, found: list[Held]) -> None:
    """Put down what held dialogues say."""
    report.add(part, "dialogues", Samples.of(found, lambda held: held.per_hour), "/h")
    report.add(part, "new tokens", Samples.of(found, lambda held: held.writing_speed), "tokens/s")
    report.add(part, "judged", Samples.of(found, lambda held: held.judging_speed), "pairs/s")
    learned = any(held.pairs for held in found)
    if learned:
        report.add(part, "learned", Samples.of(found, lambda held: held.learning_speed), "pairs/s")
    for phase in PHASES if learned else PHASES[:4]:
        share = Samples(tuple(held.phases[phase] / held.seconds for held in found))
        report.add(part, f"time: {phase}", share, "%")
    memory(report, part, found)


def memory(report: Report, part: str, found: Sequence[Held] | Sequence[Step], who: str = "") -> None:
    """Put down peaks of memory, of somebody."""
    name = f"{who}, peak memory" if who else "peak memory"
    most = Samples(tuple(one.most * 1e-9 for one in found))
    growth = Samples(tuple(one.growth * 1e-9 for one in found))
    report.add(part, name, most, "GB", "of all that the process holds")
    report.add(part, f"{name}, growth", growth, "GB", "above the level at its start")


def learning(bench: Bench) -> None:
    """A short run of the loop with learning; the seats have as many pairs per step as `pairs` says."""
    bench.attach(bench.learners)
    sizes = replace(bench.sizes, dialogues=bench.sizes.pairs * len(bench.seats), turns=LEARNING_TURNS)
    found = bench.repeat({"with learning": lambda repeat: bench.hold(repeat, sizes, True)})
    dialogues(bench.report, "with learning", found["with learning"])


def curve(bench: Bench) -> None:
    """Dialogues per hour over the number of dialogues that are held in step."""

    def side(count: int) -> Callable[[int], Held]:
        return lambda repeat: bench.hold(repeat, replace(bench.sizes, dialogues=count))

    found = bench.repeat({f"{count} dialogues": side(count) for count in CURVE})
    for name, held in found.items():
        bench.report.add("curve", name, Samples.of(held, lambda one: one.per_hour), "/h")
        bench.report.add("curve", name, Samples.of(held, lambda one: one.writing_speed), "tokens/s")
        bench.report.add("curve", name, Samples.of(held, lambda one: one.judging_speed), "pairs/s")


def turns(bench: Bench) -> None:
    """What a late turn costs against an early one, of seats that do not learn and with equal new tokens."""
    names, sizes = list(bench.seats), bench.sizes

    def once(repeat: int) -> Held:
        table = Table(
            bench.seats, Judge(Random()), bench.opening, LATE, dict.fromkeys(names, 1), sizes.seed + repeat
        )
        talks = work.dialogues(names, sizes.dialogues, sizes.seed + repeat, in_turn=False)
        return engine.hold(table, talks, bench.calls, {}, bench.device)

    found = bench.repeat({"turns": once})["turns"]
    early = Samples.of(found, lambda held: held.turns[EARLY - 1])
    late = Samples.of(found, lambda held: held.turns[LATE - 1])
    for turn, took in ((EARLY, early), (LATE, late)):
        tokens = sum(found[0].calls[turn - 1].read) / sizes.dialogues
        bench.report.add("cost per turn", f"turn {turn}", took, "s", f"after {tokens:.0f} tokens")
    bench.report.add("cost per turn", f"turn {LATE} / turn {EARLY}", late.over(early), "x")


@dataclass(frozen=True)
class Alone:
    """Reading, writing and learning of one agent, each alone."""

    speed: Speed
    learning: float
    """Seconds of a learner's step; 0 without one."""


def alone(agent: Recorded, learner: OnlineDPO | None, sizes: Sizes, repeat: int) -> Alone:
    """Measure one agent, with its adapter if it has one."""
    seed = sizes.seed + repeat
    rows = work.passages(sizes.dialogues, sizes.prompt_tokens, seed)
    speed = engine.speed(engine.asking(agent, rows), len(rows), sizes.new_tokens)
    if learner is None:
        return Alone(speed, 0.0)
    prompts = work.passages(sizes.pairs, sizes.prompt_tokens, seed)
    pairs = engine.pairs(agent, prompts, sizes.new_tokens, seed)
    return Alone(speed, seconds(lambda: learner.step(pairs)))


def speeds(bench: Bench) -> None:
    """Reading, writing and learning alone, and the share of the machine's limit that they reach."""
    bench.attach([bench.seat])
    agent, learner = bench.agent, bench.learners.get(bench.seat)
    found = interleaved(
        {"speeds": lambda repeat: alone(agent, learner, bench.sizes, repeat)},
        bench.sizes.repeats,
        bench.say,
        warm=True,
    )["speeds"]
    part = f"{agent.name}, {bench.sizes.dialogues} rows" + (f", adapter {agent.adapter}" if learner else "")
    show(bench.report, part, found, bench.sizes)
    if bench.limits is not None:
        for name, samples in shares(bench.limits, agent, found, bench.sizes).items():
            bench.report.add(part, f"{name}: share of the machine's limit", samples, "%")


def show(report: Report, part: str, found: list[Alone], sizes: Sizes) -> dict[str, Samples]:
    """Put the speeds of one agent down; they are returned by name."""
    speeds = [one.speed for one in found]
    note = f"{speeds[0].prompt:.0f} tokens each"
    given = {
        "prefill": (Samples.of(speeds, lambda s: s.rows * s.prompt / s.reading), "tokens/s", note),
        "decode": (Samples.of(speeds, lambda s: s.rows / s.step), "tokens/s", ""),
    }
    if found[0].learning:
        rate = Samples.of(found, lambda one: sizes.pairs / one.learning)
        given["learner"] = (rate, "pairs/s", f"{sizes.pairs} pairs, {sizes.new_tokens} new tokens")
    for name, (samples, unit, text) in given.items():
        report.add(part, name, samples, unit, text)
    return {name: samples for name, (samples, _, _) in given.items()}


def shares(limits: Limits, agent: Recorded, found: list[Alone], sizes: Sizes) -> dict[str, Samples]:
    """The share of the machine's limit that prefill, decode and learner reached."""
    need, kind, speeds = Need.of(agent), agent.backbone.precision, [one.speed for one in found]

    def reading(one: Speed) -> float:
        operations = need.reading(one.rows, one.prompt)
        return limits.share(one.reading, operations, need.weight_bytes, kind, one.rows * one.prompt)

    def writing(one: Speed) -> float:
        operations, moved = need.step(one.rows, one.prompt + sizes.new_tokens / 2)
        return limits.share(one.step, operations, moved, kind, one.rows)

    def training(one: Alone) -> float:
        prompt = found[0].speed.prompt
        operations = need.learning(sizes.pairs, prompt, sizes.new_tokens)
        rows = sizes.pairs * (prompt + 2 * sizes.new_tokens)
        return limits.share(one.learning, operations, need.weight_bytes, kind, rows)

    given = {"prefill": Samples.of(speeds, reading), "decode": Samples.of(speeds, writing)}
    return given | ({"learner": Samples.of(found, training)} if found[0].learning else {})


def scaled(samples: Samples, factor: float) -> Samples:
    """Samples in another unit."""
    return Samples(tuple(value * factor for value in samples.values))
