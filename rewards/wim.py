"""What Is Missing: asking for it, and the cosine of its embedding with the answer's.

Cosine rewards topical overlap, so every verdict also carries two controls: the cosine with the WIM
of another answer, and with the bare topic.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Agent
from agents.dialogue import Message
from agents.quiet import quiet
from agents.weights import resolve
from rewards.parse import parse_wim
from rewards.rubric import Rubric
from rewards.verdict import Case, Rating

MARGIN = 16
"""Tokens left free of what an encoder reads at once: special ones, and words that a cut makes longer."""


class Embedder:
    """Sentence embeddings of unit length. Encoders cut long texts silently, so these are split first.

    Args:
        checkpoint: a sentence-transformers model, by a name for `agents.weights.resolve`.
        device: `cpu`, `cuda`, ...
    """

    def __init__(
        self, checkpoint: str = "sentence-transformers/all-MiniLM-L6-v2", device: str = "cpu"
    ) -> None:
        """Take the names; the weights come with the first use."""
        self.checkpoint, self.device = checkpoint, device

    @cached_property
    def _model(self) -> Any:
        with quiet():
            from sentence_transformers import SentenceTransformer

        folder = resolve(self.checkpoint).folder
        with quiet():
            return SentenceTransformer(str(folder), device=self.device, local_files_only=True)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(texts, width) embeddings of unit length; a long text is the mean of its equal parts."""
        parts = [self._split(text) for text in texts]
        flat = [part for split in parts for part in split]
        vectors = self._model.encode(flat, normalize_embeddings=True, show_progress_bar=False, batch_size=16)
        ends = np.cumsum([len(split) for split in parts])[:-1]
        means = [part.mean(0) for part in np.split(vectors, ends)]
        return np.stack([mean / np.linalg.norm(mean) for mean in means]).astype(np.float32)

    def _split(self, text: str) -> list[str]:
        """`text` in the fewest parts of equal size that the encoder reads to their ends."""
        tokenizer, most = self._model.tokenizer, self._model.max_seq_length - MARGIN
        spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        starts = [start for start, _ in spans["offset_mapping"]]
        count = max(1, math.ceil(len(starts) / most))
        cuts = [starts[len(starts) * i // count] for i in range(1, count)]
        return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


class Wim:
    """Asks a judge what is missing from an answer.

    Args:
        embedder: for the cosines.
        rubric: how a local judge is asked. With the rubric of the rating and a lead that holds it, the
            judge goes on from where it rated: what it has read of the case is not read again.
        max_new_tokens: the judge's limit.
        lead: words that a local judge's answer begins with; `{rating}` stands for its rating.
        text_rubric: how a judge is asked that can only write.
    """

    def __init__(
        self,
        embedder: Embedder | None = None,
        rubric: str = "wim",
        max_new_tokens: int = 48,
        lead: str = "Missing:",
        text_rubric: str = "wim",
    ) -> None:
        """Take the parts."""
        self.embedder = embedder or Embedder()
        self.rubric, self.text_rubric = rubric, text_rubric
        self.max_new_tokens, self.lead = max_new_tokens, lead

    def ask(
        self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int], ratings: Sequence[Rating]
    ) -> list[tuple[str, str]]:
        """(text, status) of each case, as `rewards.parse.parse_wim` reads it."""
        rubric = Rubric.load(self.rubric if agent.reads_labels else self.text_rubric)
        prompts = [
            [*rubric.ask(case), *self._lead(agent, rating)]
            for case, rating in zip(cases, ratings, strict=True)
        ]
        replies = agent.reply(prompts, 1, seeds=seeds, max_new_tokens=self.max_new_tokens)
        return [parse_wim(_first_line(reply.text.strip())) for [reply] in replies]

    def _lead(self, agent: Agent, rating: Rating) -> list[Message]:
        """A local judge goes on from the lead; small models else greet, agree or answer the question."""
        if not (agent.reads_labels and self.lead):
            return []
        # A judge whose rating could not be read is shown the middle of the scale.
        value = 5.5 if rating.value is None else rating.value
        return [Message(role="assistant", content=self.lead.replace("{rating}", str(round(value))))]

    def cosines(self, cases: Sequence[Case], wims: Sequence[str]) -> list[tuple[float, float, float]]:
        """Per case: cosine of the answer with its WIM, with another answer's WIM, with the topic.

        The other answer is of another topic where there is one, so that the control shares nothing
        with the case but the judge's manner; answers of one topic get different ones, as they have
        different WIMs of their own.
        """
        replies = self.embedder([case.reply.text for case in cases])
        missing = self.embedder(wims)
        topics = self.embedder([case.topic for case in cases])
        others = _others([case.topic for case in cases])
        return [
            (
                float(replies[i] @ missing[i]),
                float(replies[i] @ missing[other]),
                float(replies[i] @ topics[i]),
            )
            for i, other in enumerate(others)
        ]


def _first_line(text: str) -> str:
    """The first line, in which a small judge has said it all; brackets may run over several."""
    return text if "[[[" in text else text.partition("\n")[0]


def _others(topics: Sequence[str]) -> list[int]:
    """For each case the one of the same place in the next topic; the next case where there is one topic."""
    places: dict[str, list[int]] = {}
    for place, topic in enumerate(topics):
        places.setdefault(topic, []).append(place)
    if len(places) == 1:
        return [(place + 1) % len(topics) for place in range(len(topics))]
    following = dict(zip(places, [*list(places)[1:], next(iter(places))], strict=True))
    return [
        (other := places[following[topic]])[places[topic].index(place) % len(other)]
        for place, topic in enumerate(topics)
    ]
