"""Topics that agents invent: cleaned, distinct, seeded, or refused."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from agents import Agent, ArenaError, ConfigError, Reply, Scripted
from agents.base import Prompt
from arena.topics import Made

ROOT = Path(__file__).parents[1]
LINES = ["Can forests remember drought?", "Should judges be elected?", "Trade unions make firms inventive."]


class Recorder(Agent):
    """Numbers its topics by the seeds it was given, and keeps them."""

    def __init__(self) -> None:
        """Nothing heard yet."""
        super().__init__()
        self.batches: list[list[int]] = []

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """A topic that holds the last digit of the seed, so that batches repeat themselves."""
        assert len(seeds) == len(prompts)
        self.batches.append(list(seeds))
        return [[Reply(f"Is {seed % 10} a lucky number?")] * n for seed in seeds]


class Cut(Scripted):
    """Is always cut at the token limit."""

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """The next lines, marked as cut."""
        rows = super().reply(prompts, n, seeds=seeds, max_new_tokens=max_new_tokens)
        return [[Reply(reply.text, finish="length") for reply in row] for row in rows]


def test_an_agent_makes_topics_and_they_are_cleaned() -> None:
    """The first seat is asked, once per topic, in one batch with the shipped prompt."""
    ada = Scripted(
        ["Sure! Here is a topic: " + LINES[0], f"**Topic:** {LINES[1]}\n\nThis ...", f'"{LINES[2]}"']
    )
    bob = Scripted(["I am not asked at all."])
    assert Made()(3, 0, {"ada": ada, "bob": bob}) == LINES
    prompt = (ROOT / "arena" / "prompts" / "topic.txt").read_text(encoding="utf-8").strip()
    assert ada.heard == [[{"role": "user", "content": prompt}]] * 3
    assert bob.heard == []


def test_the_seat_that_is_named_makes_them() -> None:
    """Here the second."""
    agents = {"ada": Scripted([LINES[0]]), "bob": Scripted([LINES[1]])}
    assert Made(seat="bob")(1, 0, agents) == [LINES[1]]


def test_repetitions_are_dropped_and_asked_for_again() -> None:
    """Case and punctuation make no new topic; the next batch asks for the missing ones only."""
    ada = Scripted([LINES[0], "can forests - REMEMBER drought", LINES[0], LINES[1], LINES[2]])
    assert Made()(3, 0, {"ada": ada}) == LINES
    assert len(ada.heard) == 3 + 2


@pytest.mark.parametrize(
    "said", ["", "Dark matter", "tree " * 61, "I'm sorry, I cannot.", "Answer with the topic alone"]
)
def test_replies_that_hold_no_topic_are_dropped(said: str) -> None:
    """Nothing, too short, too long, a refusal, an echo of the prompt."""
    assert Made()(1, 0, {"ada": Scripted([said, LINES[0]])}) == [LINES[0]]


def test_sixty_words_are_still_a_topic() -> None:
    """The limit is inclusive."""
    topic = " ".join(["tree"] * 60)
    assert Made()(1, 0, {"ada": Scripted([topic])}) == [topic]


def test_a_topic_cut_at_the_token_limit_is_dropped() -> None:
    """A whole sentence before the cut is kept."""
    cut = Cut(["Here is one: The role of memory in", LINES[0] + " This question is about"])
    assert Made()(1, 0, {"ada": cut}) == [LINES[0]]
    assert Made()(1, 0, {"ada": Scripted(["The role of memory in"])}) == ["The role of memory in"]


def test_an_agent_that_repeats_itself_fails_with_numbers_and_advice() -> None:
    """Two topics of five in 5 + 3 + 3 replies."""
    ada = Scripted(LINES[:2])
    with pytest.raises(
        ArenaError, match=r"seat 'ada' made 2 distinct topics of 5, in 11 replies and 3 attempts; "
    ) as e:
        Made(attempts=3)(5, 0, {"ada": ada})
    assert not isinstance(e.value, ConfigError)
    assert all(way in str(e.value) for way in ("higher temperature", "another seat", "from a file"))


def test_every_reply_has_a_seed_of_its_own_drawn_from_the_runs() -> None:
    """Different within and between attempts and runs, the same for the same run, 31 bits."""
    first, again, other = Recorder(), Recorder(), Recorder()
    topics = [
        Made(attempts=50)(8, seed, {"a": agent}) for seed, agent in ((1, first), (1, again), (2, other))
    ]
    assert first.batches == again.batches and topics[0] == topics[1]
    assert len(first.batches) > 1
    seeds = [seed for agent in (first, other) for batch in agent.batches for seed in batch]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_seat_that_nobody_has_is_refused_with_the_nearest() -> None:
    """Seats are names that a user gives."""
    agents = {"mixtral": Scripted(LINES), "llama": Scripted(LINES)}
    message = r"no agent has the seat 'lama'.*there is 'mixtral', 'llama'; did you mean 'llama'\?"
    with pytest.raises(ConfigError, match=message):
        Made(seat="lama")(1, 0, agents)


def test_an_empty_arena_cannot_make_topics() -> None:
    """Said as such, not as a missing seat."""
    with pytest.raises(ConfigError, match="no agent has a seat"):
        Made()(1, 0, {})


def test_no_attempts_are_refused_at_once() -> None:
    """When the source is built."""
    with pytest.raises(ConfigError, match="attempts must be 1 or more, got 0"):
        Made(attempts=0)


def test_fewer_than_one_topic_is_refused_before_an_agent_is_asked() -> None:
    """As by every source."""
    ada = Scripted(LINES)
    with pytest.raises(ConfigError, match="must be 1 or more, got 0"):
        Made()(0, 0, {"ada": ada})
    assert ada.heard == []
