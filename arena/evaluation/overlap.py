"""Overlap of summaries with references: ROUGE (Lin 2004), by the package rouge-score, with its stemmer."""

from collections.abc import Sequence

KINDS = ("rouge1", "rouge2", "rougeL")
"""Words, pairs of words, and the longest common subsequence of words."""


def rouge(summaries: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    """F1 in [0, 1] of each summary with its reference, by kind. https://aclanthology.org/W04-1013."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(KINDS), use_stemmer=True)
    found = [scorer.score(target, said) for said, target in zip(summaries, references, strict=True)]
    return {kind: [float(scores[kind].fmeasure) for scores in found] for kind in KINDS}
