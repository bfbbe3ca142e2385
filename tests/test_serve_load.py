"""Sixty-four clients at once, before real weights: nobody gets another's reward."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from live_server import Live, live

from agents.dialogue import Message
from agents.families import SmolLM
from arena.serving.items import Item, rate
from rewards.judge import Judge
from rewards.rating import Labels

CLIENTS, REQUESTS, BATCH = 64, 2000, 32
APART = 1e-3
"""Rewards of one item in two batches differ by less in fp32: padding and order change the rounding."""

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
def test_every_client_gets_the_rewards_of_its_own_items(smollm2: str) -> None:
    """As the same judge gives them without a server; a neighbour's would be noticed."""
    agent, items = SmolLM(smollm2, precision="fp32", device="cpu"), [item(i) for i in range(REQUESTS)]
    judge = Judge(Labels())
    rate(judge, agent, 0, [item(REQUESTS)])
    started = time.perf_counter()
    alone = [
        verdict.reward
        for i in range(0, REQUESTS, BATCH)
        for verdict in rate(judge, agent, 0, items[i : i + BATCH])
    ]
    between = time.perf_counter()
    agent.engine.prefixes.clear()  # so that the server reads as much as was read without it
    with live(Labels(), max_batch=BATCH, wait_ms=10.0, agent=agent) as server:
        with ThreadPoolExecutor(CLIENTS) as clients:
            served = list(clients.map(lambda one: asked(server, one), items))
        metrics = server.send("GET", "/metrics").body
    ended = time.perf_counter()
    batches = next(line for line in metrics.splitlines() if line.startswith("arena_reward_batches_total "))
    print(
        f"\n{REQUESTS} items: alone {between - started:.1f} s ({REQUESTS / (between - started):.1f}/s), "
        f"{CLIENTS} clients {ended - between:.1f} s ({REQUESTS / (ended - between):.1f}/s), {batches}"
    )
    expected = [reward for reward in alone if reward is not None]
    assert served == pytest.approx(expected, abs=APART)
    shifted = [abs(a - b) > APART for a, b in zip(served, expected[1:], strict=False)]
    assert sum(shifted) > 0.95 * REQUESTS
