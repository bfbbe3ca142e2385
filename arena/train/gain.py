"""What practice has gained: held-out prompts, answered before and after with equal seeds, and rewarded."""

from collections.abc import Sequence

from agents.base import Agent
from agents.dialogue import Message
from agents.errors import ArenaError
from arena.problems import Problem
from arena.scribe import Scribe
from arena.seeds import seed_of
from arena.stats.intervals import clustered_mean
from rewards.judge import Judge
from rewards.verdict import Case, Verdict


def gain(
    agent: Agent, judge: Judge, problems: Sequence[Problem], seed: int, scribe: Scribe
) -> dict[str, float | int]:
    """Mean rewards of one text per prompt, and their paired difference with its 95 % interval.

    Args:
        agent: as it is now; `agent.fixed()` is how it was.
        judge: who rewards; without an agent of its own it is the agent as it was.
        problems: two held-out prompts or more.
        seed: of texts and judgements; the same before and after.
        scribe: writes down what got no reward.

    Raises:
        ArenaError: fewer than two prompts got a reward on both sides.
    """
    first = agent.fixed()
    sides = {
        name: _verdicts(name, each, first, judge, problems, seed)
        for name, each in (("before", first), ("after", agent))
    }
    for verdict in (v for verdicts in sides.values() for v in verdicts if v.reward is None):
        scribe.fail(verdict.id, verdict.status, "gain", verdict.raw, by=verdict.judge)
    pairs = [
        (old.reward, new.reward)
        for old, new in zip(sides["before"], sides["after"], strict=True)
        if old.reward is not None and new.reward is not None
    ]
    change = clustered_mean([new - old for old, new in pairs], range(len(pairs)))
    if change is None or len(pairs) < 2:
        raise ArenaError(
            f"the adapter is trained, but only {len(pairs)} of {len(problems)} held-out prompts were "
            "rewarded before and after, so that its gain cannot be told: failures.jsonl says why"
        )
    return {
        "prompts": len(problems),
        "rewarded": len(pairs),
        "before": sum(old for old, _ in pairs) / len(pairs),
        "after": sum(new for _, new in pairs) / len(pairs),
        "change": change.value,
        "change_low": change.interval[0],
        "change_high": change.interval[1],
    }


def _verdicts(
    name: str, agent: Agent, first: Agent, judge: Judge, problems: Sequence[Problem], seed: int
) -> list[Verdict]:
    persona = [Message(role="system", content=agent.system)] if agent.system else []
    prompts = [[*persona, *problem.prompt] for problem in problems]
    seeds = [seed_of(seed, "gain", str(i)) for i in range(len(problems))]
    replies = [drafts[0] for drafts in agent.reply(prompts, seeds=seeds)]
    cases = [
        Case(f"gain{i:04d}.{name}", problem.question, problem.prompt, reply, reference=problem.reference)
        for i, (problem, reply) in enumerate(zip(problems, replies, strict=True))
    ]
    return judge.rate(judge.agent or first, cases, seeds)
