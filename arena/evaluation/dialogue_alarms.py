"""What speaks against dialogues, or against the judge who was asked about them."""

from collections.abc import Mapping, Sequence

from arena.evaluation.dialogue_likeness import Likeness
from arena.evaluation.dialogue_measures import AGREES, ITSELF, LAST, OTHER, TOPIC
from arena.evaluation.dialogue_numbers import SHARE, Arms, Parts, known, means, slopes
from arena.evaluation.dialogue_reading import PEOPLE
from arena.evaluation.findings import Finding

LIKENESS, CALIBRATED, IN_ORDER = "taken for a human", "... less nothing said", "... less shuffled"
"""What is found of expert-likeness: as the judge says it, and beyond each of its controls."""
MUCH_AGREEMENT = 0.5
"""Share of turns with a phrase of agreement from which two experts only please each other."""
MUCH_REPEATED = 0.3
"""Share of runs of three words that were said before from which a dialogue goes round in circles."""
SAME = 0.9
"""Cosine with the other's last turn from which both say the same."""


def alarms(arms: Arms) -> dict[str, str]:
    """What speaks against the dialogues of a run, by name."""
    found: dict[str, str] = {}
    for run in arms.runs:
        own = [line for line in arms.lines if line.talk.run == run]
        drift = known(slopes(own, TOPIC))
        if drift and drift.sign < 0:
            found[f"drift_{run}"] = (
                f"{run}: the dialogues leave their topic: its cosine falls by {-drift.value:.3f} a turn "
                f"({-drift.high:.3f} to {-drift.low:.3f})"
            )
        found |= _too_much(run, {name: means(own, name) for name in (AGREES, ITSELF, OTHER, LAST)})
    return found


def _too_much(run: str, parts: Mapping[str, Parts]) -> dict[str, str]:
    """Alarms of a run whose mean is above a limit."""
    limits = {
        ("agreement", AGREES): (
            MUCH_AGREEMENT,
            "of the turns agree or praise: the experts please each other",
        ),
        ("repetition", ITSELF): (MUCH_REPEATED, "of the runs of three words were said by the same speaker"),
        ("mirror", OTHER): (MUCH_REPEATED, "of the runs of three words were said by the other: a mirror"),
    }
    found = {}
    for (name, measure), (limit, words) in limits.items():
        share = known(parts[measure], SHARE)
        if share and share.value > limit:
            ends = f" ({share.low:.0%} to {share.high:.0%})" if share.known else ""
            found[f"{name}_{run}"] = f"{run}: {share.value:.0%}{ends} {words}"
    alike = known(parts[LAST])
    if alike and alike.value > SAME:
        found[f"mirror_{run}"] = (
            f"{run}: both sides say the same: a turn's cosine with the other's last one is {alike.value:.2f}"
        )
    return found


def blind(findings: Sequence[Finding], judge: Likeness | None, people: bool) -> dict[str, str]:
    """What speaks against the judge of expert-likeness, by name."""
    if judge is None:
        return {}
    by = {measure: [each for each in findings if each.measure == measure] for measure in (LIKENESS, IN_ORDER)}
    if not by[LIKENESS]:
        return {"unjudged": "the judge said of nobody whom it takes him for: failures.jsonl says why"}
    found = {}
    if not any(each.found and each.found.sign for each in by[IN_ORDER]):
        found["judge_blind"] = (
            f"{judge.agent.name} says the same of turns in another order: its word is not about the dialogue"
        )
    if people:
        [human] = [each.found for each in by[LIKENESS] if each.arm == PEOPLE] or [None]
        others = [each.found for each in by[LIKENESS] if each.arm != PEOPLE]
        if human is None or any(each and each.value >= human.value for each in others):
            found["judge_fooled"] = (
                f"{judge.agent.name} takes a model for a human at least as often as it does people: it "
                "cannot tell them apart"
            )
    return found
