"""What is measured of a run: columns of values by their places."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from agents.errors import ConfigError
from arena.comparing.recorded import PERFORMANCE, Draft, Place, Recorded
from arena.evaluation.diversity import ngrams, words
from arena.evaluation.match.play import OUTCOMES
from arena.feedback.collect_report import DECIDED
from arena.records import Row
from arena.spelling import did_you_mean
from rewards.scores import SCALE

Grams = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class Measure:
    """One thing that is measured."""

    name: str
    per: str
    """What has a value: `draft`, `turn`, `performance`, `comparison`; `update` of a learner.

    Ties and abstentions of a match are of its comparisons.
    """
    digits: int = 3
    label: str = ""
    """What it is called; default: its name."""
    share: bool = False
    """Whether it is a share, in [0, 1]."""

    def __str__(self) -> str:
        """What it is called."""
        return self.label or self.name


MEASURES = {
    each.name: each
    for each in (
        Measure("reward", "draft"),
        Measure("rating", "draft", 2),
        Measure("cosine", "draft"),
        Measure("control", "draft", label="cosine - shuffled"),
        Measure("echo", "draft", share=True),
        Measure("words", "draft", 1),
        Measure("tokens", "draft", 1),
        Measure("truncated", "draft", share=True),
        Measure("distinct-2", "draft", share=True),
        Measure("abstained", "draft", share=True),
        Measure("pairs", "turn", share=True),
        Measure("ties", "turn", share=True),
        Measure("flips", "comparison", share=True),
        Measure("win-rate", "comparison", share=True),
        Measure(PERFORMANCE, "performance", 2, "performance rating"),
        Measure("loss", "update", 4),
        Measure("margin", "update", 4),
        Measure("accuracy", "update"),
        Measure("kl", "update", 4, "KL per token"),
        Measure("score", "update"),
    )
}
"""By name, in the order in which they are shown."""
UPDATES = [name for name, each in MEASURES.items() if each.per == "update"]

Key = tuple[str, str]
"""Name of the measure, and of what part of the run: a seat, a judge, an arm."""


@dataclass(frozen=True)
class Judged:
    """Who judged, as a verdict says."""

    zeta: float
    model: str


@dataclass(frozen=True)
class Column:
    """The values of a measure."""

    measure: Measure
    part: str = ""
    values: dict[Place, float] = field(default_factory=dict)
    scales: dict[Place, str] = field(default_factory=dict)
    """Of rewards: only values of one scale are compared."""
    judges: dict[Place, Judged] = field(default_factory=dict)
    """Of what verdicts tell: who gave them."""
    grams: dict[Place, Grams] = field(default_factory=dict)
    """Of distinct-2, instead of values: pairs of words."""

    @property
    def places(self) -> Iterable[Place]:
        """Where there are values."""
        return self.grams or self.values

    @property
    def label(self) -> str:
        """The measure and its part."""
        return f"{self.measure} ({self.part})" if self.part else str(self.measure)


Columns = dict[Key, Column]


class _Making:
    """Columns that grow."""

    def __init__(self) -> None:
        self.columns: Columns = {}

    def column(self, name: str, part: str) -> Column:
        """The column of a measure, made where it is not there yet."""
        return self.columns.setdefault((name, part), Column(MEASURES[name], part))

    def add(self, name: str, part: str, place: Place | None, value: float) -> None:
        """Add a value; what has no place cannot be compared."""
        if place is not None:
            self.column(name, part).values[place] = float(value)

    def judged(self, name: str, part: str, place: Place | None, value: float, row: Row) -> None:
        """Add a value that a verdict tells."""
        if place is not None:
            column = self.column(name, part)
            column.values[place] = float(value)
            column.judges[place] = Judged(row["zeta"], row["judge_model"])
            if name == "reward":
                column.scales[place] = row["scale"]


def named(names: str) -> list[str]:
    """The measures in a list with commas; all for an empty one.

    Raises:
        ConfigError: one is not known.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in MEASURES:
            raise ConfigError(
                f"--metrics: {name!r} is not measured{did_you_mean(name, MEASURES) or ';'} "
                f"there is {', '.join(MEASURES)}"
            )
    return [name for name in MEASURES if name in wanted or not wanted]


def columns(run: Recorded) -> Columns:
    """All columns for which the run has rows."""
    made = _Making()
    for draft in run.drafts.values():
        _written(made, draft)
    for row in run.rows("verdicts"):
        _judged(made, run, row)
    abouts = {name for name, _ in _abouts(run)}
    for row in run.rows("failures"):
        about, judge = run.about(row["of"])
        if about and row["about"] in abouts:
            made.add("abstained", _part(judge, about.arm), about.place, 1.0)
    for row in run.rows("exchanges"):
        if row["drafts"] > 1:
            turn = int(row["id"].rpartition(".")[2])
            place = run.place(row["dialogue"], turn=turn, speaker=row["speaker"])
            made.add("pairs", "", place, row["outcome"] == "pair")
            made.add("ties", "", place, row["outcome"] == "tie")
    for row in run.rows("feedback"):
        if row["kind"] in ("preference", "comparison") and row["status"] in DECIDED:
            place = run.place(
                row["dialogue"], kind=row["kind"], draft=row["id"].replace(f"{row['dialogue']}.", "")
            )
            made.add("flips", "", place, row["status"] == "flipped")
    for row in run.rows("matches"):
        _matched(made, run, row)
    for row in run.rows("metrics"):
        for name in UPDATES:
            if name in row:
                place = Place("", run.seed, row["step"], speaker=row["speaker"])
                made.add(name, row["speaker"], place, row[name])
    return made.columns


def _written(made: _Making, draft: Draft) -> None:
    """What a text tells by itself."""
    said = words(draft.content)
    numbers = {"words": len(said), "tokens": draft.tokens, "truncated": draft.truncated}
    for name, value in numbers.items():
        made.add(name, draft.arm, draft.place, value)
    made.column("distinct-2", draft.arm).grams[draft.place] = ngrams(said, 2)


def _abouts(run: Recorded) -> Iterator[tuple[str, str]]:
    """What failures of judges are about, and the judge's name in an evaluation."""
    yield "draft", ""
    for row in run.rows("verdicts"):
        if row["about"] != PERFORMANCE:
            yield row["about"], run.about(row["id"])[1]


def _judged(made: _Making, run: Recorded, row: Row) -> None:
    """What a verdict tells."""
    rated = row["scale"] != SCALE
    if row["about"] == PERFORMANCE:
        if rated:
            seat = row["id"].partition(".")[2]
            place = run.place(row["dialogue"], kind=PERFORMANCE, speaker=seat)
            made.judged(PERFORMANCE, "", place, row["rating"], row)
        return
    draft, judge = run.about(row["id"])
    if draft is None:
        return
    part = _part(judge, draft.arm)
    made.add("abstained", part, draft.place, 0.0)
    numbers = {"reward": row["reward"]}
    if rated:
        numbers["rating"] = row["rating"]
    if row["wim_status"] == "ok":
        numbers |= {"cosine": row["cosine"], "echo": row["echo"]}
        if row["controls"]:
            numbers["control"] = row["cosine"] - row["cosine_shuffled"]
    for name, value in numbers.items():
        made.judged(name, part, draft.place, value, row)


def _matched(made: _Making, run: Recorded, row: Row) -> None:
    """What a comparison of two contestants tells: of the first one by the alphabet, on whichever side."""
    a, b = run.call(row["a"]), run.call(row["b"])
    part = " : ".join(sorted((a, b)))
    place = run.place(row["dialogue"], turn=row["turn"], kind="comparison", speaker=part)
    status = row["status"]
    decided = status in OUTCOMES.values()
    made.add("abstained", part, place, not decided)
    if decided:
        won = {"a": 1.0, "b": 0.0}.get(status, 0.5)
        judge = {"zeta": 0.0, "judge_model": row["judge"]}
        made.judged("win-rate", part, place, won if a < b else 1 - won, judge)
        made.add("ties", part, place, status == "tie")
        made.add("flips", part, place, status == "flipped")


def _part(judge: str, arm: str) -> str:
    return ", ".join(filter(None, (judge, arm)))


def joined(several: Iterable[Mapping[Key, Column]]) -> Columns:
    """The columns of runs of other seeds as one."""
    whole: Columns = {}
    for each in several:
        for key, column in each.items():
            into = whole.setdefault(key, Column(column.measure, column.part))
            into.values.update(column.values)
            into.scales.update(column.scales)
            into.judges.update(column.judges)
            into.grams.update(column.grams)
    return whole
