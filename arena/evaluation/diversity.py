"""How unlike each other, and unlike what was known, the texts of a writer are: functions of their words."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from math import nan

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+")
ORDER = 4
"""Longest n-grams of BLEU."""


def words(text: str) -> list[str]:
    """The words of a text in lower case.

    >>> words("It's A.I.")
    ['it', 's', 'a', 'i']
    """
    return _WORD.findall(text.lower())


def ngrams(said: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each run of `n` words occurs."""
    return Counter(tuple(said[i : i + n]) for i in range(len(said) - n + 1))


def distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    """Distinct-n: different n-grams of all texts over all their n-grams, in (0, 1] (Li et al. 2016).

    https://arxiv.org/abs/1510.03055. It falls as texts grow in number and length: compare equal numbers.

    Returns:
        No number where no text has `n` words.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        counts.update(ngrams(text, n))
    return len(counts) / counts.total() if counts else nan


def self_bleu(texts: Sequence[Sequence[str]]) -> list[float]:
    """BLEU-4 of each text against all the others, in [0, 1]: near 1 they all say the same.

    Self-BLEU of Zhu et al. 2018 (https://arxiv.org/abs/1802.01886), by nltk's `sentence_bleu` with equal
    weights and its `SmoothingFunction().method1` (Chen and Cherry 2014). A text without words has 0.

    Args:
        texts: two or more.
    """
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smooth = SmoothingFunction().method1
    whole = [list(text) for text in texts]
    return [
        float(sentence_bleu(whole[:i] + whole[i + 1 :], text, [1 / ORDER] * ORDER, smooth)) if text else 0.0
        for i, text in enumerate(whole)
    ]


def novelty(texts: NDArray[np.float32], known: NDArray[np.float32]) -> list[float]:
    """1 - the largest cosine of each text with a known one, in [0, 2]: 0 repeats what was known.

    Args:
        texts: (texts, width) embeddings of unit length.
        known: (known, width) the same, one or more.
    """
    return [float(1 - value) for value in (texts @ known.T).max(-1)]


def copied(said: Sequence[str], source: Sequence[str]) -> float:
    """The longest run of words that a text shares with a source, as a share of the text's words, in [0, 1].

    Copied n-grams as in McCoy et al. 2023, https://arxiv.org/abs/2111.09509; 0 for a text without words.
    """
    if not said:
        return 0.0
    match = SequenceMatcher(None, said, source, autojunk=False).find_longest_match()
    return match.size / len(said)
