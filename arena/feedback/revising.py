"""Revising: answers are commented on and revised, round by round, all chains in step.

After SelFee (Ye et al. 2023): one agent on itself, or a teacher that gives the feedback; and after
Exchange-of-Thought (Yin et al. 2023): a panel, whose members read each other's answers. Stopping and
enforcing work on texts, between turns. No files, no printing.
"""

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from agents.base import Agent
from agents.dialogue import Message, Turn, letters
from agents.errors import ConfigError
from arena.feedback.chain import Chain, Comment, Version
from arena.feedback.events import TEACHER, Event, Feedback, Given, Work
from arena.feedback.floor import Floor, Line
from rewards.rewriting import clean_rewrite
from rewards.rubric import Rubric, form
from rewards.stopping import overrule, parse_stop

_SCORE = re.compile(r"\bscore\b\W*(?:is|of)?\W*\d+(?:\.\d+)?(?:\s*(?:/|out of)\s*10)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")

SOURCES = ("self", "teacher", "peers")


@dataclass(frozen=True)
class Revising:
    """Who answers, where feedback comes from, and when it is enough.

    Args:
        floor: the authors, and `teacher` where there is one.
        feedback: `self`, `teacher` or `peers` (the other authors' answers, without a verdict).
        rubric: how feedback is asked for.
        begins: what a local agent's feedback begins with; small models else forget the form.
        rewrite: the form in which an author is shown feedback; with peers, their answers.
        minimum: revisions that every answer gets, whatever its feedback says; 0: as the feedback says.
        maximum: the most revisions of an answer.
        unclear: what follows from feedback without a clear verdict: `revise` or `stop`.
        attempts: tries at a revision that has words of its own, at least 1.
        comment_tokens: the most tokens of feedback; 0: the speaker's own limit.
    """

    floor: Floor
    feedback: str = "self"
    rubric: str = "feedback"
    begins: str = "Score:"
    rewrite: str = "rewrite"
    minimum: int = 0
    maximum: int = 3
    unclear: str = "revise"
    attempts: int = 3
    comment_tokens: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        for name, allowed in (("feedback", SOURCES), ("unclear", ("revise", "stop"))):
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{name}={getattr(self, name)!r} is not known; allowed are {', '.join(allowed)}"
                )
        if not 0 <= self.minimum <= self.maximum:
            raise ConfigError(
                f"min_revisions must be between 0 and max_revisions={self.maximum}, got {self.minimum}"
            )
        if self.attempts < 1:
            raise ConfigError(f"attempts must be at least 1, got {self.attempts}")
        if self.feedback == "teacher" and TEACHER not in self.floor.seats:
            raise ConfigError("feedback=teacher, and there is none: seat one by agent@teacher=NAME")
        if not self.authors:
            raise ConfigError("nobody answers: seat an author by +agent@agents.NAME=smollm")
        if self.feedback == "peers" and self.minimum:
            raise ConfigError("peers revise max_revisions times, whatever they read: leave min_revisions=0")
        if self.feedback == "peers" and len(self.authors) < 2:
            raise ConfigError("peers read each other's answers: seat two authors or more")
        if not self.request:  # a form that cannot be had is an error here, before the answers
            raise ConfigError(f"the form {self.rewrite!r} holds no words to ask an author with")
        if self.knows_reference and self.feedback != "teacher":
            raise ConfigError(
                f"rubric={self.rubric!r} shows the correct answer to whoever gives feedback, which must not "
                "be the author: set feedback=teacher and agent@teacher=NAME, or rubric=feedback"
            )
        if self.feedback != "teacher" and TEACHER in self.floor.seats:
            raise ConfigError(f"there is a teacher, but feedback={self.feedback}: set feedback=teacher")

    @property
    def request(self) -> str:
        """The words in which an author is asked to revise, without what fills them."""
        return form(self.rewrite, **{"answers" if self.feedback == "peers" else "comment": ""})

    @property
    def knows_reference(self) -> bool:
        """Whether whoever gives feedback is shown the correct answer."""
        return self.feedback != "peers" and "{reference}" in Rubric.load(self.rubric).case

    @property
    def authors(self) -> list[str]:
        """The seats that answer and revise."""
        return [seat for seat in self.floor.seats if seat != TEACHER]

    def critic(self, seat: str) -> tuple[str, Agent]:
        """(seat, agent) that gives feedback to an author."""
        critic = TEACHER if self.feedback == "teacher" else seat
        return critic, self.floor.seats[critic]

    def number(self, seat: str, step: int) -> int:
        """The number of an author's turn; comments count as steps of its chain."""
        return step * len(self.authors) + self.authors.index(seat)


def revise(plan: Revising, works: Sequence[Work]) -> Generator[Event, None, list[Chain]]:
    """Every answer, comment and revision; returns the chains."""
    lines = [
        Line(work.turn_id(plan.number(seat, 0)), "", seat, "answer", work.view(plan.floor.seats[seat]))
        for work in works
        for seat in plan.authors
    ]
    answers = yield from plan.floor.say("answers", lines)
    chains = [
        Chain(work, seat, [Version(answers[id], answers[id].text)])
        for work in works
        for seat in plan.authors
        if (id := work.turn_id(plan.number(seat, 0))) in answers and answers[id].text.strip()
    ]
    if plan.feedback == "peers":
        for chain in chains:
            others = any(other.work is chain.work and other is not chain for other in chains)
            chain.end = "" if others else "no_peers"
    for round in range(1, plan.maximum + 1):
        live = [chain for chain in chains if not chain.end]
        if plan.feedback != "peers":
            yield from _commented(plan, live, round)
            live = [chain for chain in live if not chain.end]
        if not live:
            break
        yield from _revised(plan, live, round, _told(plan, live, chains))
    for chain in chains:
        chain.end = chain.end or "limit"
    return chains


def _commented(plan: Revising, live: Sequence[Chain], round: int) -> Generator[Event, None, None]:
    """Ask for feedback on the newest version of each chain; some end here."""
    ids = [chain.work.turn_id(plan.number(chain.seat, 2 * round - 1)) for chain in live]
    lines = [
        Line(id, chain.last.turn.id, plan.critic(chain.seat)[0], "feedback", _asked(plan, chain), plan.begins)
        for id, chain in zip(ids, live, strict=True)
    ]
    said = yield from plan.floor.say(f"feedback {round}", lines, plan.comment_tokens)
    for id, chain in zip(ids, live, strict=True):
        turn = said.get(id)
        if turn is None:
            chain.end = "no_reply"
            yield _given(plan, chain, "no_reply", status="no_reply")
            continue
        comment = _comment(plan, chain, turn)
        chain.comments.append(comment)
        if plan.knows_reference and comment.goes_on and _reveals(turn.text, chain):
            chain.end = "revealed"
        elif not comment.goes_on:
            chain.end = "stopped" if comment.clear else "unclear"
        if chain.end:
            yield _given(plan, chain, chain.end)


def _asked(plan: Revising, chain: Chain) -> tuple[Message, ...]:
    return tuple(Rubric.load(plan.rubric).ask(chain.case(chain.last)))


def _comment(plan: Revising, chain: Chain, turn: Turn) -> Comment:
    """What a comment says, and what follows: an answer gets its minimum of revisions, whatever it says."""
    stop = parse_stop(turn.text, turn.reply.truncated)
    if stop.status == "needed":
        return Comment(turn, stop, turn.text, goes_on=True)
    short = chain.revisions < plan.minimum
    unclear = stop.status != "not_needed"
    if short or (unclear and plan.unclear == "revise" and turn.text.strip()):
        overruled = short and not unclear
        return Comment(turn, stop, overrule(turn.text), goes_on=True, overruled=overruled)
    return Comment(turn, stop, turn.text, goes_on=False)


def _reveals(text: str, chain: Chain) -> bool:
    """Whether feedback that asks for a revision holds the correct answer, its score apart."""
    gold = _words(chain.work.problem.reference)
    return bool(gold.strip()) and gold in _words(_SCORE.sub(" ", text))


def _words(text: str) -> str:
    """The words, with one space around each; 1,000 is one word."""
    text = _THOUSANDS.sub("", text)
    return " ".join(["", *re.findall(r"\w+", text.casefold()), ""])


def _told(plan: Revising, live: Sequence[Chain], chains: Sequence[Chain]) -> dict[int, list[str]]:
    """What the author of each live chain was told after each of its versions: by the chain's place."""
    if plan.feedback != "peers":
        return {
            place: [form(plan.rewrite, comment=comment.text) for comment in chain.comments]
            for place, chain in enumerate(live)
        }
    return {place: _from_peers(plan, chain, chains) for place, chain in enumerate(live)}


def _from_peers(plan: Revising, chain: Chain, chains: Sequence[Chain]) -> list[str]:
    """The others' answers of each round so far; one that has ended stays at its last version."""
    others = [other for other in chains if other.work is chain.work and other is not chain]
    return [
        form(
            plan.rewrite,
            answers="\n\n".join(
                f"{other.seat}: {other.versions[min(round, other.revisions)].text}" for other in others
            ),
        )
        for round in range(len(chain.versions))
    ]


def _revised(
    plan: Revising, live: Sequence[Chain], round: int, told: dict[int, list[str]]
) -> Generator[Event, None, None]:
    """Have each live chain's newest version revised, trying again where nothing new was said."""
    step = round if plan.feedback == "peers" else 2 * round
    prompts = [
        chain.work.view(plan.floor.seats[chain.seat], *chain.history(told[place]))
        for place, chain in enumerate(live)
    ]
    before = [chain.last for chain in live]
    status = dict.fromkeys(range(len(live)), "no_reply")
    for attempt in range(plan.attempts):
        pending = [place for place in status if status[place] != "ok"]
        ids = {
            place: live[place].work.turn_id(plan.number(live[place].seat, step), letters(attempt))
            for place in pending
        }
        lines = [
            Line(ids[place], _parent(plan, live[place]), live[place].seat, "revision", prompts[place])
            for place in pending
        ]
        said = yield from plan.floor.say(f"revisions {round}", lines)
        for place in pending:
            if (turn := said.get(ids[place])) is None:
                continue
            clean = clean_rewrite(turn.text, before[place].text, plan.request)
            status[place] = clean.status
            if clean.status == "ok":
                live[place].versions.append(Version(turn, clean.text))
        if all(found == "ok" for found in status.values()):
            break
    yield from _ends(plan, live, before, status)


def _parent(plan: Revising, chain: Chain) -> str:
    return chain.last.turn.id if plan.feedback == "peers" else chain.comments[-1].turn.id


def _ends(
    plan: Revising, live: Sequence[Chain], before: Sequence[Version], status: dict[int, str]
) -> Iterator[Event]:
    """What came of the feedback of each chain; one without a usable revision ends, and says why."""
    for place, chain in enumerate(live):
        if status[place] == "ok":
            yield _given(plan, chain, "revised", about=before[place], result=chain.last.turn.id)
        else:
            chain.end = "unchanged" if status[place] == "equal" else status[place]
            yield _given(plan, chain, chain.end)


def _given(
    plan: Revising,
    chain: Chain,
    outcome: str,
    about: Version | None = None,
    result: str = "",
    status: str = "",
) -> Given:
    about = about or chain.last
    peers = plan.feedback == "peers"
    comment = None if peers or status == "no_reply" else chain.comments[-1]
    kind = "panel" if peers else "feedback"
    return Given(
        Feedback(
            id=f"{about.turn.id}#{kind}",
            kind=kind,
            about=about.turn.id,
            by="peers" if peers else plan.critic(chain.seat)[0],
            status=status or (comment.stop.status if comment else "given"),
            outcome=outcome,
            comment=comment.turn.id if comment else "",
            result=result,
            score=comment.stop.score if comment else None,
            overruled=comment.overruled if comment else False,
        )
    )
