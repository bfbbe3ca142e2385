"""What speaks against dialogues, or against the judge who was asked about them."""

from collections.abc import Iterator, Mapping, Sequence

from arena.evaluation.dialogue.arms import SHARE, Arms, Line, Parts, known, means, slopes
from arena.evaluation.dialogue.likeness import Likeness
from arena.evaluation.dialogue.measures import AGREES, ITSELF, LAST, OTHER, TOPIC
from arena.evaluation.dialogue.reading import PEOPLE
from arena.evaluation.findings import Finding
from arena.stats import shares

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


def doubts(findings: Sequence[Finding], judge: Likeness | None, arms: Arms) -> dict[str, str]:
    """What speaks against the judge of expert-likeness, by name.

    Args:
        findings: what was found of expert-likeness.
        judge: who was asked, if anybody.
        arms: the dialogues that it was asked about.
    """
    if judge is None:
        return {}
    if not any(each.measure == LIKENESS for each in findings):
        return {"unjudged": "the judge said of nobody whom it takes him for: failures.jsonl says why"}
    return dict([*_itself(judge, arms), *_order(findings, judge), *_people(findings, judge)])


def _itself(judge: Likeness, arms: Arms) -> Iterator[tuple[str, str]]:
    """Whether it is one of those it is asked about, as far as names tell."""
    own = [arms.name(arm) for arm, lines in arms.by_arm.items() if judge.agent.name in _models(lines)]
    if own:
        yield (
            "self_judging",
            f"{', '.join(own)} and the judge have the same weights, {judge.agent.name}: a model may know its "
            "own manner again, or like it; ask another one by agent@evaluation.judge.agent=PART",
        )


def _models(lines: Sequence[Line]) -> set[str]:
    return {line.turn.model for line in lines} - {""}


def _order(findings: Sequence[Finding], judge: Likeness) -> Iterator[tuple[str, str]]:
    """Whether what it says depends on the order of the turns."""
    asked = [each for each in findings if each.measure == IN_ORDER and each.found]
    known = [(each, each.found) for each in asked if each.found and each.found.known]
    if not known:
        yield (
            "order_unknown",
            f"whether {judge.agent.name} says something else of the same turns in another order is not "
            "known: there are too few topics",
        )
    elif not any(found.sign for _, found in known):
        told = ", ".join(f"{e.arm} {f.value:+.3f} ({f.low:+.3f} to {f.high:+.3f})" for e, f in known)
        yield (
            "judge_blind",
            f"{judge.agent.name} is not shown to say anything else of the same turns in another order "
            f"({told}): its word may be about single turns, not about the course of the dialogue",
        )


def _people(findings: Sequence[Finding], judge: Likeness) -> Iterator[tuple[str, str]]:
    """Whether it can tell people from models, which is known only where dialogues of people are there."""
    by = {each.arm: each.found for each in findings if each.measure == LIKENESS}
    human = by.pop(PEOPLE, None)
    name = judge.agent.name
    if human is None:
        yield (
            "judge_unmeasured",
            f"whether {name} takes people for humans more often than it does models was not measured: give "
            "dialogues of people by 'evaluation.people=[FILE, ...]'",
        )
        return
    if fooled := [arm for arm, found in by.items() if found and found.value >= human.value]:
        yield (
            "judge_fooled",
            f"{name} takes {', '.join(fooled)} for a human at least as often as it does people",
        )
    leads = {arm: shares.less(human, found) for arm, found in by.items() if arm not in fooled}
    if unsure := [arm for arm, lead in leads.items() if lead and lead.sign <= 0]:
        yield (
            "judge_unsure",
            f"{name} takes people for humans more often than {', '.join(unsure)}, but so few dialogues do "
            "not show that it can tell them apart",
        )
