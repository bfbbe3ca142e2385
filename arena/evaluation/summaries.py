"""Summaries of one agent at several stages of its training, against references and by a reward model."""

from collections.abc import Mapping, Sequence

from agents.errors import ConfigError
from arena.evaluation.extra import needs
from arena.evaluation.findings import Finding, Report
from arena.evaluation.overlap import KINDS, rouge
from arena.evaluation.room import BARE, Room
from arena.evaluation.writing import TABLES, Texts, judge_texts, rewards, write
from arena.feedback.events import Work
from arena.problems import Problem
from rewards.verdict import Example

REWARD = "reward"
NOTES = (
    "ROUGE is the F1 of words, of pairs of words, and of the longest common subsequence with the reference, "
    "after stemming (Lin 2004). All stages write with equal seeds; changes are from the stage above, with "
    "intervals paired by text.",
)


class Summaries:
    """Compares stages: ROUGE against references, reward, length.

    Args:
        stages: adapters by name, folders or run folders, in the order of training; `""` is the bare
            checkpoint. Default: that, and the adapter that was trained.
        most: the most held-out texts; 0: all.
    """

    tables = TABLES

    def __init__(self, stages: Mapping[str, str] | None = None, most: int = 32) -> None:
        """Take the settings."""
        self.stages, self.most = dict(stages or {}), most

    def __call__(self, room: Room) -> Report:
        """Have all stages summarise the held-out texts.

        Raises:
            ConfigError: there is one stage only, nothing is held out, or rouge-score is missing.
        """
        needs("rouge_score")
        arms = {name: room.speaker(adapter) for name, adapter in self.stages.items()}
        if not arms:
            arms = {BARE: room.speaker("")} | ({room.conf: room.policy} if room.trained else {})
        if len(arms) < 2:
            raise ConfigError(
                "stages are compared with each other, and there is one: train, or name adapters by "
                "'evaluation.stages={untrained: \"\", sft: runs/FOLDER}'"
            )
        _, held = room.held_out(Example, self.most)
        works = [
            Work(f"d{number:04d}", Problem("summary", each.prompt, each.completion, each.id))
            for number, each in enumerate(held)
        ]
        judges = {REWARD: room.judge} if room.judge else {}
        room.begin(arms, judges, f"{len(works)} texts")
        texts = write(room, arms, works)
        findings = _overlap(texts)
        counts = {"texts": len(works), "summarised by all": len(texts.works)}
        for name, judge in judges.items():
            verdicts = judge_texts(room, name, judge, judge.agent or room.speaker(""), texts)
            for arm, own in verdicts.items():
                counts[f"{arm} judged"] = sum(verdict is not None for verdict in own)
            findings += texts.means(name, rewards(verdicts))
        return Report(
            about=f"{room.conf}: {len(texts.works)} held-out texts, summarised by {', '.join(arms)}.",
            findings=tuple([*findings, *texts.common()]),
            less="change",
            notes=NOTES,
            counts=counts,
            alarms={**alarms(findings), **texts.alarms()},
        )


def _overlap(texts: Texts) -> list[Finding]:
    references = [work.problem.reference for work in texts.works]
    scores = {arm: rouge([turn.text for turn in own], references) for arm, own in texts.turns.items()}
    return [
        finding
        for kind in KINDS
        for finding in texts.means(kind, {arm: own[kind] for arm, own in scores.items()})
    ]


def alarms(findings: Sequence[Finding]) -> dict[str, str]:
    """Stages whose reward rises while their overlap with references falls."""
    change = {(each.measure, each.arm): each.difference for each in findings if each.difference}
    found = {}
    for (measure, arm), reward in change.items():
        fell = [kind for kind in KINDS if (d := change.get((kind, arm))) is not None and d.sign < 0]
        if measure == REWARD and reward.sign > 0 and fell:
            found[f"reward_hacking_{arm}"] = (
                f"reward hacking suspected: {arm} is rewarded {reward.value:+.3f} more than the stage "
                f"before it, and shares less with the references ({', '.join(fell)})"
            )
    return found
