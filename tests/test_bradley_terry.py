"""Strengths of players, on planted ones."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agents.errors import ConfigError
from arena.stats.bradley_terry import Game, Standing, Strengths, strengths, table, win_probability

Array = NDArray[np.float64]
PLANTED, TIE = np.array([1.0, 0.3, -0.3, -1.0]), 0.7


def played(
    random: np.random.Generator,
    questions: int,
    planted: Array = PLANTED,
    noise: float = 0.0,
    games: int = 1,
) -> list[Game]:
    """Everybody against everybody on each question, by Davidson's model.

    Args:
        random: of the games.
        questions: number of them.
        planted: (k,) log-strengths.
        noise: how much a question changes the strength of a player, in all its games on it.
        games: of each pair on each question.
    """
    one, other = np.triu_indices(len(planted), 1)
    own = planted + noise * random.normal(size=(questions, len(planted)))
    half = np.repeat((own[:, one] - own[:, other])[:, :, None] / 2, games, axis=2)
    total = np.exp(half) + np.exp(-half) + TIE
    drawn = random.random(half.shape) * total
    scores = np.where(drawn < TIE, 0.5, (drawn < TIE + np.exp(half)).astype(float))
    return [
        Game(f"p{one[pair]}", f"p{other[pair]}", float(score), question)
        for (question, pair, _), score in np.ndenumerate(scores)
    ]


def covered(standings: Sequence[Standing], planted: Array) -> list[bool]:
    """Whether each player's strength is in its interval."""
    return [s.strength.low <= planted[int(s.player[1:])] <= s.strength.high for s in standings]


def test_two_players_are_computed_by_hand() -> None:
    """300 won and 100 lost: the difference of log-strengths is ln 3, less what the virtual games take."""
    games = [Game("a", "b", 1.0, i) for i in range(300)] + [Game("b", "a", 1.0, i) for i in range(100)]
    found = strengths(games)
    assert found.log["a"] - found.log["b"] == pytest.approx(math.log(3), abs=0.01)
    assert win_probability(found, "a", "b") == pytest.approx(0.75, abs=0.005)


def test_ties_of_equals_are_computed_by_hand() -> None:
    """200 won, 200 lost, 400 tied: nu / (2 + nu) = 1/2, nu is 2."""
    found = strengths([Game("a", "b", score, i) for i, score in enumerate([1.0, 0.0, 0.5, 0.5] * 200)])
    assert found.tie == pytest.approx(2, abs=0.02)
    assert found.log == {"a": pytest.approx(0, abs=1e-6), "b": pytest.approx(0, abs=1e-6)}


def test_it_is_the_maximum_that_a_general_optimiser_finds() -> None:
    """Davidson's likelihood and the virtual games, written out, by scipy."""
    from scipy.optimize import minimize

    games, names = played(np.random.default_rng(0), 10), ["p0", "p1", "p2", "p3"]

    def chance(score: float, difference: float, tie: float) -> float:
        odds = {1.0: math.exp(difference / 2), 0.0: math.exp(-difference / 2), 0.5: tie}
        return odds[score] / sum(odds.values())

    def loss(at: Array) -> float:
        log, tie = dict(zip(names, at, strict=False)), math.exp(at[-1])
        total = sum(math.log(chance(g.score, log[g.a] - log[g.b], tie)) for g in games)
        return -total - sum(0.5 * math.log(chance(s, log[n], tie)) for n in names for s in (0.0, 0.5, 1.0))

    best = minimize(loss, np.zeros(5), tol=1e-10).x
    found = strengths(games)
    assert [found.log[name] for name in names] == pytest.approx(best[:4] - best[:4].mean(), abs=1e-4)
    assert math.log(found.tie) == pytest.approx(best[4], abs=1e-4)


def test_planted_strengths_are_recovered() -> None:
    """Of 500 questions, with ties; they sum to 0, and the table is in their order."""
    games = played(np.random.default_rng(1), 500)
    found, standings = strengths(games), table(games, seed=0)
    assert [found.log[f"p{i}"] for i in range(4)] == pytest.approx(PLANTED, abs=0.15)
    assert found.tie == pytest.approx(TIE, abs=0.1)
    assert sum(found.log.values()) == pytest.approx(0)
    assert [(s.player, s.rank_low, s.rank_high) for s in standings] == [
        (f"p{i}", i + 1, i + 1) for i in range(4)
    ]
    assert all(covered(standings, PLANTED))
    assert {(s.strength.n, s.strength.clusters) for s in standings} == {(1500, 500)}


def test_intervals_cover_at_about_their_level() -> None:
    """200 tournaments of 30 questions."""
    random = np.random.default_rng(2)
    held = [covered(table(played(random, 30), seed=i, resamples=300), PLANTED) for i in range(200)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


def test_games_that_share_a_question_share_their_noise() -> None:
    """Questions that suit some players: intervals by question cover, those that ignore questions do not."""
    random = np.random.default_rng(3)
    # What questions do to strengths flattens them on the average over questions; this is that average.
    many = strengths(played(random, 4000, noise=1.5, games=2))
    truth = np.array([many.log[f"p{i}"] for i in range(4)])
    held, naive, wider = [], [], []
    for seed in range(60):
        games = played(random, 30, noise=1.5, games=4)
        alone = [Game(game.a, game.b, game.score, i) for i, game in enumerate(games)]
        both = [table(own, seed, resamples=300) for own in (games, alone)]
        held += covered(both[0], truth)
        naive += covered(both[1], truth)
        wide, narrow = (np.mean([s.strength.high - s.strength.low for s in own]) for own in both)
        wider.append(wide > 1.3 * narrow)
    assert np.mean(held) > 0.9 > 0.8 > np.mean(naive)
    assert all(wider)


def test_ranks_of_equals_are_intervals() -> None:
    """Two equal players and a weaker one: 1 to 2 for both, 3 for the last."""
    standings = table(played(np.random.default_rng(4), 200, np.array([0.5, 0.5, -1.0])), seed=0)
    assert [(s.rank_low, s.rank_high) for s in standings] == [(1, 2), (1, 2), (3, 3)]


def test_the_order_of_games_and_of_sides_does_not_matter() -> None:
    """Unlike Elo."""
    games = played(np.random.default_rng(5), 20)
    turned = [Game(game.b, game.a, 1 - game.score, game.cluster) for game in reversed(games)]
    one, other = strengths(games), strengths(turned)
    assert other.log == {name: pytest.approx(log) for name, log in one.log.items()}
    assert other.tie == pytest.approx(one.tie)


def test_a_mean_of_two_orders_is_half_of_each() -> None:
    """3/4 is half a win and half a tie."""
    halves = [Game("a", "b", 0.75, i) for i in range(8)]
    whole = [Game("a", "b", score, i) for i, score in enumerate([1.0, 0.5] * 4)]
    assert strengths(halves).log["a"] == pytest.approx(strengths(whole).log["a"])


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_games_that_all_end_alike_have_finite_strengths(score: float) -> None:
    """All won, all lost, all tied; an interval that is no point, and ranks that follow."""
    games = [Game("a", "b", score, i) for i in range(40)]
    found, standings = strengths(games), table(games, seed=0)
    assert math.copysign(1, found.log["a"]) == math.copysign(1, score - 0.5) or score == 0.5
    assert all(s.strength.known and s.strength.high - s.strength.low > 0.5 for s in standings)
    ranks = {s.player: (s.rank_low, s.rank_high) for s in standings}
    assert ranks["a"] == {0.0: (2, 2), 0.5: (1, 2), 1.0: (1, 1)}[score]
    assert 0 < found.tie < 1e3


def test_few_questions_have_no_interval() -> None:
    """Five wins out of five may be chance; so may any number of games on one question."""
    for games in ([Game("a", "b", 1.0, i) for i in range(5)], [Game("a", "b", 1.0, 0)] * 90):
        best, _ = table(games, seed=0)
        assert best.player == "a" and not best.strength.known
        assert (best.rank_low, best.rank_high) == (1, 2)


def test_groups_that_never_met_are_refused_by_name() -> None:
    """Nothing says how they compare."""
    games = [Game("ada", "bob", 1.0, 0), Game("bob", "cyd", 0.5, 0), Game("dan", "eve", 1.0, 0)]
    with pytest.raises(ConfigError, match="2 groups that never met: ada, bob, cyd; dan, eve"):
        strengths(games)
    with pytest.raises(ConfigError, match="never met"):
        table(games, seed=0)
    assert len(strengths([*games, Game("eve", "ada", 0.5, 0)]).log) == 5


@pytest.mark.parametrize("score", [-0.5, 1.5, math.nan])
def test_what_is_no_score_is_refused(score: float) -> None:
    """An abstention is not a game."""
    with pytest.raises(ValueError, match="leave out what was not judged"):
        strengths([Game("a", "b", score, 0)])


def test_nobody_plays_alone_and_nothing_is_not_ranked() -> None:
    """Two players, one game at least."""
    with pytest.raises(ValueError, match="meets itself"):
        strengths([Game("a", "a", 1.0, 0)])
    with pytest.raises(ConfigError, match="no game"):
        table([], seed=0)


def test_equal_seeds_give_equal_tables() -> None:
    """And others other draws."""
    games = played(np.random.default_rng(6), 20)
    assert table(games, seed=1) == table(games, seed=1) != table(games, seed=2)


def test_the_expected_score_is_that_of_the_model() -> None:
    """Log-strengths 1 and -1, nu 1: (e + 1/2) / (e + 1/e + 1); both sides sum to 1."""
    found = Strengths({"a": 1.0, "b": -1.0}, tie=1.0)
    expected = (math.e + 0.5) / (math.e + 1 / math.e + 1)
    assert win_probability(found, "a", "b") == pytest.approx(expected)
    assert win_probability(found, "b", "a") == pytest.approx(1 - expected)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 1), st.integers(0, 9)).filter(
            lambda row: row[0] != row[1]
        ),
        min_size=1,
        max_size=25,
    )
)
def test_any_games_that_hang_together_have_a_table(rows: list[tuple[int, int, float, int]]) -> None:
    """Finite strengths in their order, without a warning; or the groups are named."""
    games = [Game(f"p{a}", f"p{b}", score, question) for a, b, score, question in rows]
    try:
        standings = table(games, seed=0, resamples=50)
    except ConfigError as error:
        assert "never met" in str(error)
        return
    values = [s.strength.value for s in standings]
    assert np.isfinite(values).all() and values == sorted(values, reverse=True)
    assert all(1 <= s.rank_low <= s.rank_high <= len(standings) for s in standings)
    assert all(s.strength.low <= s.strength.high for s in standings)
