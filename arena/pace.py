"""How long a run will take, from a short measurement of its agents before it starts."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agents.base import Agent
from agents.dialogue import Message
from agents.local import Local
from arena.plan import Work
from rewards.judge import Judge

STEPS = 6
"""Decoding steps that are timed."""
FILL = 0.7
"""Share of the token limit that replies are reckoned to use."""
VERDICT_TOKENS = 300
"""Tokens that a judge reads per verdict, beyond the rubric that all verdicts share."""
LEARN_PASSES = 4
"""Forward passes that learning from a reply costs: reference, policy, and a backward pass of two."""


@dataclass(frozen=True)
class Pace:
    """What one agent does in a second."""

    reads: float
    """Prompt tokens."""
    writes: float
    """New tokens."""


def measure(agent: Local, rows: int) -> Pace:
    """Time a batch of `rows`: one token, then some more."""
    words = "Tell me what you know of the history and the physics of bridges, and why some of them fail. " * 4
    agent.reply([[Message(role="user", content=words)]], max_new_tokens=1)  # loads the weights
    prompts = [[Message(role="user", content=f"{row}. {words}")] for row in range(rows)]
    seconds = []
    for limit in (1, 1 + STEPS):  # the second time the prompts are known
        start = time.perf_counter()
        [*_, [last]] = agent.reply(prompts, max_new_tokens=limit)
        seconds.append(time.perf_counter() - start)
    steps = max(1e-6, seconds[1]) / (1 + STEPS)
    return Pace(last.tokens_in * rows / seconds[0], rows / steps)


def minutes(
    seats: Mapping[str, Agent], judge: Judge, work: Work, learners: Collection[str], rows: int
) -> tuple[float, str]:
    """About how many minutes a run of that much work takes, and the speeds it is reckoned from.

    A rough figure: replies may be shorter than reckoned, and remote agents are not counted. `rows` is the
    number of replies that are written at once.
    """
    everyone = dict(seats) | ({"judge": judge.agent} if judge.agent else {})
    local = {name: agent for name, agent in everyone.items() if isinstance(agent, Local)}
    paces = {agent.source: measure(agent, rows) for agent in local.values()}
    seconds = sum(
        _seconds(name, agent, paces[agent.source], judge, work, learners) for name, agent in local.items()
    )
    speeds = "; ".join(
        f"{source[0].rpartition('/')[2]} reads {pace.reads:.0f} and writes {pace.writes:.0f} tokens/s"
        for source, pace in paces.items()
    )
    return seconds / 60, speeds


def _seconds(
    name: str, agent: Local, pace: Pace, judge: Judge, work: Work, learners: Collection[str]
) -> float:
    """Writing, learning and judging of one seat (or of the judge)."""
    length = agent.max_new_tokens * FILL
    seconds = work.drafts_of.get(name, 0) * length / pace.writes
    if name in learners:
        seconds += 2 * work.turns_of[name] * LEARN_PASSES * (VERDICT_TOKENS + length) / pace.reads
    verdicts = work.verdicts_of.get(name, 0)
    seconds += work.asks_ratings * verdicts * VERDICT_TOKENS / pace.reads
    if judge.wim is not None:
        written = judge.wim.max_new_tokens * FILL / pace.writes
        seconds += verdicts * (written + VERDICT_TOKENS / pace.reads)
    return seconds
