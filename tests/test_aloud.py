"""A reply that is heard while it is written: the pieces join to the reply, and nothing is taken back."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from families import FAMILIES, LLAMA, SMOLLM, Family
from hypothesis import given
from hypothesis import strategies as st

from agents import Message, Scripted
from agents.aloud import Silenced, Speech, reply_aloud
from agents.contrastive import Contrastive
from agents.decoding import Sampling
from agents.local import Local
from agents.template import split_thinking

Checkpoint = Callable[[Family], Path]


def asked(text: str = "What is what?") -> list[Message]:
    """A prompt."""
    return [Message(role="user", content=text)]


def spoken(texts: Sequence[str]) -> list[str]:
    """The pieces that are heard of a text that grows."""
    pieces: list[str] = []
    speech = Speech(pieces.append)
    for text in texts:
        speech.take(text)
    return pieces


def agent(folder: Path, family: Family = SMOLLM, **options: object) -> Local:
    """A tiny agent that writes up to 24 tokens."""
    return family.agent(str(folder), precision="fp32", device="cpu", max_new_tokens=24, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_pieces_join_to_the_reply_that_is_written_without_listeners(
    family: Family, checkpoint: Checkpoint
) -> None:
    """Random models write half characters, special tokens and much else."""
    speaker = agent(checkpoint(family), family)
    for seed in range(4):
        pieces: list[str] = []
        speech = Speech(pieces.append)
        reply = reply_aloud(speaker, asked(), speech, seed)
        assert reply == speaker.reply([asked()], seeds=[seed])[0][0]
        assert speech.end(reply.text)
        assert "".join(pieces) == reply.text
        assert speech.live


def test_words_are_heard_before_the_end(checkpoint: Checkpoint) -> None:
    """And the agent that was asked is as it was."""
    speaker = agent(checkpoint(LLAMA), LLAMA)
    pieces: list[str] = []
    reply = reply_aloud(speaker, asked(), Speech(pieces.append), 1)
    assert len(pieces) > 4 and len(reply.ids) >= len(pieces)
    assert speaker.decoding == Sampling()


def test_a_speech_that_is_silenced_ends_at_the_next_token(checkpoint: Checkpoint) -> None:
    """What was heard stands in it; the agent then speaks as before."""
    speaker = agent(checkpoint(LLAMA), LLAMA)
    whole = speaker.reply([asked()], seeds=[1])[0][0].text

    def hear(piece: str) -> None:
        speech.silenced = len(speech.said) > 4

    speech = Speech(hear)
    with pytest.raises(Silenced):
        reply_aloud(speaker, asked(), speech, 1)
    assert 4 < len(speech.said) < len(whole) and whole.startswith(speech.said)
    assert speaker.reply([asked()], seeds=[1])[0][0].text == whole


def test_what_cannot_be_heard_live_is_said_at_the_end(checkpoint: Checkpoint) -> None:
    """A script, and contrastive search, which looks ahead."""
    for speaker in (Scripted(["One line."]), agent(checkpoint(SMOLLM), decoding=Contrastive())):
        pieces: list[str] = []
        speech = Speech(pieces.append)
        reply = reply_aloud(speaker, asked(), speech, 0)
        assert pieces == []
        assert speech.end(reply.text) and "".join(pieces) == reply.text


@pytest.mark.parametrize(
    ("texts", "pieces"),
    [
        (["a", "a b", "a b c"], ["a", " b", " c"]),
        (["caf", "caf\ufffd", "café"], ["caf", "é"]),
        (["one", "one ", "one two"], ["one", " two"]),
        ([" ", "  a"], ["a"]),
        (["a ", "a <th", "a <think>why", "a <think>why</think>b"], ["a", " b"]),
        (["a <", "a < b"], ["a", " < b"]),
        (["ab", "a", "ab", "abc"], ["ab", "c"]),
    ],
    ids=["words", "half a character", "space", "first space", "a thought", "no tag", "a new beginning"],
)
def test_what_may_change_is_held_back(texts: list[str], pieces: list[str]) -> None:
    """Half a character, a thought that begins, space at an end."""
    assert spoken(texts) == pieces


def test_a_text_that_becomes_another_one_is_told_at_the_end() -> None:
    """A template that opens a thought by itself: what was heard was thought."""
    pieces: list[str] = []
    speech = Speech(pieces.append)
    speech.take("hm, so")
    assert not speech.end("The answer.")
    assert pieces == ["hm, so"]


@given(st.text(alphabet="ab <>/think\n", max_size=60))
def test_pieces_are_a_beginning_of_what_is_said_whatever_the_text(text: str) -> None:
    """Unless a thought closes that never opened."""
    pieces = spoken([text[:end] for end in range(len(text) + 1)])
    said, thought = split_thinking(text)
    head, closed, _ = text.partition("</think>")
    if not closed or "<think>" in head:
        assert said.startswith("".join(pieces)), thought
