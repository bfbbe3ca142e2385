"""Sixty-four clients at once, before real weights: nobody gets another's reward."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live_server import Live, live

from agents.dialogue import Message
from agents.families import SmolLM
from arena.serving.items import Item, rate
from rewards.judge import Judge
from rewards.rating import Labels

CLIENTS, BATCH = 64, 32
REQUESTS = int(os.environ.get("ARENA_LOAD", "500"))
ALONE = min(400, REQUESTS // 2)
"""Requests, drawn of all, whose rewards are compared with those that the judge gives without a server."""
APART = 0.02
"""Rewards of one item in two batches differ by less: bf16 rounds otherwise in other company."""

RUBRIC = """[system]
Rate answers from 1 to 10.
[shot]
Is 4 even? Yes, 4 is two times 2.
[answer]
Rating: 10
[shot]
Name 3. Cake.
[answer]
Rating: 1
[shot]
What is 8? A number.
[answer]
Rating: 6
[case]
{question} {reply}
"""
"""Short, so that two thousand items take minutes on one core."""

ASKED = ("What is {}?", "Name {}.", "Why {}?", "Is {} even?", "Count to {}.")
ANSWERS = (
    "{}",
    "No.",
    "It is {}, I think.",
    "!!! {}",
    "A number: {}. It follows the one before.",
    "{} {} {}",
)


def item(number: int) -> Item:
    """Number `number` of items that all differ."""
    question = ASKED[number % len(ASKED)].format(number)
    answer = ANSWERS[number % len(ANSWERS)].replace("{}", str(number))
    return Item(f"n{number}", (Message(role="user", content=question),), answer)


def asked(server: Live, one: Item) -> float:
    """The reward of an item in a request of its own; it carries the item's name."""
    body = {"items": [{"id": one.id, "prompt": list(one.prompt), "completion": one.completion}]}
    found = server.send("POST", "/v1/score", body)
    assert found.status == 200, found.body
    [detail], [reward] = found.body["details"], found.body["rewards"]
    assert detail["id"] == one.id and isinstance(reward, float)
    return reward


@pytest.mark.slow
def test_every_client_gets_the_rewards_of_its_own_items(smollm2: str, tmp_path: Path) -> None:
    """As the same judge gives them without a server; a neighbour's would be noticed."""
    rubric = tmp_path / "short.txt"
    rubric.write_text(RUBRIC, encoding="utf-8")
    agent, labels = SmolLM(smollm2, device="cpu"), Labels(str(rubric))
    items = [item(number) for number in range(REQUESTS)]
    rate(Judge(labels), agent, 0, [item(REQUESTS)])

    started = time.perf_counter()
    with live(labels, max_batch=BATCH, wait_ms=10.0, agent=agent) as server:
        with ThreadPoolExecutor(CLIENTS) as clients:
            served = list(clients.map(lambda one: asked(server, one), items))
        took = time.perf_counter() - started
        metrics = server.send("GET", "/metrics").body
    agent.engine.prefixes.clear()  # so that the judge has to read all of it again

    drawn = random.Random(0).sample(range(REQUESTS), ALONE)
    started = time.perf_counter()
    verdicts = [
        verdict
        for i in range(0, ALONE, BATCH)
        for verdict in rate(Judge(labels), agent, 0, [items[number] for number in drawn[i : i + BATCH]])
    ]
    without = time.perf_counter() - started
    batches = next(line for line in metrics.splitlines() if line.startswith("arena_reward_batches_total "))
    print(f"\n{CLIENTS} clients, {REQUESTS} requests: {took:.1f} s, {REQUESTS / took:.1f} items/s; {batches}")
    print(f"the judge alone, {ALONE} items: {without:.1f} s, {ALONE / without:.1f} items/s")

    expected = [verdict.reward for verdict in verdicts if verdict.reward is not None]
    assert [served[number] for number in drawn] == pytest.approx(expected, abs=APART)
    own = [abs(served[number] - reward) for number, reward in zip(drawn, expected, strict=True)]
    neighbours = [abs(served[number - 1] - reward) for number, reward in zip(drawn, expected, strict=True)]
    assert sum(own) < sum(neighbours) / 20
