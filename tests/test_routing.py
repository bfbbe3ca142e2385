"""Routing: quantiles, assignments, whose difficulty, and the control arm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import ConfigError
from arena.feedback.routing import KINDS, Routing

ASSIGNMENTS = ["cpr", "crp", "pcr", "prc", "rcp", "rpc"]


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_each_assignment_gives_each_group_its_kind(assignment: str) -> None:
    """All six, the easiest group first."""
    routing = Routing(assignment)
    assert routing.names == ("easy", "medium", "hard")
    assert [routing.kinds(group) for group in range(3)] == [(KINDS[letter],) for letter in assignment]


def test_the_baseline_gives_everything_to_all() -> None:
    """Thirds are still named, so that a report can tell them apart."""
    routing = Routing("all")
    assert {routing.kinds(group) for group in range(3)} == {("critique", "refinement", "preference")}


def test_thirds_are_equal_and_rise() -> None:
    """Seven problems: 2, 3, 2; the easiest ones first."""
    nll = [0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.4]
    groups = Routing("crp").group(nll, seed=0)
    assert [groups.count(group) for group in range(3)] == [2, 3, 2]
    assert sorted(range(7), key=lambda i: (groups[i], nll[i])) == sorted(range(7), key=lambda i: nll[i])


@given(st.lists(st.floats(0, 9), max_size=40), st.integers(1, 6))
def test_groups_differ_by_one_at_most_and_never_cross(nll: list[float], count: int) -> None:
    """Any number of equal groups."""
    groups = Routing("c" * count).group(nll, seed=0)
    sizes = [groups.count(group) for group in range(count)]
    assert max(sizes) - min(sizes) <= 1 and set(groups) <= set(range(count))
    assert all(nll[i] <= nll[j] for i in range(len(nll)) for j in range(len(nll)) if groups[i] < groups[j])


def test_quantiles_can_be_uneven() -> None:
    """A tenth, then the rest."""
    groups = Routing("pc", quantiles=[0.1]).group([float(i) for i in range(10)], seed=0)
    assert groups == [0] + [1] * 9


def test_chance_has_groups_of_the_same_sizes_that_difficulty_does_not_explain() -> None:
    """The control arm; the same seed draws the same groups."""
    nll = [float(i) for i in range(30)]
    drawn = Routing("crp", by="chance").group(nll, seed=1)
    assert [drawn.count(group) for group in range(3)] == [10, 10, 10]
    assert drawn != sorted(drawn) and drawn == Routing("crp", by="chance").group(nll, seed=1)
    assert drawn != Routing("crp", by="chance").group(nll, seed=2)


def test_difficulty_is_the_mean_over_samples_then_students_or_one_of_them() -> None:
    """A student that was not measured does not count."""
    measured = {"ada": [1.0, 3.0], "bob": [6.0], "eve": []}
    assert Routing("crp").difficulty(measured) == 4.0
    assert Routing("crp", whose="ada").difficulty(measured) == 2.0
    assert Routing("crp", whose="eve").difficulty(measured) is None


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"assignment": "cxp"}, "assignment='cxp' is not known; give a letter for each group"),
        ({"assignment": ""}, "assignment='' is not known"),
        ({"quantiles": [0.5]}, r"quantiles=\[0.5\] must be 2 rising numbers"),
        ({"quantiles": [0.7, 0.2]}, "rising numbers between 0 and 1"),
        ({"quantiles": [0.5, 1.0]}, "rising numbers between 0 and 1"),
        ({"by": "luck"}, "by='luck' is not known; allowed are difficulty, chance"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], found: str) -> None:
    """With what is allowed."""
    with pytest.raises(ConfigError, match=found):
        Routing(**settings)  # type: ignore[arg-type]
