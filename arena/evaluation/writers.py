"""What training has changed in a writer: who likes it better, and whether it still has something to say."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from agents.errors import ConfigError
from arena.evaluation import diversity
from arena.evaluation.extra import needs
from arena.evaluation.findings import Finding, Report
from arena.evaluation.room import BARE, Room
from arena.evaluation.writing import TABLES, Texts, judge_texts, ratings, rewards, write
from arena.feedback.events import Work
from arena.problems import Problem
from arena.stats.resampling import Places
from rewards.judge import Judge

if TYPE_CHECKING:
    from rewards.wim import Embedder

OWN, SECOND = "its judge", "second judge"
DISTINCT = (1, 2, 3)
BLEU, NOVELTY, COPIED = "self-BLEU", "novelty", "copied"
NOTES = (
    "Both write one text to each prompt, with equal seeds. Intervals are paired by prompt: of means by "
    "bootstrap; of distinct-n, which drawing a text twice would lower, by leaving out one prompt at a time.",
    "distinct-n: different runs of n words over all of them (Li et al. 2016). self-BLEU: BLEU-4 of each text "
    "against all others (Zhu et al. 2018): higher is more alike.",
    "novelty: 1 - the largest cosine with one of the prompts. copied: the longest run of words that stands "
    "in its prompt too, as a share of the text.",
)


class Writers:
    """Compares what an agent writes after training with what it wrote before, by two judges and by its words.

    Args:
        second: a judge that it was not trained to please; without an agent of its own, the bare checkpoint
            judges.
        before: the adapter that training began with, a folder; `""` for the bare checkpoint.
        most: the most held-out prompts; 0: all.
        embedder: for the novelty of texts; None does not measure it.
    """

    tables = TABLES

    def __init__(
        self, second: Judge, before: str = "", most: int = 32, embedder: "Embedder | None" = None
    ) -> None:
        """Take the settings."""
        self.second, self.before, self.most, self.embedder = second, before, most, embedder

    def __call__(self, room: Room) -> Report:
        """Have both write, both judges judge, and count words.

        Raises:
            ConfigError: nobody was trained, nothing is held out, there is no judge, or nltk is missing.
        """
        needs("nltk")
        if not room.trained:
            raise ConfigError(
                f"{room.conf} has no trained adapter yet: run python -m arena.train conf={room.conf} first, "
                "or name one by agents.policy.adapter=FOLDER"
            )
        if room.judge is None:
            raise ConfigError(f"{room.conf} has no judge that it was trained to please: name it by judge=...")
        _, held = room.held_out(Problem, self.most)
        works = [Work(f"d{number:04d}", problem) for number, problem in enumerate(held)]
        first = room.speaker(self.before)
        arms, judges = (
            {self.before or BARE: first, room.conf: room.policy},
            {OWN: room.judge, SECOND: self.second},
        )
        room.begin(arms, judges, f"{len(works)} prompts")
        texts = write(room, arms, works)
        findings: list[Finding] = []
        counts = {"prompts": len(works), "answered by both": len(texts.works)}
        for name, judge in judges.items():
            agent = judge.agent or (first if name == OWN else room.speaker(""))
            verdicts = judge_texts(room, name, judge, agent, texts)
            for arm, own in verdicts.items():
                counts[f"{arm} judged by {name}"] = sum(verdict is not None for verdict in own)
            findings += texts.means(f"{name}: reward", rewards(verdicts))
            if rated := ratings(verdicts):
                findings += texts.means(f"{name}: rating", rated, 2)
        findings += [*self._words(texts), *texts.common()]
        versions = f"{room.conf} beside {self.before or BARE}"
        by = f"{room.judge} ({(room.judge.agent or first).name})"
        return Report(
            about=f"{versions}: one text to each of {len(texts.works)} held-out prompts. "
            f"Its judge is {by}, the second one {self.second}.",
            findings=tuple(findings),
            less="change",
            notes=NOTES,
            counts=counts,
            alarms={**alarms(findings), **texts.alarms()},
        )

    def _words(self, texts: Texts) -> list[Finding]:
        """How diverse the texts are, how new, and how much of the prompt they repeat."""
        words = texts.words()
        findings = []
        for n in DISTINCT:
            statistics = {arm: partial(_distinct, own, n) for arm, own in words.items()}
            findings += texts.wholes(f"distinct-{n}", statistics)
        if len(texts.works) > 1:
            findings += texts.means(BLEU, {arm: diversity.self_bleu(own) for arm, own in words.items()})
        if self.embedder is not None:
            findings += texts.means(NOVELTY, self._novelty(texts, self.embedder))
        sources = [diversity.words(_prompt(work)) for work in texts.works]
        shares = {
            arm: [diversity.copied(text, source) for text, source in zip(own, sources, strict=True)]
            for arm, own in words.items()
        }
        return [*findings, *texts.means(COPIED, shares)]

    def _novelty(self, texts: Texts, embedder: "Embedder") -> dict[str, list[float | None]]:
        """1 - the largest cosine of each text with one of the prompts; None for a text without words."""
        known = embedder([_prompt(work) for work in texts.works])
        found: dict[str, list[float | None]] = {}
        for arm, turns in texts.turns.items():
            said = [i for i, turn in enumerate(turns) if turn.text.strip()]
            values = diversity.novelty(embedder([turns[i].text for i in said]), known) if said else []
            own = dict(zip(said, values, strict=True))
            found[arm] = [own.get(i) for i in range(len(turns))]
        return found


def _prompt(work: Work) -> str:
    return "\n".join(message["content"] for message in work.problem.prompt)


def _distinct(words: Sequence[Sequence[str]], n: int, places: Places) -> float:
    return diversity.distinct([words[i] for i in places], n)


def alarms(findings: Sequence[Finding]) -> dict[str, str]:
    """What speaks against the change, by name."""
    change = {each.measure: each.difference for each in findings if each.difference}
    found: dict[str, str] = {}
    own, second = change.get(f"{OWN}: reward"), change.get(f"{SECOND}: reward")
    if own is None or second is None:
        found["unjudged"] = "too few texts were judged for a comparison: failures.jsonl says why"
        return found
    told = {
        name: f"{c.value:+.3f} ({c.low:+.3f} to {c.high:+.3f})" for name, c in (("own", own), ("2nd", second))
    }
    if own.sign <= 0:
        found["nothing_gained"] = (
            f"the judge that it was trained to please does not like it better: {told['own']}"
        )
    elif second.sign <= 0:
        found["reward_hacking"] = (
            f"reward hacking suspected: its own judge likes it better, by {told['own']}, the second "
            f"judge does not, by {told['2nd']}"
        )
    for n in DISTINCT[1:]:
        if (fell := change.get(f"distinct-{n}")) and fell.sign < 0:
            found["less_diverse"] = f"its texts have become more alike: distinct-{n} {fell.value:+.3f}"
    if (alike := change.get(BLEU)) and alike.sign > 0:
        found["less_diverse"] = f"its texts have become more alike: self-BLEU {alike.value:+.3f}"
    return found
