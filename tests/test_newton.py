"""The maximiser of many concave functions at once."""

import numpy as np
import pytest

from agents.errors import ArenaError
from arena.stats import newton
from arena.stats.newton import Array, climb

TOPS = np.array([[3.0, -1.0], [0.25, 40.0], [0.0, 0.0]])


def parabolas(at: Array) -> tuple[Array, Array]:
    """Tops at `TOPS`, steeper in the first coordinate."""
    steep = np.array([4.0, 1.0])
    return steep * (TOPS - at), np.tile(np.diag(steep), (len(at), 1, 1))


def test_every_function_is_climbed_to_its_own_top() -> None:
    """However far away, in steps of a limited length."""
    np.testing.assert_allclose(climb(parabolas, np.zeros((3, 2))), TOPS, atol=1e-8)


def test_where_it_starts_is_left_as_it_was() -> None:
    """A caller may use it again."""
    start = np.ones((3, 2))
    climb(parabolas, start)
    np.testing.assert_array_equal(start, 1)


def test_a_long_way_does_not_overshoot() -> None:
    """The log-likelihood of 1 win in 1000: full Newton steps from a start at 6 never come back."""

    def slopes(at: Array) -> tuple[Array, Array]:
        won = 1 / (1 + np.exp(-at))
        return 1 - 1000 * won, (1000 * won * (1 - won))[:, :, None]

    assert climb(slopes, [[6.0]])[0, 0] == pytest.approx(-np.log(999))


def test_a_function_without_a_top_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than some number on the way."""
    monkeypatch.setattr(newton, "MOST_STEPS", 20)

    def slopes(at: Array) -> tuple[Array, Array]:
        return np.ones_like(at), np.ones((*at.shape, 1))

    with pytest.raises(ArenaError, match="still moves by 1 after 20 steps"):
        climb(slopes, np.zeros((1, 1)))
