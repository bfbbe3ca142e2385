"""What practice has gained: held-out prompts, answered before and after with equal seeds, and rewarded."""

from collections.abc import Sequence

from agents.base import Agent
from agents.dialogue import Message
from agents.errors import ArenaError
from arena.intervals import clustered_mean
from arena.problems import Problem
from arena.seeds import seed_of
from rewards.judge import Judge
from rewards.verdict import Case


def gain(
    before: Agent, after: Agent, judge: Judge, problems: Sequence[Problem], seed: int
) -> dict[str, float | int]:
    """Mean rewards of one text per prompt, and their paired difference with its 95 % interval.

    Args:
        before: the agent as it was.
        after: the agent as it is.
        judge: who rewards; without an agent of its own it is `before`.
        problems: two held-out prompts or more.
        seed: of texts and judgements; the same for both.

    Raises:
        ArenaError: fewer than two prompts got a reward on both sides.
    """
    pairs = [
        (old, new)
        for old, new in zip(
            *(_rewards(a, before, judge, problems, seed) for a in (before, after)), strict=True
        )
        if old is not None and new is not None
    ]
    change = clustered_mean([new - old for old, new in pairs], range(len(pairs)))
    if change is None or len(pairs) < 2:
        raise ArenaError(
            f"only {len(pairs)} of {len(problems)} held-out prompts were rewarded before and after: "
            "the judge abstains; look at failures.jsonl, or hold out more (valid, heldout)"
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


def _rewards(
    agent: Agent, first: Agent, judge: Judge, problems: Sequence[Problem], seed: int
) -> list[float | None]:
    persona = [Message(role="system", content=agent.system)] if agent.system else []
    prompts = [[*persona, *problem.prompt] for problem in problems]
    seeds = [seed_of(seed, "gain", str(i)) for i in range(len(problems))]
    replies = [drafts[0] for drafts in agent.reply(prompts, seeds=seeds)]
    cases = [
        Case(f"gain-{i}", problem.question, problem.prompt, reply)
        for i, (problem, reply) in enumerate(zip(problems, replies, strict=True))
    ]
    return [verdict.reward for verdict in judge.rate(judge.agent or first, cases, seeds)]
