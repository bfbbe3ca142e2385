"""lm-eval's samples as numbers with intervals, checked against what lm-eval itself makes of them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arena.evaluation.findings import Finding
from arena.evaluation.room import BARE
from arena.stats.resampling import Interval
from arena.stats.shares import mean, share

GUESSING = "guessing"
CLOSE = 1e-6
"""How far our mean may be from lm-eval's number."""


@dataclass(frozen=True)
class Sample:
    """One metric of one document."""

    task: str
    """Or the group of tasks that it is counted in."""
    metric: str
    """With the filter behind a comma where there is one: `exact_match,strict-match`."""
    document: str
    values: tuple[float, ...]
    """One; several of a metric that is a mean over parts of documents (IFEval's instructions); or none."""
    guess: float | None = None
    """What guessing one of the choices comes to; None where nothing is chosen."""

    @property
    def id(self) -> str:
        """Task, document and metric."""
        return f"{self.task}.{self.document}.{self.metric}"


def samples_of(results: Mapping[str, Any], tasks: Sequence[str]) -> tuple[list[Sample], set[str]]:
    """The samples of all metrics that are means over documents, and the names of the others.

    Args:
        results: of `lm_eval.simple_evaluate` with its samples.
        tasks: what was asked for: a group that lm-eval gives a number is counted as a whole, else by task.
    """
    groups: Mapping[str, Any] = results.get("groups") or {}
    found: list[Sample] = []
    left: set[str] = set()
    for name in tasks:
        members = sorted(set(_members(name, results.get("group_subtasks", {}))) & results["samples"].keys())
        whole = [name] if name in groups else members
        for shown in whole:
            own = [
                sample
                for task in (members if name in groups else [shown])
                for sample in _samples(shown, task, results)
            ]
            numbers = groups[shown] if name in groups else results["results"][shown]
            for metric in dict.fromkeys(sample.metric for sample in own):
                kept = [sample for sample in own if sample.metric == metric]
                same = _agrees(kept, numbers, metric)
                left |= set() if same else {f"{shown} {metric}"}
                found += kept if same else []
    return found, left


def compare(taken: Mapping[str, Sequence[Sample]]) -> list[Finding]:
    """Each metric of each arm, how much more it is than the arm's above, and what guessing comes to."""
    columns: dict[tuple[str, str], dict[str, dict[str, Sample]]] = {}
    for arm, samples in taken.items():
        for sample in samples:
            columns.setdefault((sample.task, sample.metric), {}).setdefault(arm, {})[sample.document] = sample
    found = []
    for (task, metric), arms in columns.items():
        measure, above = f"{task} {metric}", ""
        for arm, own in arms.items():
            less = _less(own, arms[above]) if above else None
            found.append(Finding(measure, arm, _mean(list(own.values())), above, less))
            above = arm
        guesses = [each.guess for each in next(iter(arms.values())).values()]
        if metric == "acc" and None not in guesses:
            chance = math.fsum(guess for guess in guesses if guess) / len(guesses)
            known = Interval(chance, chance, chance, len(guesses), len(guesses))
            found.append(Finding(measure, GUESSING, known))
    return found


def alarms(findings: Sequence[Finding], cut: Mapping[str, int]) -> dict[str, str]:
    """What speaks against the arms, by name.

    Args:
        findings: all of them.
        cut: by arm, how many prompts were longer than what the model reads.
    """
    found = {
        f"cut_{arm}": f"{count} prompts were longer than what {arm} reads: their beginnings were left out"
        for arm, count in cut.items()
    }
    chance = {each.measure: each.found.value for each in findings if each.arm == GUESSING and each.found}
    for each in findings:
        if each.arm == GUESSING or each.found is None:
            continue
        name = each.measure.replace(" ", "_")
        if each.measure in chance and each.found.low <= chance[each.measure]:
            found[f"guesses_{name}_{each.arm}"] = (
                f"{each.arm} is not told from guessing in {each.measure}: {each.found.value:.3f} "
                f"({each.found.low:.3f} to {each.found.high:.3f}), guessing {chance[each.measure]:.3f}"
            )
        if each.against == BARE and each.difference and each.difference.sign < 0:
            found[f"forgot_{name}"] = (
                f"training has cost {-each.difference.value:.3f} of {each.measure} "
                f"({-each.difference.high:.3f} to {-each.difference.low:.3f})"
            )
    return found


def _members(name: str, subtasks: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The tasks of a group, of its groups too; a task alone is its own."""
    if not subtasks.get(name):
        yield name
    for inner in subtasks.get(name, ()):
        yield from _members(inner, subtasks)


def _samples(shown: str, task: str, results: Mapping[str, Any]) -> Iterator[Sample]:
    chosen = results["configs"].get(task, {}).get("output_type") == "multiple_choice"
    for row in results["samples"][task]:
        guess = 1 / len(row["arguments"]) if chosen and row["arguments"] else None
        for name in row["metrics"]:
            values = _values(row[name])
            metric = name if row["filter"] == "none" else f"{name},{row['filter']}"
            yield Sample(shown, metric, f"{task}-{row['doc_id']}", values, guess)


def _values(value: Any) -> tuple[float, ...]:
    """The finite numbers that a sample's metric is made of; nothing where it is made of something else."""
    parts = value if isinstance(value, list) else [value]
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def _agrees(samples: Sequence[Sample], numbers: Mapping[str, Any], metric: str) -> bool:
    """Whether all have numbers, and their mean is the one that lm-eval gives."""
    name, _, filtered = metric.partition(",")
    given = numbers.get(f"{name},{filtered or 'none'}")
    values = [value for sample in samples for value in sample.values]
    if not all(sample.values for sample in samples):
        return False
    return isinstance(given, int | float) and abs(math.fsum(values) / len(values) - given) < CLOSE


def _mean(samples: Sequence[Sample]) -> Interval | None:
    """The mean over documents; hits and misses are a share, all else is on a scale of unknown ends."""
    values = [(value, sample.document) for sample in samples for value in sample.values]
    numbers, documents = [value for value, _ in values], [document for _, document in values]
    return share(numbers, documents) if _hits(samples) else mean(numbers, documents)


def _hits(samples: Iterable[Sample]) -> bool:
    """Whether all values are 0 or 1."""
    return {value for sample in samples for value in sample.values} <= {0.0, 1.0}


def _less(own: Mapping[str, Sample], above: Mapping[str, Sample]) -> Interval | None:
    """How much more the documents that both have answered come to, paired."""
    pairs = [
        (one - other, document)
        for document in own.keys() & above.keys()
        if len(own[document].values) == len(above[document].values)
        for one, other in zip(own[document].values, above[document].values, strict=True)
    ]
    pairs.sort(key=lambda pair: pair[1])
    most = 1.0 if _hits([*own.values(), *above.values()]) else math.inf
    return mean([value for value, _ in pairs], [document for _, document in pairs], -most, most)
