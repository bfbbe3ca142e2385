"""What is known of the judge of a match: whether it was ever measured against people, and came out well."""

from collections.abc import Sequence
from pathlib import Path

from arena.evaluation.match_play import Comparer, Contest


def standing(comparer: Comparer, contests: Sequence[Contest], runs: Path) -> dict[str, str]:
    """Alarms of a judge that was never measured, or is not shown to be better than the longer answer.

    Args:
        comparer: who compares.
        contests: what it has compared; each kind of question has a rubric of its own.
        runs: where `python -m arena.judge` leaves its verdicts, in folders `judge-*`.
    """
    from arena.calibration.standing import PAIRWISE, below, identity

    pairwise = comparer.pairwise
    settings = {"_target_": f"{type(pairwise).__module__}.{type(pairwise).__name__}", **vars(pairwise)}
    unmeasured, poor = [], []
    for rubric in sorted({comparer.rubric_of(contest) for contest in contests}):
        found = below(runs, identity(PAIRWISE, {**settings, "rubric": rubric}, comparer.agent))
        if found is None:
            unmeasured.append(rubric)
        elif not found[1].better:
            poor.append(f"{rubric}: it {found[1].numbers} ({found[0]})")
    alarms = {}
    if unmeasured:
        alarms["judge_unmeasured"] = (
            f"{comparer.agent.name} was never measured against people as a judge by {', '.join(unmeasured)}: "
            "what it prefers may be nobody's preference; python -m arena.judge measures it"
        )
    if poor:
        alarms["judge_not_better"] = (
            f"{comparer.agent.name} is not shown to judge better than one that takes the longer answer, "
            f"by {'; '.join(poor)}"
        )
    return alarms
