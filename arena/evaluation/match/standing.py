"""What is known of the judge of a match: whether it was ever measured against people, and came out well."""

from collections.abc import Sequence
from pathlib import Path

from arena.evaluation.match.play import Comparer


def standing(comparer: Comparer, rubrics: Sequence[str], runs: Path) -> dict[str, str]:
    """Alarms of a judge that was never measured, or is not shown to be better than the longer answer.

    Args:
        comparer: who compares.
        rubrics: by which it compares; each kind of question has one of its own.
        runs: where `python -m arena.judge` leaves its verdicts, in folders `judge-*`.

    Raises:
        ConfigError: a verdict there cannot be read.
    """
    from arena.calibration.standing import PAIRWISE, below, identity

    pairwise = comparer.pairwise
    settings = {"_target_": f"{type(pairwise).__module__}.{type(pairwise).__name__}", **vars(pairwise)}
    unmeasured, poor = [], []
    for rubric in rubrics:
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
