"""The README.md of a revision run: how chains went on and ended, and what the revisions were worth."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import compress
from math import isinf
from pathlib import Path
from typing import TypeVar

from arena.feedback.chain import UNCLEAR
from arena.feedback.collect_report import DECIDED, by_kind
from arena.feedback.lengths import NEAR, about_equal, equal_length, log_ratio
from arena.feedback.versions import (
    Rated,
    Recorded,
    by_revisions,
    by_seat,
    cut,
    ended_by,
    feedback_on,
    recorded,
)
from arena.report import Row, Tables, card, failures, interval, pictures, share, table
from arena.stats.intervals import Estimate, clustered_mean

T = TypeVar("T")

CLOSE, FEW = "without a clear best", "with fewer than two last answers that are whole and rated"
CLEAR = ("needed", "not_needed")
VERDICTS = (*CLEAR, *UNCLEAR)
"""Statuses of a verdict on whether a revision is needed."""

MEANING = (
    "The ratings are one model's opinion. A weak judge rewards length and its own style, and may rate a",
    "revision higher for being one: trust a gain that stands at equal length and in comparisons of both",
    "orders, and measure the judge against people's labels with `python -m arena.judge`.",
    "",
)


def revise_report(tables: Tables, conf: str, minimum: int = 0, plots: Sequence[Path] = ()) -> str:
    """Markdown with a data set card in front.

    Args:
        tables: rows by name, as in the run folder.
        conf: the conf's name, the title.
        minimum: the number of revisions that the run required of every chain.
        plots: pictures that lie beside the report.
    """
    names = ("feedback", "preferences", "examples", "failures")
    feedback, preferences, examples, failed = (tables.get(name, ()) for name in names)
    found, short = recorded(tables), cut(tables)
    lines = [
        *card([name for name, rows in tables.items() if rows]),
        f"# {conf}",
        "",
        f"{len({chain.dialogue for chain in found})} questions, {len(found)} chains, "
        f"{sum(chain.revisions for chain in found)} revisions, {len(preferences)} pairs, "
        f"{len(examples)} examples, {len(failed)} failures.",
        "",
        *_courses(found, feedback, minimum),
        *_verdicts(found, feedback),
        *_ratings(found, short),
        *_changes(found),
        *_comparisons(found, feedback),
        *_yields(preferences, examples, _without(found, feedback, examples, short)),
        *pictures(plots),
        *failures(failed),
    ]
    return "\n".join(lines)


def _courses(found: Sequence[Recorded], feedback: Sequence[Row], minimum: int) -> list[str]:
    """How many revisions chains have, and how they ended."""
    if not found:
        return []
    counts = Counter(chain.revisions for chain in found)
    ends = Counter(map(ended_by, feedback_on(found, feedback)))
    lines = table(["revisions", "chains"], sorted(counts.items()))
    lines += table(["ended by", "chains"], ends.most_common())
    if minimum:
        reached = sum(chain.revisions >= minimum for chain in found)
        lines += [f"Revised as often as required, {minimum} or more: {reached} of {len(found)} chains.", ""]
    return ["## Chains", "", *lines]


def _verdicts(found: Sequence[Recorded], feedback: Sequence[Row]) -> list[str]:
    """Verdicts on whether a revision is needed, by the number of revisions before them."""
    rounds: dict[int | str, Counter[str]] = {}
    for revisions, row in (pair for rows in feedback_on(found, feedback) for pair in rows):
        if row["status"] in VERDICTS:
            for key in (revisions, "all"):
                said = rounds.setdefault(key, Counter())
                said[row["status"]] += 1
                said["overruled"] += row["overruled"]
    if not rounds:
        return []
    cells = [
        (key, *(said[column] for column in (*VERDICTS, "overruled")), _not_needed(said))
        for key, said in sorted(rounds.items(), key=lambda item: (item[0] == "all", item[0]))
    ]
    head = ["after revisions", *VERDICTS, "overruled", "not needed (95 %)"]
    return [
        "## Is a revision needed?",
        "",
        "Overruled: no revision was said to be needed before the required number of them was reached.",
        "The share leaves out what is not clear.",
        "",
        *table([column.replace("_", " ") for column in head], cells),
    ]


def _not_needed(said: Counter[str]) -> str:
    return share(said["not_needed"], sum(said[status] for status in CLEAR))


def _ratings(found: Sequence[Recorded], short: Collection[str]) -> list[str]:
    """Rating and words by the number of revisions; `short` are the turns that were cut."""
    if not found:
        return []
    cells = [
        (seat, revisions, *_rating_cells(versions, short))
        for seat, own in _with_all(by_seat(found)).items()
        for revisions, versions in enumerate(by_revisions(own))
    ]
    head = ["seat", "revisions", "rating, mean ± 95 %", "n", "words, mean ± 95 %", "n", "cut at the limit"]
    return [
        "## Ratings",
        "",
        *MEANING,
        "Answers that were revised more often are other answers, so do not read down a column: first and",
        "last versions of the same answers are below. Intervals of all seats are clustered by question.",
        "",
        *table(head, cells),
    ]


def _with_all(seats: Mapping[str, Sequence[T]]) -> Mapping[str, Sequence[T]]:
    """What several seats have together, and then each."""
    return seats if len(seats) < 2 else {"all": [one for own in seats.values() for one in own], **seats}


def _rating_cells(versions: Sequence[Rated], short: Collection[str]) -> tuple[object, ...]:
    rating, words = _means(versions)
    rated = sum(each.rating is not None for each in versions)
    return rating, rated, words, len(versions), sum(each.id in short for each in versions)


def _means(versions: Sequence[Rated]) -> tuple[str, str]:
    """Mean rating and mean words of one version or more."""
    ratings = {each.id: each.rating for each in versions if each.rating is not None}
    words = {each.id: float(each.words) for each in versions}
    return _mean(ratings, 2) if ratings else "not rated", _mean(words, 1)


def _mean(values: Mapping[str, float], digits: int) -> str:
    """Mean and 95 % of values by the id of their turn, clustered where a question has several."""
    own, questions = list(values.values()), [id.partition(".")[0] for id in values]
    if len(set(questions)) == len(own):
        return interval(own, digits)
    return _told(clustered_mean(own, questions), f".{digits}f")


def _changes(found: Sequence[Recorded]) -> list[str]:
    """First and last version of the same chains; the change of the rating, also at equal length."""
    revised = [chain for chain in found if chain.revisions]
    if not revised:
        return []
    groups = _with_all(by_seat(revised))
    ends = ["seat", *(f"{what}, {place}" for what in ("rating", "words") for place in ("first", "last")), "n"]
    head = ["seat", "revised", "rated", "change ± 95 %", "at equal length ± 95 %"]
    head += [f"lengths within {NEAR:.0%}: change ± 95 %", "n"]
    rated = [(seat, *_end_cells(both)) for seat, own in groups.items() if (both := _both_rated(own))]
    return [
        "## First against last version",
        "",
        "Answers that were revised, and rated before and after.",
        "",
        *(table(ends, rated) if rated else ()),
        "The change of the rating of these answers. At equal length: the intercept of the change on ln(words",
        "of the last / words of the first), least squares. Intervals are clustered by question.",
        "",
        *table(head, [(seat, *_change_cells(own)) for seat, own in groups.items()]),
    ]


def _both_rated(revised: Sequence[Recorded]) -> list[tuple[Rated, Rated]]:
    """(first, last) version of each chain whose both are rated."""
    ends = [(chain.versions[0], chain.versions[-1]) for chain in revised]
    return [pair for pair in ends if all(each.rating is not None for each in pair)]


def _end_cells(rated: Sequence[tuple[Rated, Rated]]) -> tuple[object, ...]:
    """Mean ratings, then mean words, of the first and of the last versions, and how many there are."""
    sides = [_means(side) for side in zip(*rated, strict=True)]
    return *(rating for rating, _ in sides), *(words for _, words in sides), len(rated)


def _change_cells(revised: Sequence[Recorded]) -> tuple[object, ...]:
    questions, changes, ratios, near = [], [], [], []
    for chain in revised:
        first, last = chain.versions[0], chain.versions[-1]
        if first.rating is not None and last.rating is not None:
            questions.append(chain.dialogue)
            changes.append(last.rating - first.rating)
            ratios.append(log_ratio(last.words, first.words))
            near.append(about_equal(last.words, first.words))
    matched = clustered_mean(list(compress(changes, near)), list(compress(questions, near)))
    told = (clustered_mean(changes, questions), equal_length(changes, ratios, questions), matched)
    return len(revised), len(changes), *map(_told, told), sum(near)


def _told(found: Estimate | None, form: str = "+.2f") -> str:
    if found is None:
        return "not defined"
    if isinf(found.half):
        return f"{found.value:{form}}, too few questions"
    return f"{found.value:{form}} ± {found.half:{form.lstrip('+')}}"


def _comparisons(found: Sequence[Recorded], feedback: Sequence[Row]) -> list[str]:
    """The last version against the first by a judge that saw both orders."""
    seat_of = {each.id: chain.seat for chain in found for each in chain.versions}
    groups: dict[str, list[Row]] = {}
    for row in feedback:
        if row["kind"] == "comparison":
            groups.setdefault(seat_of.get(row["about"], "no chain"), []).append(row)
    if not groups:
        return []
    head = ["seat", "compared", "abstained", "n"]
    head += [f"{what} (95 %)" for what in ("wins", "ties", "losses", "flips")]
    return [
        "## Last against first version, compared in both orders",
        "",
        "A win is the last version's in both orders; a flip is a verdict that changed with the order.",
        "",
        *table(head, [(seat, *_comparison_cells(rows)) for seat, rows in _with_all(groups).items()]),
    ]


def _comparison_cells(rows: Sequence[Row]) -> tuple[object, ...]:
    statuses = Counter(row["status"] for row in rows)
    n = sum(statuses[status] for status in DECIDED)
    rates = (share(statuses[status], n) for status in ("other", "tie", "about", "flipped"))
    return len(rows), len(rows) - n, n, *rates


def _without(
    found: Sequence[Recorded], feedback: Sequence[Row], examples: Sequence[Row], short: Collection[str]
) -> list[str]:
    """How many chains, or questions of a panel, made no example, and why as far as rows tell."""
    made = {row["id"].partition("#")[0] for row in examples}
    if any(row["kind"] == "panel" for row in feedback):
        return _panel_without(found, made, short)
    chains = zip(found, feedback_on(found, feedback), strict=True)
    why = Counter(
        _reason(chain, rows, short)
        for chain, rows in chains
        if not any(each.id in made for each in chain.versions)
    )
    return _missed(why, len(found), "chains made no example")


def _panel_without(found: Sequence[Recorded], made: Collection[str], short: Collection[str]) -> list[str]:
    """A panel makes an example of the best of its last answers, if that can be told."""
    questions: dict[str, list[Rated]] = {}
    for chain in found:
        questions.setdefault(chain.dialogue, []).append(chain.versions[-1])
    why = Counter(
        CLOSE if sum(each.rating is not None and each.id not in short for each in last) > 1 else FEW
        for last in questions.values()
        if not any(each.id in made for each in last)
    )
    return _missed(why, len(questions), "questions made no example (the best of the last answers)")


def _missed(why: Counter[str], n: int, what: str) -> list[str]:
    reasons = ", ".join(f"{count} {reason}" for reason, count in why.most_common())
    return [f"{why.total()} of {n} {what}: {reasons}.", ""] if why else []


def _reason(chain: Recorded, asked: Sequence[tuple[int, Row]], short: Collection[str]) -> str:
    """The first reason against a chain as an example; what a run asks of them is in `chain.example`."""
    if any(row["status"] in UNCLEAR for _, row in asked):
        return "with unclear feedback"
    if (end := ended_by(asked)) not in ("stopped", "limit"):
        return f"ended by {end.replace('_', ' ')}"
    return "cut at the limit" if all(each.id in short for each in chain.versions) else "for no reason told"


def _yields(preferences: Sequence[Row], examples: Sequence[Row], without: Sequence[str]) -> list[str]:
    """Pairs and examples by what they came from, and what made none."""
    kinds = {kind: len(rows) for kind, rows in by_kind(preferences).items()}
    revisions = Counter(row["revisions"] for row in examples)
    cells = [(f"pairs, kind: {kind}", count) for kind, count in kinds.items()]
    cells += [(f"examples, revisions: {number}", count) for number, count in sorted(revisions.items())]
    if not cells and not without:
        return []
    return ["## To learn from", "", *(table(["rows", "n"], cells) if cells else ()), *without]
