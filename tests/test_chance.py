"""Many intervals at once: how many leave something out by chance is said."""

import pytest

from arena.stats.chance import by_chance


@pytest.mark.parametrize(
    ("left", "of", "told"),
    [
        (0, 40, "0 of 40 intervals leave 50 % out; about 2.0 would by chance if all were equal."),
        (1, 8, "1 of 8 intervals leaves 50 % out; about 0.4 would by chance if all were equal."),
    ],
)
def test_one_in_twenty_is_expected(left: int, of: int, told: str) -> None:
    """Beside how many there are."""
    assert by_chance(left, of, "50 %", "all were equal") == told
