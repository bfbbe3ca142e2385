"""How strong players are, from games between pairs (Bradley and Terry 1952), with ties (Davidson 1970).

With strengths s and a tie parameter nu, a game of i against j is won, lost and tied in the proportions
exp((s_i - s_j) / 2) : exp((s_j - s_i) / 2) : nu. Unlike Elo, the order of the games does not matter.

Weak prior: every player has also met a virtual player of strength 0, with half a win, half a loss and half a
tie (the weights of Jeffreys' prior for three outcomes). So the strength of a player that never lost stays
finite, and so does nu; 80 real games weigh some 50 times as much. Virtual ties between all pairs would grow
with the square of the number of players, and would hide that two groups of them never met.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agents.errors import ConfigError
from arena.stats.newton import climb
from arena.stats.resampling import FEWEST, Interval
from arena.stats.weighing import percentiles

Array = NDArray[np.float64]
VIRTUAL = 0.5
"""Weight of each outcome of the virtual game."""
SAME = 1e-9
"""Log-strengths that differ by less share a rank."""


@dataclass(frozen=True)
class Game:
    """What came of one comparison."""

    a: str
    b: str
    score: float
    """Of a: 1 won, 0 lost, 1/2 tied; 3/4, a mean of a win and a tie, counts as half of each."""
    cluster: Hashable
    """The question; games on one question are not independent."""


@dataclass(frozen=True)
class Strengths:
    """The fitted model."""

    log: dict[str, float]
    """Of each player, by name: the natural logarithm of its strength; they sum to 0."""
    tie: float
    """nu, at least 0: equals tie nu / (2 + nu) of their games."""


@dataclass(frozen=True)
class Standing:
    """Where one player stands."""

    player: str
    strength: Interval
    """Log-strength; n and clusters are its games and the questions of those."""
    rank_low: int
    """The best of its ranks in 95 % of the draws; 1 is the strongest."""
    rank_high: int
    """The worst of them."""


def strengths(games: Sequence[Game]) -> Strengths:
    """The strengths that make the games most likely, given the weak prior.

    Raises:
        ConfigError: if there is no game, or if the players fall into groups that never met: no strength of
            one group says anything about another.
        ValueError: if a score is outside of [0, 1], or a player meets itself.
    """
    return _Results(games).strengths


def win_probability(strengths: Strengths, a: str, b: str) -> float:
    """The score in [0, 1] to expect of a against b: the chance of a win and half the chance of a tie."""
    half = (strengths.log[a] - strengths.log[b]) / 2
    won, lost = np.exp(half), np.exp(-half)
    return float((won + strengths.tie / 2) / (won + lost + strengths.tie))


def table(games: Sequence[Game], seed: int, resamples: int = 1000) -> list[Standing]:
    """All players, the strongest first, with 95 % intervals of their strengths and of their ranks.

    A Bayesian bootstrap (Rubin 1981) over questions: a draw multiplies the games of each question, and each
    outcome of the virtual games, by a weight from Exp(1). No draw loses a question, so none falls into
    groups; and where a player never lost, the interval is not a point.

    A player with games on fewer than `FEWEST` questions has no interval: infinite ends, and any rank.

    Args:
        games: of at least two players.
        seed: of the draws.
        resamples: number of draws.

    Raises:
        ConfigError, ValueError: as `strengths` does.
    """
    results, random = _Results(games), np.random.default_rng(seed)
    found, count = results.strengths, len(results.players)
    logs, _ = results.fit(
        random.exponential(size=(resamples, len(results.questions))),
        VIRTUAL * random.exponential(size=(resamples, count, 3)),
    )
    ranks = 1 + (logs[:, None, :] > logs[:, :, None] + SAME).sum(2)
    standings = []
    for i, player in enumerate(results.players):
        own = [game.cluster for game in games if player in (game.a, game.b)]
        (low, high), (best, worst) = (-math.inf, math.inf), (1, count)
        if len(set(own)) >= FEWEST:
            level = percentiles(len(set(own)))
            low, high = np.percentile(logs[:, i], level)
            best, worst = np.percentile(ranks[:, i], level, method="inverted_cdf")
        strength = Interval(found.log[player], float(low), float(high), len(own), len(set(own)))
        standings.append(Standing(player, strength, int(best), int(worst)))
    return sorted(standings, key=lambda standing: (-standing.strength.value, standing.player))


class _Results:
    """Games added up by question and pair, and Davidson's model of any weighing of the questions."""

    def __init__(self, games: Sequence[Game]) -> None:
        from scipy.sparse import csr_array

        _check(games)
        self.players = sorted({name for game in games for name in (game.a, game.b)})
        self.questions = list(dict.fromkeys(game.cluster for game in games))
        self.pairs = sorted({_pair(game) for game in games})
        _refuse_groups(self.players, self.pairs)
        rows = {question: i for i, question in enumerate(self.questions)}
        columns = {pair: i for i, pair in enumerate(self.pairs)}
        places = [rows[game.cluster] for game in games], [columns[_pair(game)] for game in games]
        leads = np.array([(2 * game.score - 1) * (1 if game.a < game.b else -1) for game in games])
        shape = len(rows), len(columns)
        self.leads = csr_array((leads, places), shape)
        self.ties = csr_array((1 - abs(leads), places), shape)
        self.games = csr_array((np.ones(len(games)), places), shape)

    @cached_property
    def strengths(self) -> Strengths:
        """Of the games as they are."""
        virtual = np.full((1, len(self.players), 3), VIRTUAL)
        logs, tie = self.fit(np.ones((1, len(self.questions))), virtual)
        return Strengths(dict(zip(self.players, logs[0].tolist(), strict=True)), float(tie[0]))

    def fit(self, weights: Array, virtual: Array) -> tuple[Array, Array]:
        """The strengths of b weighings.

        Args:
            weights: (b, questions).
            virtual: (b, players, 3) wins, losses and ties of each player against the virtual one.

        Returns:
            (b, players) log-strengths that sum to 0, and (b,) tie parameters.
        """
        won, lost, tied = np.moveaxis(virtual, 2, 0)
        leads, ties, games = (weights @ counts for counts in (self.leads, self.ties, self.games))
        model = _Davidson(
            self._ends,
            np.hstack([leads, won - lost]) / 2,
            ties.sum(1) + tied.sum(1),
            np.hstack([games, virtual.sum(2)]),
        )
        found = climb(model.slopes, np.zeros((len(weights), len(self.players) + 1)))
        logs = found[:, :-1]
        return logs - logs.mean(axis=1, keepdims=True), np.exp(found[:, -1])

    @property
    def _ends(self) -> NDArray[np.intp]:
        """(pairs + players, 2) who meets whom; the virtual player comes after all others."""
        number = {name: i for i, name in enumerate(self.players)}
        met = [(number[one], number[other]) for one, other in self.pairs]
        return np.array([*met, *((i, len(number)) for i in range(len(number)))], dtype=np.intp)


@dataclass(frozen=True)
class _Davidson:
    """The log-likelihoods of b tables of p pairs of k players; coordinates are k log-strengths and log nu."""

    ends: NDArray[np.intp]
    """(p, 2)."""
    leads: Array
    """(b, p) half of wins less losses of the first of a pair."""
    ties: Array
    """(b,) in all."""
    games: Array
    """(b, p)."""

    @cached_property
    def signs(self) -> Array:
        """(p, k) 1 for the first of a pair, -1 for the second, none for the virtual player."""
        place, signs = np.arange(len(self.ends)), np.zeros((len(self.ends), int(self.ends.max()) + 1))
        signs[place, self.ends[:, 0]], signs[place, self.ends[:, 1]] = 1, -1
        return signs[:, :-1]

    def slopes(self, at: Array) -> tuple[Array, Array]:
        """The gradients (b, k + 1) and the curvatures (b, k + 1, k + 1) at `at` (b, k + 1)."""
        half = at[:, :-1] @ self.signs.T / 2
        won, lost, tied = np.exp(half), np.exp(-half), np.exp(at[:, -1:])
        total = won + lost + tied
        lead, tie = (won - lost) / total / 2, tied / total
        gradient = np.empty_like(at)
        gradient[:, :-1] = (self.leads - self.games * lead) @ self.signs
        gradient[:, -1] = self.ties - (self.games * tie).sum(1)
        return gradient, self._curvature(lead, tie)

    def _curvature(self, lead: Array, tie: Array) -> Array:
        """The covariance of leads and ties: the expected lead and chance of a tie are (b, p)."""
        k = self.signs.shape[1]
        curvature = np.zeros((len(lead), k + 1, k + 1))
        spread = self.games * ((1 - tie) / 4 - lead**2)
        one, other = self.ends[: len(self.ends) - k].T
        curvature[:, one, other] = curvature[:, other, one] = -spread[:, : len(one)]
        diagonal = np.arange(k)
        curvature[:, diagonal, diagonal] = spread @ abs(self.signs)
        curvature[:, :k, k] = curvature[:, k, :k] = -(self.games * lead * tie) @ self.signs
        curvature[:, k, k] = (self.games * tie * (1 - tie)).sum(1)
        return curvature


def _pair(game: Game) -> tuple[str, str]:
    return (game.a, game.b) if game.a < game.b else (game.b, game.a)


def _check(games: Sequence[Game]) -> None:
    if not games:
        raise ConfigError("There is no game to learn strengths from; give at least one judged pair.")
    for game in games:
        if not 0 <= game.score <= 1:
            raise ValueError(f"a score is in [0, 1], not {game.score}; leave out what was not judged")
        if game.a == game.b:
            raise ValueError(f"{game.a!r} meets itself; a game has two players")


def _refuse_groups(players: Sequence[str], pairs: Sequence[tuple[str, str]]) -> None:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    number = {name: i for i, name in enumerate(players)}
    places = [number[one] for one, _ in pairs], [number[other] for _, other in pairs]
    graph = csr_array((np.ones(len(pairs)), places), (len(players), len(players)))
    count, group = connected_components(graph, directed=False)
    if count > 1:
        groups = [[name for name, g in zip(players, group, strict=True) if g == i] for i in range(count)]
        raise ConfigError(
            f"The players fall into {count} groups that never met: {'; '.join(map(', '.join, groups))}. "
            "Let one of each group meet one of another, or rank each group by itself."
        )
