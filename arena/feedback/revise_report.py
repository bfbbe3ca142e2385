"""The README.md of a revision run: how chains went on and ended, and what the revisions were worth."""

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from math import isinf
from pathlib import Path

from arena.feedback.chain import UNCLEAR
from arena.feedback.collect_report import DECIDED, by_kind
from arena.feedback.lengths import NEAR, about_equal, equal_length, log_ratio
from arena.feedback.versions import ASKED, Rated, Recorded, by_revisions, by_seat, recorded
from arena.intervals import Estimate, clustered_mean
from arena.report import Row, Tables, card, failures, interval, pictures, share, table

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
    found = recorded(tables)
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
        *_ratings(found),
        *_changes(found),
        *_comparisons(found, feedback),
        *_yields(preferences, examples),
        *pictures(plots),
        *failures(failed),
    ]
    return "\n".join(lines)


def _asked(found: Sequence[Recorded], feedback: Sequence[Row]) -> list[list[tuple[int, Row]]]:
    """For each chain the feedbacks on its versions, oldest first: (revisions before it, row)."""
    place = {each.id: (i, k) for i, chain in enumerate(found) for k, each in enumerate(chain.versions)}
    asked: list[list[tuple[int, Row]]] = [[] for _ in found]
    for row in feedback:
        if row["kind"] in ASKED and row["about"] in place:
            i, revisions = place[row["about"]]
            asked[i].append((revisions, row))
    return [sorted(rows, key=lambda pair: pair[0]) for rows in asked]


def _courses(found: Sequence[Recorded], feedback: Sequence[Row], minimum: int) -> list[str]:
    """How many revisions chains have, and how they ended."""
    if not found:
        return []
    counts = Counter(chain.revisions for chain in found)
    ends = Counter(_end(rows) for rows in _asked(found, feedback))
    lines = table(["revisions", "chains"], sorted(counts.items()))
    lines += table(["ended by", "chains"], ends.most_common())
    if minimum:
        reached = sum(chain.revisions >= minimum for chain in found)
        lines += [f"Revised as often as required, {minimum} or more: {reached} of {len(found)} chains.", ""]
    return ["## Chains", "", *lines]


def _end(asked: Sequence[tuple[int, Row]]) -> str:
    """Why a chain has no further revision, from the feedbacks on its versions."""
    if not asked:
        return "no feedback"
    last = str(asked[-1][1]["outcome"])
    return "limit" if last == "revised" else last


def _verdicts(found: Sequence[Recorded], feedback: Sequence[Row]) -> list[str]:
    """Verdicts on whether a revision is needed, by the number of revisions before them."""
    rounds: dict[int | str, Counter[str]] = {}
    for revisions, row in (pair for rows in _asked(found, feedback) for pair in rows):
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


def _ratings(found: Sequence[Recorded]) -> list[str]:
    """Rating and words by the number of revisions."""
    if not found:
        return []
    cells = [
        (seat, revisions, *_rating_cells(versions))
        for seat, own in by_seat(found).items()
        for revisions, versions in enumerate(by_revisions(own))
    ]
    head = ["seat", "revisions", "rating, mean ± 95 %", "n", "words, mean ± 95 %", "n"]
    return [
        "## Ratings",
        "",
        *MEANING,
        "Answers that were revised more often are other answers: read down the column with care.",
        "",
        *table(head, cells),
    ]


def _rating_cells(versions: Sequence[Rated]) -> tuple[object, ...]:
    ratings = [version.rating for version in versions if version.rating is not None]
    rating = interval(ratings, 2) if ratings else "not rated"
    return rating, len(ratings), interval([float(version.words) for version in versions], 1), len(versions)


def _changes(found: Sequence[Recorded]) -> list[str]:
    """The change of the rating from the first to the last version, at any length and at equal length."""
    revised = [chain for chain in found if chain.revisions]
    if not revised:
        return []
    head = ["seat", "revised", "rated", "change ± 95 %", "at equal length ± 95 %"]
    head += [f"lengths within {NEAR:.0%}: change ± 95 %", "n"]
    seats = by_seat(revised)
    groups = seats if len(seats) == 1 else {"all": revised, **seats}
    return [
        "## First against last version: change of the rating",
        "",
        "At equal length: the intercept of the change on ln(words of the last / words of the first), least",
        "squares. Intervals are clustered by question.",
        "",
        *table(head, [(seat, *_change_cells(own)) for seat, own in groups.items()]),
    ]


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


def _told(found: Estimate | None) -> str:
    if found is None:
        return "not defined"
    if isinf(found.half):
        return f"{found.value:+.2f}, too few questions"
    return f"{found.value:+.2f} ± {found.half:.2f}"


def _comparisons(found: Sequence[Recorded], feedback: Sequence[Row]) -> list[str]:
    """The last version against the first by a judge that saw both orders."""
    seat_of = {each.id: chain.seat for chain in found for each in chain.versions}
    groups: dict[str, list[Row]] = {}
    for row in feedback:
        if row["kind"] == "comparison":
            groups.setdefault(seat_of.get(row["about"], "no chain"), []).append(row)
    if not groups:
        return []
    if len(groups) > 1:
        groups = {"all": [row for rows in groups.values() for row in rows], **groups}
    head = ["seat", "compared", "abstained", "n"]
    head += [f"{what} (95 %)" for what in ("wins", "ties", "losses", "flips")]
    return [
        "## Last against first version, compared in both orders",
        "",
        "A win is the last version's in both orders; a flip is a verdict that changed with the order.",
        "",
        *table(head, [(seat, *_comparison_cells(rows)) for seat, rows in groups.items()]),
    ]


def _comparison_cells(rows: Sequence[Row]) -> tuple[object, ...]:
    statuses = Counter(row["status"] for row in rows)
    n = sum(statuses[status] for status in DECIDED)
    rates = (share(statuses[status], n) for status in ("other", "tie", "about", "flipped"))
    return len(rows), len(rows) - n, n, *rates


def _yields(preferences: Sequence[Row], examples: Sequence[Row]) -> list[str]:
    """Pairs and examples by what they came from."""
    kinds = {kind: len(rows) for kind, rows in by_kind(preferences).items()}
    revisions = Counter(row["revisions"] for row in examples)
    cells = [(f"pairs, kind: {kind}", count) for kind, count in kinds.items()]
    cells += [(f"examples, revisions: {number}", count) for number, count in sorted(revisions.items())]
    return ["## To learn from", "", *table(["rows", "n"], cells)] if cells else []
