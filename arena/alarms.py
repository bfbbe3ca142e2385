"""Alarms: what a run says by itself when its learning, its judge or its texts cannot be trusted.

Pure functions of the tables' rows. Each gives a sentence or None.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

Row = Mapping[str, Any]

LN2 = math.log(2)
UPDATES = 6
"""Updates of a seat before its loss is looked at."""
MOVED = 0.01
"""The least margin that counts: the policy prefers the chosen reply with probability 0.5025."""
VERDICTS = 20
"""Verdicts before the judge's controls are looked at."""
LOW_RATE = 1e-5
SHARE = 0.5
TRUNCATED = 0.3
DRIFT = 0.25


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its normal 95 % interval; the half width is infinite for one value."""
    if len(values) < 2:
        return fmean(values), math.inf
    return fmean(values), 1.96 * stdev(values) / math.sqrt(len(values))


def loss_is_flat(metrics: Sequence[Row]) -> str | None:
    """The margin of the later updates cannot be told from 0, which for a sigmoid loss is a loss of ln 2.

    The margin is looked at, since other losses start elsewhere. The first update is left out: its margin
    is 0 for every policy.
    """
    later = metrics[1:]
    if len(later) < UPDATES - 1:
        return None
    mean, half = mean_interval([row["margin"] for row in later])
    if mean - half > MOVED:
        return None
    return (
        f"the margin of {len(later)} updates is {mean:+.4f} ± {half:.4f} and their loss "
        f"{fmean(row['loss'] for row in later):.4f} (a sigmoid loss starts at ln 2 = {LN2:.4f}): nothing has "
        "been learned that shows; more dialogues, more drafts or a higher train.lr may help"
    )


def rate_is_small(lr: float) -> str | None:
    """A learning rate made for whole models, on an adapter."""
    if lr >= LOW_RATE:
        return None
    return f"train.lr={lr:g} is small for an adapter, which wants {LOW_RATE:g} or more: expect a loss of ln 2"


def length_drifts(steps: Sequence[Row]) -> str | None:
    """Replies have become much longer or shorter than they were."""
    lengths = [row["tokens"] / row["drafts"] for row in steps if row["drafts"]]
    quarter = len(lengths) // 4
    if quarter < 2:
        return None
    first, last = fmean(lengths[:quarter]), fmean(lengths[-quarter:])
    if abs(last - first) <= DRIFT * first:
        return None
    return f"replies went from {first:.0f} to {last:.0f} tokens: what is learned may be their length"


def many_are_truncated(steps: Sequence[Row]) -> str | None:
    """Many drafts were cut at the token limit, and make no pairs."""
    drafts, cut = sum(row["drafts"] for row in steps), sum(row["truncated"] for row in steps)
    if drafts < VERDICTS or cut <= TRUNCATED * drafts:
        return None
    return (
        f"{cut} of {drafts} drafts were cut at the token limit and often make no pairs: raise max_new_tokens"
    )


def few_are_decided(steps: Sequence[Row]) -> str | None:
    """Ties and abstentions leave few pairs of the turns that had more than one draft."""
    compared = [row for row in steps if row["drafts"] > row["exchanges"]]
    exchanges = sum(row["exchanges"] for row in compared)
    lost = sum(row["ties"] + row["abstained"] for row in compared)
    if exchanges < 8 or lost <= SHARE * exchanges:
        return None
    return f"{lost} of {exchanges} turns ended in a tie or without a verdict: this judge tells little apart"


def judge_is_like_shuffled(verdicts: Sequence[Row]) -> str | None:
    """The WIM of an answer is no nearer to it than the WIM of another answer."""
    return _beside(verdicts, "cosine_shuffled", "with the WIM of another answer")


def judge_is_like_topic(verdicts: Sequence[Row]) -> str | None:
    """The WIM of an answer is no nearer to it than the bare topic is."""
    return _beside(verdicts, "cosine_topic", "with the bare topic")


def _beside(verdicts: Sequence[Row], control: str, words: str) -> str | None:
    pairs = [
        (row["cosine"], row[control]) for row in verdicts if row["wim_status"] == "ok" and row["controls"]
    ]
    if len(pairs) < VERDICTS:
        return None
    mean, half = mean_interval([own - other for own, other in pairs])
    if mean - half > 0:
        return None
    return (
        f"the cosine with what is missing exceeds the one {words} by only {mean:+.3f} ± {half:.3f} "
        f"over {len(pairs)} verdicts: it says little about the answers"
    )


def wim_restates(verdicts: Sequence[Row]) -> str | None:
    """What is "missing" stands in the answer already."""
    echoes = [row["echo"] for row in verdicts if row["wim_status"] == "ok"]
    if len(echoes) < VERDICTS or fmean(echoes) <= 0.25:
        return None
    return f"{fmean(echoes):.0%} of what is missing, in threes of words, stands in the answers: it repeats"


def wim_is_rare(verdicts: Sequence[Row]) -> str | None:
    """The judge seldom names anything that is missing."""
    asked = [row["wim_status"] for row in verdicts if row["wim_status"] != "not_asked"]
    if len(asked) < VERDICTS or asked.count("ok") > SHARE * len(asked):
        return None
    return f"only {asked.count('ok')} of {len(asked)} verdicts name something missing: zeta weighs little"


def raised(
    steps: Sequence[Row], verdicts: Sequence[Row], metrics: Sequence[Row], learners: Sequence[str]
) -> dict[str, str]:
    """All alarms of a run so far, by name."""
    by_score = {row["speaker"] for row in metrics if "margin" not in row}
    whole: dict[str, tuple[Callable[[Sequence[Row]], str | None], Sequence[Row]]] = {
        "judge_like_shuffled": (judge_is_like_shuffled, verdicts),
        "judge_like_topic": (judge_is_like_topic, verdicts),
        "wim_restates": (wim_restates, verdicts),
        "wim_rare": (wim_is_rare, verdicts),
        "undecided": (few_are_decided, [row for row in steps if row["speaker"] not in by_score]),
    }
    found = {name: check(rows) for name, (check, rows) in whole.items()}
    for seat in learners:
        own = [row for row in steps if row["speaker"] == seat]
        found[f"truncated_{seat}"] = many_are_truncated(own)
        found[f"length_{seat}"] = length_drifts(own)
        pairwise = [row for row in metrics if row["speaker"] == seat and "margin" in row]
        found[f"loss_{seat}"] = loss_is_flat(pairwise)
    return {name: text for name, text in found.items() if text}


def with_gain(found: Mapping[str, str], gains: Sequence[Row], seat: str) -> dict[str, str]:
    """The alarms of a seat, seen beside what it has gained on held-out prompts, which weighs more.

    On-policy pairs of a policy that has learned may have no margin left: all its drafts are good.

    Args:
        found: alarms by name.
        gains: rows of `evaluations.jsonl`: the last one counts.
        seat: the seat.
    """
    if not gains:
        return dict(found)
    low, high = gains[-1]["change_low"], gains[-1]["change_high"]
    if low > 0:
        return {name: text for name, text in found.items() if name != f"loss_{seat}"}
    return {
        **found,
        f"nothing_gained_{seat}": f"the reward of {gains[-1]['rewarded']} held-out prompts has changed by "
        f"{gains[-1]['change']:+.3f} ({low:+.3f} to {high:+.3f}): no gain that shows",
    }
