"""Which groups go into one pass together."""

import pytest

from agents.scoring import packs


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ([320] * 4, 1024, [[0, 1], [2, 3]]),
        ([320] * 3, 1024, [[0, 1, 2]]),
        ([5, 5, 2000, 5], 1024, [[0, 1], [2], [3]]),
        ([2000], 1024, [[0]]),
        ([], 1024, []),
        ([900, 100, 100, 100], 1000, [[0], [1, 2, 3]]),
    ],
    ids=["evenly", "all", "one too long", "only one too long", "none", "the longest decides"],
)
def test_passes_are_few_and_even(sizes: list[int], most: int, expected: list[list[int]]) -> None:
    """No longer than asked, but for a group that is; no more of them than that takes."""
    groups = [([1] * (size - 1), [[1]]) for size in sizes]
    assert packs(groups, most) == expected
