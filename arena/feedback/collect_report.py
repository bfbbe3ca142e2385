"""The README.md of a collection: what was asked for and what came of it, and what the pairs would teach."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import isfinite, isnan, nan
from pathlib import Path
from statistics import fmean

import numpy as np

from arena.feedback.lengths import LengthBias, length_bias
from arena.report import Row, Tables, card, failures, interval, pictures, share, table
from arena.stats.agreement import rank_correlation

NOT_ASKED = "not_asked"
"""Status of feedback that nobody was asked for, as the answer was cut at the token limit."""
CUT = ANSWER_CUT, REWRITE_CUT = "answer cut", "rewrite cut"
OUTCOMES = ("pair", "tie", "flipped", "equal", "empty", "meta", *CUT, "no_reply", "abstained")
DECIDED = ("about", "other", "tie", "flipped")
"""Statuses of a comparison whose both orders could be read."""
NO_GROUP = "no group"
BINS = 10
BARS = 60
"""Characters that the bars of one line share."""
STRONG = 0.5
"""Rank correlation with length above which difficulty is said to go with it."""

MEANING = (
    "Difficulty is the mean negative log-likelihood of a student's own answer, in nats per token: how unsure",
    "the model was of its words. It does not say how hard the problem is for people, nor whether the answer",
    "is right, and numbers of different models are not on one scale.",
    "",
)

YIELD = (
    "A row is an answer, or with `preference` two answers that are compared. Asked: all rows but those whose",
    "answer was cut at the token limit. Yield: pairs of those asked. A rewrite counts as better because it",
    "is one, nobody checks it: yield is not quality.",
    "",
)


def collect_report(tables: Tables, conf: str, plots: Sequence[Path] = ()) -> str:
    """Markdown with a data set card in front.

    Args:
        tables: rows by name, as in the run folder; `train` and `valid` are the pairs after the split.
        conf: the conf's name, the title.
        plots: pictures that lie beside the report.
    """
    names = ("problems", "feedback", "preferences", "failures")
    problems, feedback, preferences, failed = (tables.get(name, ()) for name in names)
    lines = [
        *card([name for name, rows in tables.items() if rows]),
        f"# {conf}",
        "",
        f"{len(problems)} problems, {len(tables.get('difficulties', ()))} answers with a difficulty, "
        f"{len(feedback)} feedbacks, {len(preferences)} pairs, {len(failed)} failures.",
        "",
        *_outcomes(problems, feedback),
        *_tasks(problems),
        *_difficulty(problems, tables.get("difficulties", ())),
        *_comparisons(feedback),
        *_lengths(tables),
        *_split(tables),
        *pictures(plots),
        *failures(failed),
    ]
    return "\n".join(lines)


def by_kind(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows under their kind, in the order of first sight."""
    kinds = dict.fromkeys(row["kind"] for row in rows)
    return {kind: [row for row in rows if row["kind"] == kind] for kind in kinds}


def grouped(problems: Sequence[Row]) -> list[Row]:
    """The problems that have a group, and so a difficulty."""
    return [row for row in problems if row["group"]]


def group_names(problems: Sequence[Row]) -> list[str]:
    """The groups, from the easiest to the hardest by their mean difficulty (nats per token)."""
    levels: dict[str, list[float]] = {}
    for row in grouped(problems):
        levels.setdefault(row["group"], []).append(row["difficulty"])
    return sorted(levels, key=lambda group: fmean(levels[group]))


def _outcomes(problems: Sequence[Row], feedback: Sequence[Row]) -> list[str]:
    """Group by kind: how many problems and feedbacks, what came of them, and the share that became a pair."""
    if not feedback:
        return []
    group_of, order = _groups(problems)
    asked_of = ((group_of[row["dialogue"]], kind) for row in problems for kind in row["kinds"].split())
    problems_of = Counter(asked_of)
    counts: dict[tuple[str, str], Counter[str]] = {key: Counter() for key in problems_of}
    for row in feedback:
        key = group_of.get(row["dialogue"], NO_GROUP), row["kind"]
        counts.setdefault(key, Counter())[_came_of(row)] += 1
    columns = [*OUTCOMES, *sorted({outcome for count in counts.values() for outcome in count} - {*OUTCOMES})]
    cells = [
        (group, kind, problems_of[group, kind], found.total(), *_outcome_cells(found, columns))
        for group in order
        for (of, kind), found in sorted(counts.items())
        if of == group
    ]
    head = ["group", "kind", "problems", "rows", "asked", *columns, "yield (95 %)"]
    return [*table([column.replace("_", " ") for column in head], cells), *YIELD]


def _came_of(row: Row) -> str:
    """What came of a feedback; a text that was cut is the answer that it is about, or the rewrite."""
    if row["status"] == NOT_ASKED:
        return ANSWER_CUT
    return REWRITE_CUT if row["outcome"] == "truncated" else str(row["outcome"])


def _outcome_cells(found: Counter[str], columns: Sequence[str]) -> tuple[object, ...]:
    asked = found.total() - found[ANSWER_CUT]
    return asked, *(found[column] for column in columns), share(found["pair"], asked)


def _tasks(problems: Sequence[Row]) -> list[str]:
    """Problems by group and task, and what that means where groups get different kinds of feedback."""
    if not problems:
        return []
    group_of, order = _groups(problems)
    tasks = sorted({row["task"] for row in problems})
    counts = Counter((group_of[row["dialogue"]], row["task"]) for row in problems)
    groups = [group for group in order if group in group_of.values()]
    cells = [(group, *(counts[group, task] for task in tasks)) for group in groups]
    lines = table(["problems of group", *tasks], cells)
    if len({row["kinds"] for row in grouped(problems)}) > 1:
        lines += [
            "Groups differ in task, not only in difficulty, and in the kind of feedback: yields by kind are",
            "not a comparison of kinds, unless groups are drawn by chance (by=chance) or each gets every",
            "kind (assignment=all).",
            "",
        ]
    return lines


def _groups(problems: Sequence[Row]) -> tuple[dict[str, str], list[str]]:
    """The group of each problem, and all groups in order; last what stands for problems without one."""
    group_of = {row["dialogue"]: row["group"] or NO_GROUP for row in problems}
    return group_of, [*group_names(problems), NO_GROUP]


def _difficulty(problems: Sequence[Row], difficulties: Sequence[Row]) -> list[str]:
    """What difficulty means, its histogram by seat and group, and what it goes with."""
    if not difficulties:
        return []
    group_of, groups = _groups(problems)
    edges = np.histogram_bin_edges([row["nll"] for row in difficulties], BINS)
    lines, cells = ["## Difficulty", "", *MEANING], []
    for seat, rows in _by_seat(difficulties).items():
        values: dict[str, list[float]] = {group: [] for group in groups}
        for row in rows:
            values[group_of.get(row["dialogue"], NO_GROUP)].append(row["nll"])
        values = {group: own for group, own in values.items() if own}
        cells += [
            (seat, group, interval(own, 3), f"{min(own):.3f} to {max(own):.3f}", len(own))
            for group, own in values.items()
        ]
        lines += [f"Answers of {seat} by group:", "", "```", *_bars(values, edges), "```", ""]
    lines += table(["seat", "group", "nats/token, mean ± 95 %", "range", "answers"], cells)
    return [*lines, *_correlations(difficulties)]


def _by_seat(rows: Sequence[Row]) -> dict[str, list[Row]]:
    return {
        seat: [row for row in rows if row["speaker"] == seat]
        for seat in dict.fromkeys(row["speaker"] for row in rows)
    }


def _bars(values: Mapping[str, Sequence[float]], edges: np.ndarray) -> Iterator[str]:
    """A line for each bin; groups side by side, one length of bar for all of them."""
    counts = {group: np.histogram(own, edges)[0] for group, own in values.items()}
    width = max(8, BARS // max(1, len(counts)))
    most = max((int(count.max()) for count in counts.values()), default=0) or 1
    yield f"{'nats/token':<14}" + "".join(f"{group:<{width + 2}}" for group in counts).rstrip()
    for bin, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        bars = [_bar(int(count[bin]), most, width) for count in counts.values()]
        yield f"{f'{low:.2f} to {high:.2f}':<14}{''.join(bars)}".rstrip()


def _bar(count: int, most: int, width: int) -> str:
    """A count as a bar and a number, never a bar of nothing for something."""
    full = width - len(f" {most}")
    bar = "█" * -(-count * full // most) + f" {count}" if count else ""
    return f"{bar:<{width + 2}}"


def _correlations(difficulties: Sequence[Row]) -> list[str]:
    """Rank correlations of difficulty between seats, and of difficulty with length."""
    seats, cells, warnings = _by_seat(difficulties), [], []
    level = {seat: _means(rows) for seat, rows in seats.items()}
    for one, other in combinations(seats, 2):
        both = [problem for problem in level[one] if problem in level[other]]
        found = _spearman([level[one][p] for p in both], [level[other][p] for p in both])
        cells.append((f"{one} with {other}", _rho(found), len(both)))
    for seat, rows in seats.items():
        found = _spearman([row["nll"] for row in rows], [row["tokens"] for row in rows])
        cells.append((f"{seat} with the tokens of its answer", _rho(found), len(rows)))
        if found is not None and abs(found) > STRONG:
            warnings += [_is_length(seat, found), ""]
    return [*table(["difficulty of", "Spearman's ρ", "n"], cells), *warnings]


def _means(rows: Sequence[Row]) -> dict[str, float]:
    """The mean difficulty of each problem's answers."""
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row["dialogue"], []).append(row["nll"])
    return {problem: fmean(own) for problem, own in values.items()}


def _spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """The rank correlation; None with fewer than three pairs, or where one side is always the same."""
    found = rank_correlation(one, other) if len(one) > 2 else nan
    return None if isnan(found) else found


def _rho(found: float | None) -> str:
    return "not defined" if found is None else f"{found:+.2f}"


def _is_length(seat: str, rho: float) -> str:
    which = "longer" if rho > 0 else "shorter"
    return (
        f"**Warning**: {which} answers of {seat} count as harder (ρ = {rho:+.2f}): the groups differ in "
        "length too."
    )


def _comparisons(feedback: Sequence[Row]) -> list[str]:
    """Ties, and verdicts that the order of the answers turned round, of what a judge was asked."""
    cells = []
    for kind in ("preference", "comparison"):
        asked = [row for row in feedback if row["kind"] == kind and row["status"] != NOT_ASKED]
        statuses = Counter(row["status"] for row in asked)
        n = sum(statuses[status] for status in DECIDED)
        if statuses:
            rates = (share(statuses["flipped"], n), share(statuses["tie"], n))
            cells.append((kind, statuses.total(), statuses.total() - n, *rates, n))
    if not cells:
        return []
    head = ["kind", "compared", "abstained", "flipped with the order (95 %)", "ties (95 %)", "n"]
    return ["## Comparisons in both orders", "", *table(head, cells)]


def _lengths(tables: Tables) -> list[str]:
    """Of all pairs, and of those that the split kept where it left some out."""
    pairs, kept = tables.get("preferences", ()), _kept(tables)
    if not pairs:
        return []
    kinds = {kind: length_bias(rows) for kind, rows in by_kind(pairs).items()}
    if len(kept) < len(pairs):
        kinds |= {f"{kind}, kept": length_bias(rows) for kind, rows in by_kind(kept).items()}
    head = ["kind", "pairs", "words chosen", "words rejected", "ratio (95 %)", "chosen is longer (95 %)"]
    return [
        "## Length of the pairs",
        "",
        "A ratio above 1 teaches length besides what was meant to be taught.",
        "",
        *table(head, [(kind, *_length_cells(bias)) for kind, bias in kinds.items()]),
    ]


def _kept(tables: Tables) -> list[Row]:
    return [*tables.get("train", ()), *tables.get("valid", ())]


def _length_cells(bias: LengthBias) -> tuple[object, ...]:
    low, high = bias.interval
    known = f"({low:.2f} to {high:.2f})" if isfinite(high) else "of one problem"
    ratio = f"{bias.ratio:.2f} {known}"
    longer = share(round(bias.longer * bias.pairs), bias.pairs)
    return bias.pairs, f"{bias.chosen:.1f}", f"{bias.rejected:.1f}", ratio, longer


def _split(tables: Tables) -> list[str]:
    """How many pairs of each kind are learned from, held out, and left out for their length."""
    if not _kept(tables):
        return []
    pairs, train, valid = (by_kind(tables.get(name, ())) for name in ("preferences", "train", "valid"))
    cells = []
    for kind, rows in pairs.items():
        sides = [len(side.get(kind, ())) for side in (train, valid)]
        cells.append((kind, *sides, len(rows) - sum(sides)))
    about = "No problem is on both sides; pairs are only left out to balance lengths."
    return ["## Split", "", about, "", *table(["kind", "train", "valid", "left out"], cells)]
