"""What speaks against a match: name -> sentence."""

import math
from collections.abc import Iterator

from agents.base import Agent
from arena.evaluation.match.played import Played
from arena.evaluation.match.rivals import Rivals, flips
from arena.stats.power import advice, detectable

FLIPS = 0.3
"""Share of decided comparisons that may flip with the order."""
LONGER = 1.2
"""Words of one for one word of the other, above which lengths have moved."""
EMPTY = 0.1
"""Share of a contestant's answers that may be empty."""
ABSTAINED = 0.1
"""Share of comparisons that the judge may abstain from."""


def alarms(played: Played) -> dict[str, str]:
    """All that speaks against what the numbers seem to say."""
    found = [*_judge(played), *played.standing.items(), *_missing(played)]
    for rivals in played.rivals:
        found += [*_lengths(rivals), *(() if played.stop else _too_few(rivals, played.least))]
    return dict(found)


def _judge(played: Played) -> Iterator[tuple[str, str]]:
    """Who judges itself, who goes by the place, who does not judge."""
    for judge in played.judges:
        own = [arm for arm, agent in played.arms.items() if _alike(judge, agent)]
        everybody = len(own) == len(played.arms)
        if own:
            yield (
                "self_judging",
                f"{', '.join(own)} and the judge have the same weights, {judge.name}: models like what "
                f"they would say themselves{', here all of them alike' if everybody else ''}; seat another "
                "judge by agent@evaluation.agent=PART",
            )
    bouts = [bout for rivals in played.rivals for bout in rivals.bouts]
    share = flips(bouts)
    if share is not None and share.value > FLIPS:
        yield (
            "flips",
            f"{share.value:.0%} of {share.n} preferences turned with the order of the answers: this judge "
            "goes by the place; take a larger one, or trust only what both orders agree on",
        )
    abstained = sum(bout.score is None for bout in bouts)
    if abstained > ABSTAINED * len(bouts):
        yield (
            "abstained",
            f"the judge abstained from {abstained} of {len(bouts)} comparisons, which are left out; "
            "failures.jsonl says why",
        )
    if played.orders == 1:
        yield (
            "one_order",
            "each pair was judged in one order: what the place decides cannot be told from merit",
        )


def _missing(played: Played) -> Iterator[tuple[str, str]]:
    for arm in played.arms:
        if missing := sum(arm not in item.answers for item in played.items):
            yield (
                f"missing_{arm}",
                f"{arm} has not answered {missing} of {len(played.items)} turns: it is compared on the "
                "others alone, and what everybody says is measured where all have answered",
            )
        given = sum(arm in item.answers for item in played.items)
        if (empty := played.empty(arm)) > EMPTY * given:
            yield (
                f"empty_{arm}",
                f"{empty} of {given} answers of {arm} are empty: they lose without the judge being asked, so "
                "look whether its prompt, its limit of tokens or its file is at fault",
            )
    if len(played.arms) > 2 and played.rivals and not played.standings:
        yield "unranked", "the comparisons do not connect all contestants, so there is no common ranking"


def _alike(judge: Agent, contestant: Agent) -> bool:
    """Whether both speak with the same weights, as far as can be told."""
    return judge.company == contestant.company or judge.name == contestant.name


def _lengths(rivals: Rivals) -> Iterator[tuple[str, str]]:
    """One says more; the judge may like that alone."""
    growth, won, equal = rivals.growth, rivals.win_rate, rivals.at_equal_length
    if growth is not None and growth.known and not growth.low <= 1 <= growth.high:
        if not 1 / LONGER <= growth.value <= LONGER:
            longer = rivals.control("longer")
            by_length = f"; by length alone {rivals.a} would win {longer.value:.0%}" if longer else ""
            yield (
                f"lengths_{rivals.name}",
                f"{rivals.a} says {growth.value:.2f} words ({growth.low:.2f} to {growth.high:.2f}) for each "
                f"of {rivals.b}{by_length}: look at the win-rate at equal length",
            )
    if won is None or equal is None or not (won.known and equal.known):
        return
    if not won.low <= 0.5 <= won.high and equal.low <= 0.5 <= equal.high:
        yield (
            f"length_alone_{rivals.name}",
            f"the win-rate is {won.value:.2f}, but at equal length {equal.value:.2f} ({equal.low:.2f} to "
            f"{equal.high:.2f}): the difference cannot be told from one in length",
        )


def _too_few(rivals: Rivals, least: float) -> Iterator[tuple[str, str]]:
    """A difference that would matter, and that so few questions cannot show."""
    lead, spread = rivals.lead, rivals.spread
    if lead is None or lead.sign or abs(lead.value) < least:
        return
    if not math.isfinite(spread) or not spread or abs(lead.value) < detectable(lead.clusters, spread):
        yield f"too_few_{rivals.name}", advice(lead, spread, least)
