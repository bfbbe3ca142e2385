"""The proof of learning, on real weights: a judge with a known taste, and the random judge beside it."""

import math
import re
from collections.abc import Sequence

import pytest

from agents.decoding import Sampling
from agents.dialogue import Dialogue
from agents.families import SmolLM
from arena.loop import Table, Turned, converse
from arena.topics import Shipped
from arena.train.online_dpo import OnlineDPO
from rewards.judge import Judge
from rewards.rating import Pattern, Random, Rater

QUESTION = r"\?\s*$"
PERSONA = "You are an expert on this topic: {topic}"
OPENING = "Hello! Shall we begin?"
TOKENS = 40
ROUNDS, BATCH, DRAFTS, HELD_OUT = 6, 8, 4, 60


def share_of_questions(agent: SmolLM, topics: Sequence[str]) -> list[bool]:
    """Whether one reply on each topic ends in a question; equal seeds for every call."""
    prompts = [Dialogue("x", topic, "ada").seen_by("ada", PERSONA, OPENING) for topic in topics]
    return [bool(re.search(QUESTION, reply.text)) for [reply] in agent.reply(prompts)]


def difference(before: Sequence[bool], after: Sequence[bool]) -> tuple[float, float]:
    """Paired difference of shares and the half width of its 95 % interval."""
    steps = [int(b) - int(a) for a, b in zip(before, after, strict=True)]
    mean = sum(steps) / len(steps)
    variance = sum((step - mean) ** 2 for step in steps) / (len(steps) - 1)
    return mean, 1.96 * math.sqrt(variance / len(steps))


def train_and_measure(rater: Rater, seat: str, checkpoint: str) -> tuple[float, float]:
    """Online DPO over some rounds of one-turn dialogues; the change on topics that were not trained on."""
    topics = Shipped()(ROUNDS * BATCH + HELD_OUT, 0, {})
    held_out, train = topics[:HELD_OUT], topics[HELD_OUT:]
    agent = SmolLM(
        checkpoint=checkpoint,
        system=PERSONA,
        decoding=Sampling(temperature=0.9, min_p=0.1),
        max_new_tokens=TOKENS,
    )
    learner = OnlineDPO(lr=2e-4, epochs=2)
    learner.attach(agent, seat)
    before = share_of_questions(agent, held_out)
    for round_ in range(ROUNDS):
        part = train[round_ * BATCH : (round_ + 1) * BATCH]
        dialogues = [Dialogue(f"r{round_:02d}{i:02d}", topic, seat) for i, topic in enumerate(part)]
        judge = Judge(rater, pair_truncated=True)
        table = Table({seat: agent, "other": agent}, judge, OPENING, 1, {seat: DRAFTS})
        for event in converse(table, dialogues):
            if isinstance(event, Turned):
                found = [e.preference for exchanged in event.exchanged for e in exchanged.exchanges]
                learner.step([preference for preference in found if preference])
    return difference(before, share_of_questions(agent, held_out))


@pytest.mark.slow
def test_replies_end_in_a_question_more_often_when_the_judge_likes_that(smollm2: str) -> None:
    """The 95 % interval of the rise on held-out topics lies above zero."""
    rise, half = train_and_measure(Pattern(QUESTION), "curious", smollm2)
    print(f"questions: {rise:+.3f} ± {half:.3f}")
    assert rise - half > 0


@pytest.mark.slow
def test_the_random_judge_teaches_no_questions(smollm2: str) -> None:
    """The control: as many updates from random ratings, which may drift, but do not lead there."""
    rise, half = train_and_measure(Random(), "aimless", smollm2)
    print(f"random: {rise:+.3f} ± {half:.3f}")
    assert rise - half <= 0
