"""Expert-likeness: is a speaker taken for a human expert? A judge is asked, and asked again about controls.

The game of ExpertChat (https://github.com/nstranges/expert-chat): be taken for a human expert. A judge's word
is worth what it says beyond its habit, so the same question is asked with the turns in another order, and
with nothing said (content-free input, Zhao et al. 2021, https://arxiv.org/abs/2102.09690).
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.base import Agent, Prompt
from agents.dialogue import Reply
from agents.errors import ConfigError, Unavailable
from arena import records
from arena.evaluation.dialogue.reading import Talk
from arena.evaluation.room import PATIENCE, answers
from arena.scribe import Scribe
from arena.seeds import seed_of
from rewards.rubric import Rubric
from rewards.verdict import Case

SAID, SHUFFLED, EMPTY = "said", "shuffled", "empty"
"""What the judge is shown: what was said, the same turns in another order, nothing in each turn."""
NOTHING = "N/A"
ABOUT = "likeness"
"""What its table holds, and what abstentions are about."""
HUMAN, MACHINE = "human", "machine"

_WHO = {
    HUMAN: r"human(?: being| expert)?|person|real expert",
    MACHINE: r"machine|(?:chat)?bot|computer|program|AI|language model|robot",
}
_CLAIM = {
    who: re.compile(
        rf"\bB (?:is|(?:seems|appears) to be)(?: most)?(?: (?!hardly)\w+ly)?"
        rf" (?:an? )?(?:(?!not |no )\w+ )?(?:{words})\b",
        re.IGNORECASE,
    )
    for who, words in _WHO.items()
}
_ALONE = {
    who: re.compile(rf"\W*(?:answer:\s*)?(?:an? )?(?:{words})\W*", re.IGNORECASE)
    for who, words in _WHO.items()
}


@dataclass(frozen=True)
class Asked:
    """One question: whom it is about, and in which form it is shown."""

    talk: Talk
    speaker: str
    form: str
    """`said`, `shuffled` or `empty`."""

    @property
    def id(self) -> str:
        """Run, dialogue, speaker and form."""
        return f"{self.talk.run}:{self.talk.id}.{self.speaker}.{self.form}"

    def case(self, seed: int) -> Case:
        """What the judge is shown: the speaker is B, everybody else A."""
        lines = [
            # On one line each, so that no text can begin a turn of the other.
            (self.speaker == turn.speaker, " ".join(turn.text.split()))
            for turn in self.talk.turns
        ]
        if self.form == EMPTY:
            lines = [(own, NOTHING) for own, _ in lines]
        elif self.form == SHUFFLED:
            lines = _another_order(lines, seed_of(seed, "shuffle", f"{self.talk.run}/{self.talk.id}"))
        told = "\n".join(f"{'B' if own else 'A'}: {text}" for own, text in lines)
        return Case(self.id, self.talk.topic, (), Reply(told))


class Likeness:
    """Asks whether a speaker is a human expert or a machine.

    An agent with label probabilities answers by those of the two words after `lead`; another one writes.

    Args:
        agent: who judges.
        rubric: how it is asked: a text file with {topic}, and {reply} for the conversation.
        lead: the words that a local judge's answer begins with.
        mass: least probability of both words together; below it the judge did not mean to say which.
        max_new_tokens: the limit of a judge that writes.
    """

    def __init__(
        self,
        agent: Agent,
        rubric: str = "human_or_machine",
        lead: str = "B is a ",
        mass: float = 0.1,
        max_new_tokens: int = 32,
    ) -> None:
        """Take the settings; nothing is loaded."""
        if not 0 <= mass <= 1:
            raise ConfigError(f"mass is a probability and must be in [0, 1], got {mass!r}")
        self.agent, self.rubric, self.lead, self.mass = agent, rubric, lead, mass
        self.max_new_tokens = max_new_tokens

    def __call__(self, scribe: Scribe, asked: Sequence[Asked], seed: int) -> dict[str, float]:
        """The probability of "human" by id of the question; abstentions are on record as failures.

        What got no reply is no abstention: it is asked again by a continued evaluation.

        Raises:
            Unavailable: the judge is out of reach; what it said until then is on record.
        """
        known = {row["id"]: row["human"] for row in scribe.run.rows(ABOUT)}
        lost = {row["of"] for row in abstentions(scribe)}
        new = [each for each in asked if each.id not in known and each.id not in lost]
        by_id, rubric = {each.id: each for each in new}, Rubric.load(self.rubric)

        def ask(part: Sequence[Asked]) -> Sequence[_Answer | Unavailable]:
            prompts = [rubric.ask(each.case(seed)) for each in part]
            return self._answers(prompts, [seed_of(seed, ABOUT, each.id) for each in part])

        for told in answers(scribe, self.agent, new, ask, heard=bool(known or lost)):
            for id, answer in told.items():
                if answer.human is None:
                    scribe.fail(id, answer.status, ABOUT, answer.raw, by=self.agent.name)
                    continue
                scribe.append(ABOUT, _row(by_id[id], answer, self.agent.name))
                known[id] = answer.human
        return {each.id: known[each.id] for each in asked if each.id in known}

    def _answers(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Sequence["_Answer | Unavailable"]:
        if self.agent.reads_labels:
            found = self.agent.rate(prompts, (HUMAN, MACHINE), self.lead)
            return [self._read(probs[0], mass) for probs, mass in found]
        said = self.agent.outcomes(
            prompts, seeds=seeds, max_new_tokens=self.max_new_tokens, patience=PATIENCE
        )
        gone = [each for each in said if isinstance(each, Unavailable)]
        if len(gone) == len(said):
            raise gone[0]
        return [_wrote(each.text) if isinstance(each, Reply) else each for each in said]

    def _read(self, human: float, mass: float) -> "_Answer":
        raw = f"mass {mass:.3f}; {human:.3f}"
        if not mass >= self.mass:  # so that a mass that is no number abstains as well
            return _Answer(None, "no_choice_meant", raw)
        return _Answer(human, "ok", raw)


@dataclass(frozen=True)
class _Answer:
    """What a judge says; without a probability it abstains."""

    human: float | None
    status: str
    raw: str


def abstentions(scribe: Scribe) -> list[records.Row]:
    """The failures on record of questions that the judge answered, but not to say which."""
    return [row for row in scribe.run.rows("failures") if row["about"] == ABOUT]


def parse_who(text: str) -> str:
    """`human`, `machine`, `absent` or `ambiguous` (both): whom a judge's text takes B for.

    >>> [parse_who(text) for text in ("B is a human.", "Machine", "B is not a human", "A human would not.")]
    ['human', 'machine', 'absent', 'absent']
    """
    for patterns, find in ((_CLAIM, "search"), (_ALONE, "fullmatch")):
        found = [who for who, pattern in patterns.items() if getattr(pattern, find)(text)]
        if found:
            return found[0] if len(found) == 1 else "ambiguous"
    return "absent"


def _wrote(text: str) -> _Answer:
    who = parse_who(text)
    return _Answer(float(who == HUMAN), "ok", text) if who in _WHO else _Answer(None, who, text)


def _another_order(lines: Sequence[tuple[bool, str]], seed: int) -> list[tuple[bool, str]]:
    """The lines in another order than their own, where there is one."""
    draw, places = random.Random(seed), list(range(len(lines)))
    while places == sorted(places):
        draw.shuffle(places)
    return [lines[place] for place in places]


def _row(asked: Asked, answer: _Answer, judge: str) -> records.Row:
    """A row of `likeness.jsonl`."""
    return {
        "schema": "arena.likeness/1",
        "id": asked.id,
        "run": asked.talk.run,
        "dialogue": asked.talk.id,
        "speaker": asked.speaker,
        "form": asked.form,
        "human": answer.human,
        "judge": judge,
        "raw": answer.raw,
        "ts": records.now(),
    }


def values(found: Mapping[str, float], talk: Talk, speaker: str) -> dict[str, float]:
    """The probability of "human" by form, of one speaker's part; without those the judge abstained from."""
    ids = {form: Asked(talk, speaker, form).id for form in (SAID, SHUFFLED, EMPTY)}
    return {form: found[id] for form, id in ids.items() if id in found}
