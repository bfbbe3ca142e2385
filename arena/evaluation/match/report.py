"""The report of a match: numbers with their intervals, tables, and what speaks against them."""

from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import combinations
from typing import Any

from arena.evaluation import diversity
from arena.evaluation.findings import Finding, ends_of, number
from arena.evaluation.match.alarms import alarms
from arena.evaluation.match.answers import Stored
from arena.evaluation.match.played import Played
from arena.evaluation.match.rivals import CONTROLS, EQUAL, Rivals, flips, relative_score, stood_first
from arena.evaluation.match.sheets import MatchReport, Sheet
from arena.evaluation.writing import Texts
from arena.stats.bradley_terry import Standing
from arena.stats.chance import by_chance
from arena.stats.power import advice
from arena.stats.resampling import Interval, Places
from arena.stats.shares import mean

JUDGE, EQUAL_LENGTH = "judge", "at equal length"
NOTES = (
    "Win-rates count a tie as a half, and so a flip, where the judge prefers another answer in each order; "
    "what it abstained from is left out. Intervals are clustered by question. At equal length: what is left "
    "if both answers were equally long (Dubois et al. 2024).",
    "longer, random and first are judges that read nothing, on the same answers: the one with more words, a "
    "coin, the place. A judge that is no further from one half than they are has not judged.",
)
RATED = (
    "Relative score: 100 times the sum of the ratings of one over that of the other, on the answers of "
    "both that were rated, as Vicuna and SelFee sum theirs; but answers are rated one by one here, not two "
    "in a text, so that there is one order."
)
EMPTY = (
    "Empty answers: one loses to any other answer without the judge being asked, two make no comparison, and "
    "none is rated."
)
STRENGTH = (
    "Strength: logarithm, by a Bradley-Terry model with ties (Davidson 1970), all games together and "
    "whatever their order; ranks as intervals, so two that share a rank cannot be told apart."
)
MOST_BLEU = 64
"""Texts whose likeness is measured; the time grows with their square."""
PLAIN_BLEU = "self-BLEU was not measured: pip install -e '.[rouge]'"


def report(played: Played) -> MatchReport:
    """All numbers of a match."""
    own = [finding for rivals in played.rivals for finding in _of_rivals(played, rivals)]
    bouts = [bout for rivals in played.rivals for bout in rivals.bouts]
    if bouts:
        own.append(Finding(JUDGE, "flips", flips(bouts), digits=2))
        own.append(Finding(JUDGE, "stood first", stood_first(bouts), digits=2))
    relative = _relative(played)
    said = _said(played.texts)
    return MatchReport(
        about=_about(played),
        findings=tuple([*own, *relative]),
        less="judge less\nthis",
        notes=tuple(_notes(played, bool(relative))),
        counts=_counts(played),
        alarms={**alarms(played), **played.texts.alarms()},
        sheets=tuple(_sheets(played, said)),
        more={
            "pairs": [{"a": each.a, "b": each.b, **each.counts} for each in played.rivals],
            "standings": [_standing(each) for each in played.standings],
            "texts": [finding.result for finding in said],
        },
    )


def _of_rivals(played: Played, rivals: Rivals) -> Iterator[Finding]:
    """The win-rate by the judge, at equal length, and by judges that read nothing."""
    yield Finding(rivals.name, JUDGE, _win_rate(played, rivals), digits=2)
    yield Finding(rivals.name, EQUAL_LENGTH, rivals.at_equal_length, digits=2)
    for name in CONTROLS:
        yield Finding(rivals.name, name, rivals.control(name), JUDGE, rivals.beyond(name), 2)


def _win_rate(played: Played, rivals: Rivals) -> Interval | None:
    """By the judge; its interval holds at any stop where the match may stop early."""
    return rivals.sequence().interval if played.stop and rivals.decided else rivals.win_rate


def _relative(played: Played) -> list[Finding]:
    """Mean ratings, and relative scores of every two contestants."""
    if not played.ratings:
        return []
    found = []
    for arm in played.arms:
        own = played.ratings.get(arm, {})
        clusters = [key.partition(".")[0] for key in own]
        found.append(Finding("rating", arm, mean(list(own.values()), clusters, 1.0, 10.0), digits=2))
    for a, b in combinations(played.arms, 2):
        score = relative_score(played.ratings.get(a, {}), played.ratings.get(b, {}), played.seed)
        found.append(Finding("relative score", f"{a} over {b}", score, digits=1))
    return found


def _said(texts: Texts) -> list[Finding]:
    """How long, how alike and how often cut the texts are; each contestant less the one above."""
    if not texts.works:
        return []
    words = texts.words()
    found = texts.common()
    for n in (1, 2):
        statistics = {arm: partial(_distinct, own, n) for arm, own in words.items()}
        found += texts.wholes(f"distinct-{n}", statistics)
    if len(texts.works) > 1 and find_spec("nltk") is not None:
        found += texts.means("self-BLEU", {arm: _alike(own) for arm, own in words.items()})
    return found


def _alike(words: Sequence[Sequence[str]]) -> list[float | None]:
    """Self-BLEU of the first `MOST_BLEU` texts; None for the others."""
    return [*diversity.self_bleu(words[:MOST_BLEU]), *[None] * len(words[MOST_BLEU:])]


def _distinct(words: Sequence[Sequence[str]], n: int, places: Places) -> float:
    return diversity.distinct([words[i] for i in places], n)


def _sheets(played: Played, said: Sequence[Finding]) -> Iterator[Sheet]:
    if played.standings:
        rows = tuple(
            (
                each.player,
                f"{each.rank_low}"
                if each.rank_low == each.rank_high
                else f"{each.rank_low} to {each.rank_high}",
                number(each.strength, 2, "+"),
                ends_of(each.strength, 2, "+"),
            )
            for each in played.standings
        )
        yield Sheet("Ranks", ("contestant", "rank", "strength", "95 %"), rows)
    if played.rivals:
        names = ("won", "tied", "lost", "flipped", "abstained")
        counted = tuple((r.name, *(str(r.counts[name]) for name in names)) for r in played.rivals)
        yield Sheet("Comparisons", ("pair", *names), counted)
    categories = tuple(
        (f"{rivals.name}: {name}", number(found, 2), ends_of(found, 2), str(found.clusters))
        for rivals in played.rivals
        for name, found in rivals.by_category().items()
    )
    if len({row[0] for row in categories}) > len(played.rivals):
        yield Sheet("Categories", ("pair: category", "win-rate", "95 %", "questions"), categories)
    if said:
        head = ("measure, contestant", "value", "95 %", "less the above", "95 %")
        shown = tuple((f"{cells[0]}, {cells[1]}", *cells[2:]) for cells in (each.cells for each in said))
        yield Sheet("What they say", head, shown)


def _about(played: Played) -> str:
    names = ", ".join(f"{name} ({agent.name})" for name, agent in played.arms.items())
    judges = ", ".join(agent.name for agent in played.judges)
    early = ""
    if played.stop:
        early = (
            f" It was to stop as soon as one is better, and ended after {played.held} of {len(played.asked)}."
        )
    return f"{played.conf}: {names} on {len(played.asked)} questions. Judge: {judges}.{early}"


def _notes(played: Played, rated: bool) -> Iterator[str]:
    if played.rivals:
        yield from NOTES
    if played.stop:
        yield (
            "The judge's win-rate has the interval of a confidence sequence (Waudby-Smith and Ramdas 2024), "
            "which holds whenever one stops; the 95 % of all other numbers are those of a number of "
            "questions fixed before, and are too narrow after an early stop."
        )
    if told := _chance(played):
        yield told
    if any(item.empty for item in played.items):
        yield EMPTY
    for rivals in () if played.stop else played.rivals:
        if found := rivals.lead:
            yield f"{rivals.name}: {advice(found, rivals.spread, played.least)}"
    if played.standings:
        yield STRENGTH
    if rated:
        yield RATED
    if find_spec("nltk") is None:
        yield PLAIN_BLEU
    elif len(played.texts.works) > MOST_BLEU:
        yield f"self-BLEU is of the first {MOST_BLEU} questions."


def _chance(played: Played) -> str:
    """How many of the win-rates by the judge are other than one half, and how many would be by chance."""
    shown: list[Interval | None] = []
    for rivals in played.rivals:
        categories = rivals.by_category().values()
        shown += [_win_rate(played, rivals), rivals.at_equal_length]
        shown += categories if len(categories) > 1 else ()
    known = [each for each in shown if each is not None and each.known]
    if len(known) < 2:
        return ""
    left = sum(not each.low <= EQUAL <= each.high for each in known)
    told = by_chance(left, len(known), "50 %", "all were equally good")
    return f"Of the judge's win-rates, at equal length and by category too: {told}"


def _counts(played: Played) -> dict[str, int]:
    """What was asked, and what is missing."""
    found = {"questions": len(played.asked), "asked": played.held, "turns": len(played.items)}
    for arm, agent in played.arms.items():
        if missing := sum(arm not in item.answers for item in played.items):
            found[f"not answered by {arm}"] = missing
        if empty := played.empty(arm):
            found[f"empty answers of {arm}"] = empty
        if isinstance(agent, Stored) and agent.strangers:
            found[f"answers of {arm} to other questions"] = agent.strangers
    bouts = [bout for rivals in played.rivals for bout in rivals.bouts]
    if bouts:
        found |= {"comparisons": len(bouts), "abstained": sum(bout.score is None for bout in bouts)}
    if played.ratings:
        answers = sum(len(item.answers) for item in played.items)
        found["not rated"] = answers - sum(map(len, played.ratings.values()))
    return found


def _standing(standing: Standing) -> dict[str, Any]:
    return {
        "contestant": standing.player,
        "strength": standing.strength.numbers(),
        "rank_low": standing.rank_low,
        "rank_high": standing.rank_high,
    }
