"""The verdict on a judge: what it is, what it was measured on, what came out; a file that training reads.

Two judges are the same judge if their ratings are: by the rater and its settings, the words of its rubrics,
the weights in their precision, and the tie margin. What is missing, how it is embedded, and the
normalisation count only where zeta is above 0. Not looked at: which seat judges, whether it moves, which
truncated drafts make pairs, and the gate itself.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.base import Agent
from agents.errors import ConfigError
from arena.rundir import replace_text
from arena.runs import read_json
from arena.stats.resampling import Interval
from rewards.rubric import Rubric

if TYPE_CHECKING:
    from rewards.judge import Judge

FILE = "verdict.json"
SCHEMA = "arena.judge/2"
POINTWISE, PAIRWISE = "pointwise", "pairwise"
MIXED = ("zeta", "wim", "normalisation", "cosine")
"""Settings of a judge that make it another one where zeta is above 0."""
APART = ("agent", "moving", "pair_truncated", "gate", "calibration")
"""Settings that never do."""
RUBRICS = ("rubric", "text_rubric")


@dataclass(frozen=True)
class Measured:
    """What measuring a judge came to."""

    judge: str
    """Its name, in words."""
    way: str
    """`pointwise` or `pairwise`."""
    identity: Mapping[str, Any]
    """What makes it this judge."""
    sets: Mapping[str, int]
    """What it was measured on, and how many pairs or rated answers of each."""
    agreement: Interval | None
    """With people, on all pairs that they decide: where it prefers neither or abstains, it counts half. None
    where no pair was judged."""
    longer: Interval | None
    """The agreement of the judge that takes the longer answer, on the same pairs."""
    less_longer: Interval | None
    """The difference of the two, paired."""
    less_longer_tied: Interval | None
    """The same where the longer answer is taken for a tie whenever this judge prefers neither or abstains."""
    abstained: float
    """The share of all pairs, or of all rated answers, on which the judge gave no verdict."""
    made: str
    """When, in UTC."""
    results: Sequence[Mapping[str, Any]] = field(default_factory=list)
    """All findings, as in results.json, of attacks and omissions too where they were measured."""

    @property
    def better(self) -> bool | None:
        """Whether it agrees more with people than the longer answer does; None where that is not shown.

        It has to be shown in both ways of taking ties: by `less_longer` alone, a judge of length may gain by
        its margin; by `less_longer_tied` alone, any judge may, by silence where the longer answer is right.
        """
        less, tied = self.less_longer, self.less_longer_tied
        if less is None or tied is None or not (less.known and tied.known) or not less.sign:
            return None
        return False if less.sign < 0 else True if tied.sign > 0 else None

    @property
    def numbers(self) -> str:
        """On what it was measured, agreement, what the longer answer comes to, the difference, in words."""
        own, less, tied = self.agreement, self.less_longer, self.less_longer_tied
        if own is None or self.longer is None or less is None or tied is None:
            return "no pairs that people decide were judged"
        sets = ", ".join(f"{name} {count}" for name, count in self.sets.items())
        silent = f"; it abstained on {self.abstained:.1%}, which counts half" if self.abstained else ""
        same = (
            ""
            if tied == less
            else f"; if the longer answer ties where it does, {tied.value:+.1%}, {_ends(tied)}"
        )
        return (
            f"agrees with people on {own.value:.1%} of {own.n} pairs ({_ends(own, '')}; {sets}), the longer "
            f"answer on {self.longer.value:.1%}: difference {less.value:+.1%}, {_ends(less)}{same}{silent}"
        )

    @property
    def statement(self) -> str:
        """Whether it is better than the judge that takes the longer answer, in a sentence."""
        said = {True: "yes", False: "no", None: "not shown"}[self.better]
        return f"better than the longest-answer judge: {said} ({self.numbers})"

    def write(self, folder: Path) -> Path:
        """Leave it in a folder."""
        row = {
            "schema": SCHEMA,
            "digest": digest(self.identity),
            **{name: value for name, value in asdict(self).items() if name not in INTERVALS},
            **{name: found.numbers() if (found := getattr(self, name)) else None for name in INTERVALS},
            "better_than_longer": self.better,
        }
        path = folder / FILE
        replace_text(path, json.dumps(row, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        return path


INTERVALS = ("agreement", "longer", "less_longer", "less_longer_tied")


def _ends(interval: Interval, sign: str = "+") -> str:
    if not interval.known:
        return "of unknown precision"
    return f"95 % interval {interval.low:{sign}.1%} to {interval.high:{sign}.1%}"


def read(path: Path) -> Measured:
    """What a verdict file says; `path` is the file or its folder.

    Raises:
        ConfigError: there is no such file, or it is no verdict on a judge.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(
            f"no verdict on a judge at {str(file)!r}: python -m arena.judge makes one, in its run folder"
        )
    row = read_json(file)
    if row.get("schema") != SCHEMA:
        raise ConfigError(
            f"{file} is no verdict on a judge that can be read: its schema is {row.get('schema')!r}, not "
            f"{SCHEMA}; remove its folder, and measure the judge again by python -m arena.judge"
        )
    try:
        values = {each.name: row[each.name] for each in fields(Measured)}
        return Measured(**(values | {name: _interval(row[name]) for name in INTERVALS}))
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{file} is not whole ({error!r}): measure the judge again") from error


def _interval(row: Mapping[str, Any] | None) -> Interval | None:
    if row is None:
        return None
    low, high = (float("-inf") if row["low"] is None else row["low"]), row["high"]
    return Interval(row["value"], low, float("inf") if high is None else high, row["n"], row["clusters"])


def below(runs: Path, identity: Mapping[str, Any]) -> tuple[Path, Measured] | None:
    """The newest verdict on this judge in the folders `judge-*` of `runs`, with its file.

    One that compares it with people goes before one of attacks and omissions alone.
    """
    found = [(path, read(path)) for path in sorted(runs.glob(f"judge-*/**/{FILE}"))]
    own = [(path, one) for path, one in found if digest(one.identity) == digest(identity)]
    return max(own, key=lambda pair: (pair[1].agreement is not None, pair[1].made), default=None)


def identity(way: str, settings: Mapping[str, Any], agent: Agent | None) -> dict[str, Any]:
    """What makes a judge this one, see above.

    Args:
        way: `pointwise` or `pairwise`.
        settings: of the judge, or of the comparison, as the conf has them.
        agent: whose words or weights are asked; None for a rule that asks nobody.
    """
    from arena import job

    apart = APART if settings.get("zeta") else (*APART, *MIXED)
    told = {name: value for name, value in settings.items() if name not in apart}
    weights = {} if agent is None else {"agent": agent.name, **job.identity([agent], None)}
    return {"way": way, "settings": _with_words(told), "weights": weights}


def judge_identity(settings: Mapping[str, Any], judge: "Judge", agent: Agent) -> dict[str, Any]:
    """The identity of a judge that rates each answer alone; `agent` judges where it has none of its own."""
    asks = judge.asks or judge.agent is not None
    return identity(POINTWISE, settings, (judge.agent or agent) if asks else None)


def _with_words(value: Any) -> Any:
    """Settings in which a rubric stands with a digest of its words: a name may come to mean others."""
    if not isinstance(value, Mapping):
        return value
    found = {}
    for name, each in value.items():
        found[str(name)] = _with_words(each)
        if name in RUBRICS and isinstance(each, str):
            found[f"{name} words"] = _short(repr(Rubric.load(each)))
    return found


def digest(identity: Mapping[str, Any]) -> str:
    """Equal for equal identities."""
    return _short(json.dumps(identity, sort_keys=True))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What differs between two identities, in words."""
    flat = [dict(_flat(each)) for each in (one, other)]
    return "; ".join(
        f"{key}: {flat[0].get(key, 'not set')!r}, not {flat[1].get(key, 'not set')!r}"
        for key in sorted({*flat[0], *flat[1]})
        if flat[0].get(key) != flat[1].get(key)
    )


def _flat(value: Mapping[str, Any], prefix: str = "") -> Sequence[tuple[str, Any]]:
    return [
        pair
        for name, each in value.items()
        for pair in (
            _flat(each, f"{prefix}{name}.") if isinstance(each, Mapping) else [(f"{prefix}{name}", each)]
        )
    ]
