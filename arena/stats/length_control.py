"""The win-rate that is left where both answers are equally long (Dubois et al. 2024, arXiv 2404.04475)."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from arena.stats.newton import climb
from arena.stats.resampling import FEWEST, RESAMPLES, Interval
from arena.stats.weighing import percentiles

Array = NDArray[np.float64]
VIRTUAL = 0.5
"""Weight of the win, and of the loss, of the virtual game."""
RIDGE = 1 / 25
"""One over the variance of the length coefficient before the data; beyond 5, length decides alone."""


def length_controlled(
    scores: Sequence[float],
    lengths_a: Sequence[float],
    lengths_b: Sequence[float],
    clusters: Sequence[Hashable],
    seed: int,
) -> Interval | None:
    """The win-rate of a at equal length, in [0, 1], with its 95 % interval.

    The score is explained by a constant and by tanh of the difference of lengths over its standard deviation,
    in a logistic regression; the win-rate is what that predicts without the second term. (AlpacaEval 2.0 also
    explains it by the difficulty of each question, which takes many models on the same questions.)

    Weak prior, so that a judge that goes by length alone, or always prefers a, gets no infinite coefficient:
    a virtual game at equal length, half won and half lost, and a ridge on the coefficient of length. The
    interval is a Bayesian bootstrap (Rubin 1981) over questions: a draw multiplies the games of a question,
    and each half of the virtual game, by a weight from Exp(1).

    Args:
        scores: (n,) of a in [0, 1]: 1 won, 0 lost, 1/2 tied.
        lengths_a: (n,) of its answers, in words or tokens.
        lengths_b: (n,) of the other answers.
        clusters: (n,) the question of each game.
        seed: of the draws.

    Returns:
        None with fewer than `FEWEST` questions, and where all differences of lengths are the same: then
        nothing can be told about length (the plain win-rate is all there is).

    Raises:
        ValueError: if the columns differ in length, a score is outside of [0, 1], or a length is no number.
    """
    from scipy.special import expit

    y, a, b = (np.asarray(column, float) for column in (scores, lengths_a, lengths_b))
    if not len(y) == len(a) == len(b) == len(clusters):
        raise ValueError(f"{len(y)} scores, {len(a)} and {len(b)} lengths and {len(clusters)} clusters")
    if not ((y >= 0) & (y <= 1)).all() or not np.isfinite(a - b).all():
        raise ValueError("scores are in [0, 1] and lengths are numbers; leave out what was not judged")
    numbers = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    if len(numbers) < FEWEST or np.ptp(a - b) == 0:
        return None
    terms = np.tanh((a - b) / (a - b).std())
    rows, random = np.array([numbers[cluster] for cluster in clusters]), np.random.default_rng(seed)
    weights = random.exponential(size=(RESAMPLES, len(numbers)))
    virtual = VIRTUAL * random.exponential(size=(RESAMPLES, 2))
    value = _fit(y, terms, np.ones((1, len(y))), np.full((1, 2), VIRTUAL), np.zeros(2))
    draws = _fit(y, terms, weights[:, rows], virtual, value[0])
    low, high = np.percentile(expit(draws[:, 0]), percentiles(len(numbers)))
    return Interval(float(expit(value[0, 0])), float(low), float(high), len(y), len(numbers))


def _fit(scores: Array, terms: Array, weights: Array, virtual: Array, start: Array) -> Array:
    """(b, 2) constants and coefficients of length.

    Args:
        scores: (n,).
        terms: (n,) tanh of the standardised difference of lengths.
        weights: (b, n) of the games.
        virtual: (b, 2) the win and the loss of the virtual game.
        start: (2,) where to look first.
    """
    from scipy.special import expit

    design = np.column_stack([np.ones(len(terms) + 1), np.append(terms, 0.0)])
    games = np.column_stack([weights, virtual.sum(1)])
    won = np.column_stack([weights * scores, virtual[:, 0]]) @ design
    squares = (design[:, :, None] * design[:, None, :]).reshape(-1, 4)
    ridge = np.array([0.0, RIDGE])

    def slopes(at: Array) -> tuple[Array, Array]:
        expected = games * expit(at @ design.T)
        spread = expected * (1 - expected / games)
        return won - expected @ design - ridge * at, (spread @ squares).reshape(-1, 2, 2) + np.diag(ridge)

    return climb(slopes, np.tile(start, (len(weights), 1)))
