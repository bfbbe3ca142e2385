"""The judge of a study on the drafts of one arm: with each draft's own WIM, and with another draft's."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from arena.evaluation.findings import Report
from arena.rejudging.comparison import COSINE, LENGTH, ORDERS, POINTS, RAW, TIES, TOPIC
from arena.rejudging.sides import Bench, Draft, Side, drafts_of
from arena.rejudging.stored import Stored
from arena.rejudging.summary import report_on
from rewards.verdict import Verdict, normalise

OWN, OTHER = "own WIM", "shuffled WIM"
KEPT = (TIES, POINTS, RAW, ORDERS, COSINE, TOPIC, LENGTH)
"""Measures that are not the same for both by construction."""


def same_drafts(arm: str, folders: Mapping[int, Path]) -> Report | None:
    """Ties, gaps and agreement of rating and WIM on the drafts of an arm, over all seeds.

    Args:
        arm: whose drafts.
        folders: its run folder for each seed; its judge has asked what is missing.

    Returns:
        None where no verdict holds a cosine and its control.
    """
    drafts: list[Draft] = []
    verdicts: dict[str, Verdict] = {}
    settings: Mapping[str, object] = {}
    for seed, folder in folders.items():
        stored = Stored(folder)
        settings = stored.settings
        for draft in drafts_of(stored):
            verdict, name = stored.verdicts[draft.id], f"{seed}/{draft.id}"
            if verdict.cosine is None or verdict.cosine_shuffled is not None:
                drafts.append(replace(draft, id=name, exchange=f"{seed}/{draft.exchange}"))
                verdicts[name] = verdict
    if not any(verdict.cosine is not None for verdict in verdicts.values()):
        return None
    shuffled = {name: replace(verdict, cosine=verdict.cosine_shuffled) for name, verdict in verdicts.items()}
    zeta, margin = (float(str(settings[f"judge.{key}"])) for key in ("zeta", "tie_margin"))
    normalisation = str(settings["judge.normalisation"])
    sides = (
        Side(OWN, "the fixed judge", verdicts, zeta, margin, normalisation),
        Side(OTHER, "the same with the WIM of another draft", shuffled, zeta, margin, normalisation),
    )
    found = report_on(Bench(drafts, sides), f"{len(drafts)} drafts of the arm {arm}, {len(folders)} seeds.")
    kept = tuple(each for each in found.findings if each.measure in KEPT)
    # Another draft's WIM is like another draft's: that is no news.
    alarms = {name: text for name, text in found.alarms.items() if not name.endswith(OTHER)}
    return replace(found, findings=kept, alarms=alarms)


def with_another_wim(verdict: Verdict, zeta: float, normalisation: str) -> Verdict:
    """The verdict as it would be if the WIM of another draft had been said of this one."""
    other, reward = verdict.cosine_shuffled, verdict.reward
    if verdict.scale == "rating+wim" and verdict.rating is not None and other is not None:
        reward = (1 - zeta) * normalise(verdict.rating, normalisation) + zeta * other
    return replace(verdict, cosine=other, reward=reward)
