"""What is missing, with the real sentence encoder: what its cosine rewards, and what it does not."""

import math

import numpy as np
import pytest

from agents import Message, Reply, Scripted
from agents.errors import Unavailable
from agents.weights import resolve
from rewards.judge import Judge
from rewards.rating import Length
from rewards.verdict import Case
from rewards.wim import MARGIN, Embedder, Wim

TOPIC = "Why do glaciers retreat?"
SPECIFIC = (
    "Glaciers retreat because summer temperatures have risen, so that more ice melts at the tongue "
    "than snowfall brings to the accumulation area."
)
VAGUE = "Ice on glaciers melts, and there are many things that make melting go faster or slower."
FILLED = f"{SPECIFIC} Soot from fires darkens the ice, lowers its albedo and speeds up melting."
GAP = "how soot on the ice lowers its albedo and speeds up melting"
GENERIC = "more detail"
PAIRS = [
    (TOPIC, SPECIFIC, GAP),
    (
        "How does a central bank slow inflation?",
        "It raises its interest rate, so loans become dearer and people spend less.",
        "the exchange rate, and what people expect prices to do",
    ),
    (
        "Why does bread dough rise?",
        "Yeast eats sugar and gives off gas, and the dough swells.",
        "how gluten traps the carbon dioxide of the yeast",
    ),
    (
        "What did the printing press change?",
        "It made books cheaper, and more people could read them.",
        "the spread of pamphlets in the Reformation",
    ),
]

pytestmark = pytest.mark.slow
"""Loading sentence-transformers takes some seconds."""


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """The default encoder, where this machine can have it."""
    found = Embedder()
    try:
        resolve(found.checkpoint)
    except Unavailable as error:
        pytest.skip(str(error))
    return found


def cosine(embedder: Embedder, first: str, second: str) -> float:
    """Of two texts."""
    one, two = embedder([first, second])
    return float(one @ two)


def test_a_constructed_embedder_has_loaded_nothing() -> None:
    """The weights come with the first use."""
    assert "_model" not in vars(Wim().embedder)


def test_embeddings_have_unit_length(embedder: Embedder) -> None:
    """Also of an empty text and of a long one."""
    vectors = embedder([SPECIFIC, "", "ice " * 1000])
    assert vectors.shape == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)


def test_an_embedding_does_not_depend_on_its_company(embedder: Embedder) -> None:
    """Padding changes nothing."""
    together = embedder([VAGUE, SPECIFIC * 5, GAP])
    assert np.abs(together[0] - embedder([VAGUE])[0]).max() < 1e-5


def test_a_short_text_is_embedded_as_the_encoder_does_it(embedder: Embedder) -> None:
    """Chunks are for long ones."""
    expected = embedder._model.encode(SPECIFIC, normalize_embeddings=True)
    assert np.abs(embedder([SPECIFIC])[0] - expected).max() < 1e-5


@pytest.mark.parametrize(
    "text",
    ["ice melts. " * 300, "Gletscherrückzugsgeschwindigkeit " * 100, "冰川为什么会退缩" * 100],
    ids=["words", "long words", "no spaces"],
)
def test_every_part_of_a_long_text_fits_the_encoder(embedder: Embedder, text: str) -> None:
    """Which else would cut it without a word."""
    parts = embedder._split(text)
    tokenizer, limit = embedder._model.tokenizer, embedder._model.max_seq_length
    assert "".join(parts) == text
    assert len(parts) > 1
    assert max(len(tokenizer(part)["input_ids"]) for part in parts) <= limit


def test_parts_are_of_equal_size(embedder: Embedder) -> None:
    """A last part of one word would weigh as much as all before it."""
    most = embedder._model.max_seq_length - MARGIN
    parts = embedder._split("ice " * (most + 1))
    sizes = [len(part.split()) for part in parts]
    assert sum(sizes) == most + 1
    assert max(sizes) - min(sizes) <= 1


def test_the_end_of_a_long_text_counts(embedder: Embedder) -> None:
    """What follows 300 words on ice is about bread, and moves the embedding towards bread."""
    bread = "Yeast gives off gas and the dough of the bread swells. "
    long = "Glaciers retreat as the ice melts. " * 50
    assert cosine(embedder, long + bread * 30, bread) > cosine(embedder, long, bread) + 0.2


def test_parroting_what_is_missing_is_rewarded_with_1(embedder: Embedder) -> None:
    """The cosine can be gamed, which is why the echo is on record."""
    assert cosine(embedder, GAP, GAP) == pytest.approx(1.0, abs=1e-5)


def test_a_wim_that_restates_the_answer_is_nearer_than_one_that_names_a_gap(embedder: Embedder) -> None:
    """So a judge that repeats the answer is rewarded for it, unless somebody looks."""
    restating = "that more ice melts in warmer summers than snowfall brings to glaciers"
    assert cosine(embedder, SPECIFIC, restating) > cosine(embedder, SPECIFIC, GAP) + 0.1


def test_an_answer_that_fills_the_gap_is_nearer_than_before(embedder: Embedder) -> None:
    """The direction that the method counts on: 0.57 after 0.42."""
    assert cosine(embedder, FILLED, GAP) > cosine(embedder, SPECIFIC, GAP) + 0.1


def test_a_vague_answer_is_as_near_as_one_that_fills_the_gap(embedder: Embedder) -> None:
    """The cosine rewards shared words and topic, not quality: 0.57 as well."""
    vague = cosine(embedder, VAGUE, GAP)
    assert vague > cosine(embedder, SPECIFIC, GAP) + 0.1
    assert vague > cosine(embedder, FILLED, GAP) - 0.03


@pytest.mark.parametrize("empty", [GENERIC, "Nothing is missing."])
def test_a_generic_wim_is_far_from_the_answer(embedder: Embedder, empty: str) -> None:
    """Nothing missing would be punished, if it were embedded."""
    assert cosine(embedder, SPECIFIC, empty) < 0.2 < cosine(embedder, SPECIFIC, GAP)


def test_shuffled_words_keep_most_of_the_embedding(embedder: Embedder) -> None:
    """Grammar hardly counts."""
    shuffled = " ".join(sorted(SPECIFIC.split()))
    assert 0.7 < cosine(embedder, SPECIFIC, shuffled) < 1


def test_the_own_wim_is_nearer_than_that_of_another_topic(embedder: Embedder) -> None:
    """In each of four hand-written cases, by far."""
    cases = [Case(topic, topic, (), Reply(answer)) for topic, answer, _ in PAIRS]
    found = Wim(embedder).cosines(cases, [gap for _, _, gap in PAIRS])
    assert all(own > shuffled + 0.1 for own, shuffled, _ in found)


def test_the_bare_topic_is_at_least_as_near_as_what_is_missing(embedder: Embedder) -> None:
    """The second control: a cosine proves nothing before it is compared with it."""
    cases = [Case(topic, topic, (), Reply(answer)) for topic, answer, _ in PAIRS]
    found = Wim(embedder).cosines(cases, [gap for _, _, gap in PAIRS])
    assert sum(topic for *_, topic in found) > sum(own for own, *_ in found)


def test_a_verdict_with_the_real_encoder_is_the_sum_of_its_terms(embedder: Embedder) -> None:
    """It is 0.6 R + 0.4 cosine, with R = (rating - 5.5) / 4.5."""
    judge = Judge(Length(half=10), Wim(embedder), 0.4)
    cases = [
        Case(str(i), topic, (Message(role="user", content=topic),), Reply(answer))
        for i, (topic, answer, _) in enumerate(PAIRS)
    ]
    verdicts = judge.rate(Scripted([gap for *_, gap in PAIRS]), cases, range(4))
    for verdict in verdicts:
        assert verdict.rating is not None and verdict.cosine is not None and verdict.reward is not None
        expected = 0.6 * (verdict.rating - 5.5) / 4.5 + 0.4 * verdict.cosine
        assert math.isclose(verdict.reward, expected, abs_tol=1e-9)
