"""What the judge makes of chains: ratings of all versions, pairs, comparisons, examples."""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agents.base import Agent
from agents.dialogue import Message
from agents.errors import ConfigError
from arena.feedback.chain import Chain, Version, example
from arena.feedback.events import TEACHER, Event, Feedback, Made, Preferred, Rated
from arena.feedback.floor import chunks
from arena.feedback.pairing import Contest, compare
from arena.feedback.revising import Revising
from rewards.judge import Judge
from rewards.pairwise import Pairwise
from rewards.verdict import Example, Preference, Verdict, prefer


@dataclass(frozen=True)
class Judging:
    """Who judges versions, and what is made of them.

    Args:
        plan: who answers and revises.
        judge: rates each version; `judge.agent` is a third agent, else the teacher judges, else the author
            that sits behind, without its adapter.
        pairwise: compares the last version with the first, in both orders; None: nobody does.
        example: what chains become: `chain`, or `last` for the last version alone.
        judged: verdicts on record, by turn id.
        compared: comparisons on record, by feedback id.
    """

    plan: Revising
    judge: Judge
    pairwise: Pairwise | None = None
    example: str = "chain"
    judged: Mapping[str, Verdict] = field(default_factory=dict)
    compared: Mapping[str, Feedback] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a panel whose members are rated by different judges: their ratings are on no one scale."""
        seats = [self.plan.floor.seats[seat].fixed() for seat in self.plan.authors]
        alone = self.judge.agent is None and TEACHER not in self.plan.floor.seats
        if self.plan.feedback == "peers" and alone and len({seat.company for seat in seats}) > 1:
            raise ConfigError(
                "the members of this panel are different models, each rated by another one, and what one "
                "judge calls 7 is another's 4: set one judge for all by agent@judge.agent=NAME"
            )

    def prompt(self, chain: Chain) -> tuple[Message, ...]:
        """What the author of a chain was asked."""
        return chain.work.view(self.plan.floor.seats[chain.seat])

    def judge_of(self, seat: str) -> tuple[str, Agent]:
        """(name, agent) that judges an author's versions."""
        if self.judge.agent is not None:
            return "judge", self.judge.agent
        seats = self.plan.floor.seats
        if TEACHER in seats:
            return TEACHER, seats[TEACHER]
        authors = self.plan.authors
        other = authors[(authors.index(seat) + 1) % len(authors)]
        return other, seats[other] if self.judge.moving else seats[other].fixed()


Verdicts = Mapping[str, Verdict]


def judge_chains(judging: Judging, chains: Sequence[Chain]) -> Generator[Event, None, None]:
    """Ratings, then pairs, comparisons and examples."""
    verdicts: dict[str, Verdict] = {}
    for seat in judging.plan.authors:
        own = [chain for chain in chains if chain.seat == seat]
        verdicts |= yield from _rated(judging, seat, own)
    for chain in chains:
        yield from _own_pairs(judging, chain, verdicts)
    if judging.plan.feedback == "peers":
        yield from _panel(judging, chains, verdicts)
    else:
        made = (example(chain, judging.prompt(chain), judging.example) for chain in chains)
        for chain, found in zip(chains, made, strict=True):
            if found is not None:
                yield Made(found, chain.seat)
    yield from _compared(judging, chains)


def _rated(
    judging: Judging, seat: str, chains: Sequence[Chain]
) -> Generator[Event, None, dict[str, Verdict]]:
    name, agent = judging.judge_of(seat)
    todo = [(chain, version) for chain in chains for version in chain.versions]
    floor, found, done = judging.plan.floor, dict[str, Verdict](), 0
    for part in chunks(todo, floor.chunk):
        began = time.perf_counter()
        cases = [chain.case(version) for chain, version in part]
        if all(case.id in judging.judged for case in cases):
            verdicts = [judging.judged[case.id] for case in cases]
        else:
            seeds = [floor.seed_of("judge", case.id) for case in cases]
            given = judging.judge.rate(agent, cases, seeds)
            verdicts = [judging.judged.get(verdict.id, verdict) for verdict in given]
        done += len(part)
        kinds = tuple(version.turn.kind for _, version in part)
        yield Rated(name, tuple(verdicts), kinds, done, len(todo), time.perf_counter() - began)
        found |= {verdict.id: verdict for verdict in verdicts}
    return found


def _own_pairs(judging: Judging, chain: Chain, verdicts: Verdicts) -> Generator[Event, None, None]:
    """The last version over the first, and each over its predecessor, where the judge agrees."""
    versions = chain.versions
    steps = list(zip(versions[1:], versions, strict=False))
    if len(versions) > 2:
        steps.append((versions[-1], versions[0]))
    for after, before in steps:
        pair = _preferred(judging, judging.prompt(chain), (before, after), verdicts)
        if pair is not None and pair.chosen_id == after.turn.id:
            found = replace(pair, kind="revision")
            yield Preferred(found, chain.seat, judging.judge_of(chain.seat)[0])


def _preferred(
    judging: Judging, prompt: Sequence[Message], versions: Sequence[Version], verdicts: Verdicts
) -> Preference | None:
    judge = judging.judge
    drafts = [(version.turn.id, version.reply) for version in versions]
    given = [verdicts[version.turn.id] for version in versions]
    return prefer(prompt, drafts, given, judge.tie_margin, judge.pair_truncated)[0]


def _panel(judging: Judging, chains: Sequence[Chain], verdicts: Verdicts) -> Generator[Event, None, None]:
    """Of the members' last answers to a problem the best over the worst; the best is an example."""
    for work in {chain.work.id: chain.work for chain in chains}.values():
        own = [chain for chain in chains if chain.work is work]
        pair = _preferred(judging, (), [chain.last for chain in own], verdicts)
        if pair is None:
            continue
        best = next(chain for chain in own if chain.last.turn.id == pair.chosen_id)
        prompt = judging.prompt(best)
        name = judging.judge_of(best.seat)[0]
        yield Preferred(replace(pair, prompt=prompt, kind="panel"), best.seat, name)
        text = pair.chosen.text
        yield Made(Example(f"{pair.chosen_id}#panel", prompt, text, 1.0, best.revisions), best.seat)


def _compared(judging: Judging, chains: Sequence[Chain]) -> Generator[Event, None, None]:
    """The last version against the first, where there are revisions."""
    if judging.pairwise is None:
        return
    for seat in judging.plan.authors:
        name, agent = judging.judge_of(seat)
        contests = [
            Contest(
                chain.case(chain.versions[0]),
                chain.case(chain.last),
                chain.work.problem.task,
                (seat, seat),
                (judging.prompt(chain),) * 2,
            )
            for chain in chains
            if chain.seat == seat and chain.revisions
        ]
        yield from compare(
            judging.pairwise, agent, name, "comparison", contests, judging.plan.floor, judging.compared
        )
