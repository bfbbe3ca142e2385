"""A judge compares answers in both orders, or rates each; every judgement is a row."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from agents.base import Agent
from agents.dialogue import Message, Reply
from agents.errors import Unavailable
from arena import records
from arena.evaluation.match.questions import Question
from arena.evaluation.match.talk import Item
from arena.evaluation.room import CHUNK, PATIENCE, Room
from arena.feedback.floor import chunks
from arena.seeds import seed_of
from rewards.feedback import rubric_of
from rewards.judge import Judge
from rewards.pairwise import NO_REPLY, Comparison, Pairwise
from rewards.verdict import Case

ABOUT = "comparison"
EQUAL, EMPTY = "equal", "empty"
"""The choice in each order where nobody is asked: both answers are the same words; one of them is empty."""
OUTCOMES = {"about": "a", "other": "b", "tie": "tie", "flipped": "flipped"}
"""The status of a comparison, as a row of `matches.jsonl` has it; any other one is an abstention."""

_MARK = re.compile(r"\[(?=(?:user|assistant)\])", re.IGNORECASE)


@dataclass(frozen=True)
class Contest:
    """Two answers to one of the user's turns."""

    item: Item
    a: str
    b: str

    @property
    def id(self) -> str:
        """Of both answers."""
        return f"{self.item.answers[self.a].id}|{self.item.answers[self.b].id}"

    @property
    def settled(self) -> Comparison | None:
        """What it comes to without a judge; None where one is to be asked.

        The same words tie: a preference between them would be one for a place. An empty answer loses.
        """
        a, b = (self.shown(each).text.split() for each in (self.a, self.b))
        if a == b:
            return Comparison(self.id, "tie", 0.5, (EQUAL, EQUAL))
        if a and b:
            return None
        return Comparison(self.id, "about" if a else "other", float(bool(a)), (EMPTY, EMPTY))

    def shown(self, contestant: str) -> Reply:
        """What the judge sees of a contestant: after the first turn the whole conversation as it went.

        An empty answer is empty whatever went before.
        """
        reply = self.item.answers[contestant].reply
        said = self.item.before[contestant][len(self.item.question.prompt) :]
        if not said or not reply.text.strip():
            return reply
        told = [f"[{message['role']}] {_MARK.sub('[ ', message['content'])}" for message in said]
        return replace(reply, text="\n\n".join([*told, f"[assistant] {_MARK.sub('[ ', reply.text)}"]), ids=())

    def case(self) -> Case:
        """The comparison as the judge is asked."""
        question, turn = self.item.question, self.item.turn
        users = [Message(role="user", content=said) for said in question.later[:turn]]
        prompt = (*question.prompt, *users)
        a, b = self.shown(self.a), self.shown(self.b)
        return Case(self.id, question.question, prompt, a, b, reference=question.reference)


@dataclass
class Comparer:
    """Who compares, and how.

    Args:
        pairwise: how two answers are compared.
        agent: who is asked.
        rubric: for what a user says after the first answer; a first answer is compared by its task's.
    """

    pairwise: Pairwise
    agent: Agent
    rubric: str

    def __str__(self) -> str:
        """Who, and in how many orders."""
        return f"{self.agent.name}, {'both orders' if self.pairwise.swap else 'one order'}"

    def rubric_of(self, question: Question, turn: int) -> str:
        """The name of the rubric that answers to one of the user's turns, counted from 0, are judged by."""
        return self.rubric if turn else rubric_of("preference", question.task)

    def rubrics(self, questions: Sequence[Question]) -> list[str]:
        """The names of all rubrics that answers to some questions are judged by."""
        return sorted({self.rubric_of(each, turn) for each in questions for turn in range(each.turns)})


def contests(items: Sequence[Item], arms: Sequence[str]) -> list[Contest]:
    """Every two contestants on every turn that both have answered; two empty answers make no contest."""
    return [
        Contest(item, a, b)
        for item in items
        for a, b in combinations(arms, 2)
        if a in item.answers and b in item.answers and not item.empty >= {a, b}
    ]


def rate(room: Room, judge: Judge, agent: Agent, items: Sequence[Item]) -> None:
    """Have each answer rated by itself; verdicts are rows, by the id of the answer."""
    room.judged("judge", judge, agent, [item.case(arm) for item in items for arm in item.answers])


def compare(room: Room, comparer: Comparer, todo: Sequence[Contest]) -> None:
    """Have pairs of answers compared; each comparison is a row, also where the judge abstains.

    Raises:
        Unavailable: the judge was out of reach several times in a row; what it said until then is kept.
    """
    scribe = room.scribe
    known = {row["id"]: row for row in scribe.run.rows("matches")}
    for row in known.values():  # a kill may have come between a row and its failure
        _told(room, row)
    lost = {row["of"] for row in scribe.run.rows("failures") if row["what"] == NO_REPLY}
    new = [contest for contest in todo if contest.id not in known and contest.id not in lost]
    done, missed = len(todo) - len(new), _Missed()
    for part in chunks(new, CHUNK):
        began = time.perf_counter()
        settled = {contest.id: contest.settled for contest in part}
        asked = [contest for contest in part if settled[contest.id] is None]
        found = comparer.pairwise(
            comparer.agent,
            [contest.case() for contest in asked],
            [seed_of(room.seed, "compare", contest.item.work.id) for contest in asked],
            [comparer.rubric_of(contest.item.question, contest.item.turn) for contest in asked],
            PATIENCE,
        )
        said = {comparison.about: comparison for comparison in found}
        for contest in part:
            comparison = settled[contest.id] or said[contest.id]
            if missed.out_of_reach(comparison):
                continue
            row = match_row(contest, comparison, comparer.agent.name)
            scribe.append("matches", row)
            _told(room, row)
        done += len(part)
        seconds = time.perf_counter() - began
        scribe.display.say("stage", what="comparisons", done=done, of=len(todo), seconds=seconds)
        if missed.ended:
            for each in missed.all:
                scribe.fail(each.about, "unreached", "reach", each.raw, by=comparer.agent.name)
            raise Unavailable(missed.ended)
    for each in missed.all:
        scribe.fail(each.about, NO_REPLY, ABOUT, each.raw, by=comparer.agent.name)


def match_row(contest: Contest, found: Comparison, judge: str) -> records.Row:
    """A row of `matches.jsonl`: what a judge says of two answers.

    `status` is a or b (the better one in both orders), tie, flipped (each order another), or why the judge
    abstains; then there is no probability, and the number is 0.0. A choice is that of the place: A is the
    answer that stood first. In one order alone the second choice is `not_asked`; where nobody was asked both
    are `equal` or `empty`.
    """
    choices = (*found.choices, *("not_asked",) * 2)[:2]
    return {
        "schema": "arena.match/1",
        "id": contest.id,
        "dialogue": contest.item.work.id,
        "question": contest.item.question.id,
        "category": contest.item.question.category,
        "turn": contest.item.turn,
        "a": contest.a,
        "b": contest.b,
        "answer_a": contest.item.answers[contest.a].id,
        "answer_b": contest.item.answers[contest.b].id,
        "judge": judge,
        "choice_a_first": choices[0],
        "choice_b_first": choices[1],
        "status": OUTCOMES.get(found.status, found.status),
        "probability": float(found.probability or 0.0),
        "raw": found.raw,
        "ts": records.now(),
    }


def _told(room: Room, row: records.Row) -> None:
    """Count an abstention."""
    if row["status"] not in OUTCOMES.values():
        room.scribe.fail(row["id"], row["status"], ABOUT, row["raw"], by=row["judge"])


@dataclass
class _Missed:
    """Comparisons whose judge was out of reach."""

    all: list[Comparison] = field(default_factory=list)
    row: int = 0
    ended: str = ""

    def out_of_reach(self, comparison: Comparison) -> bool:
        """Whether this is one; after `PATIENCE` of them in a row the match ends."""
        if comparison.status != NO_REPLY:
            self.row = 0
            return False
        self.all.append(comparison)
        self.row += 1
        if self.row >= PATIENCE and not self.ended:
            self.ended = (
                f"the judge gave no reply {self.row} times in a row, so the match ends here; what was "
                f"written is kept, and the same command goes on from it. The last reason: {comparison.raw}"
            )
        return True
