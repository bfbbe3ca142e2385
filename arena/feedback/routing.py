"""Routing: from how uncertain the students were to the kind of feedback that a problem gets.

Difficulty here is a model's uncertainty of its own answer (DAIF, Li et al. 2023: the mean negative
log-likelihood of its greedy answer). Groups are quantiles of it; an assignment names a kind for each.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from agents.errors import ConfigError

KINDS = {"c": "critique", "r": "refinement", "p": "preference"}
"""Letter of an assignment -> kind of feedback."""

EVERYTHING = "all"
"""The baseline: every kind for every problem."""

_NAMES = {1: ("any",), 2: ("easy", "hard"), 3: ("easy", "medium", "hard")}


@dataclass(frozen=True)
class Routing:
    """Which problems get which feedback.

    Args:
        assignment: a letter for each group, the easiest first: c (critique), r (refinement), p
            (preference), such as `crp`; or `all`, thirds of which each gets all three.
        quantiles: where the groups end, rising in (0, 1), one fewer than there are groups; default: equal
            groups.
        whose: `mean` of all students, or the student whose difficulty groups the problems.
        by: `difficulty`, or `chance` for the control arm: groups of the same sizes, drawn by the seed.
    """

    assignment: str = "crp"
    quantiles: Sequence[float] = ()
    whose: str = "mean"
    by: str = "difficulty"

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.assignment != EVERYTHING and not (self.assignment and set(self.assignment) <= set(KINDS)):
            letters = ", ".join(f"{letter} ({kind})" for letter, kind in KINDS.items())
            raise ConfigError(
                f"assignment={self.assignment!r} is not known; give a letter for each group, the easiest "
                f"first, of {letters}, such as crp, or {EVERYTHING!r}"
            )
        cuts = list(self.quantiles)
        rising = all(low < high for low, high in zip([0.0, *cuts], [*cuts, 1.0], strict=True))
        if cuts and not (rising and len(cuts) == self.groups - 1):
            raise ConfigError(
                f"quantiles={cuts} must be {self.groups - 1} rising numbers between 0 and 1, where the "
                f"{self.groups} groups of {self.assignment!r} end"
            )
        if self.by not in ("difficulty", "chance"):
            raise ConfigError(f"by={self.by!r} is not known; allowed are difficulty, chance")

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return 3 if self.assignment == EVERYTHING else len(self.assignment)

    @property
    def names(self) -> tuple[str, ...]:
        """The groups' names, the easiest first."""
        return _NAMES.get(self.groups, tuple(f"q{i + 1}" for i in range(self.groups)))

    @property
    def asked(self) -> tuple[str, ...]:
        """The kinds that any group gets."""
        return tuple(kind for letter, kind in KINDS.items() if letter in self._letters)

    @property
    def _letters(self) -> str:
        return "crp" if self.assignment == EVERYTHING else self.assignment

    def kinds(self, group: int) -> tuple[str, ...]:
        """The kinds of feedback of a group, from 0."""
        return self.asked if self.assignment == EVERYTHING else (KINDS[self.assignment[group]],)

    def difficulty(self, students: Mapping[str, Sequence[float]]) -> float | None:
        """A problem's difficulty in nats per token, None where no answer was measured.

        Args:
            students: student -> mean negative log-likelihood of each of its answers, nats per token.
        """
        chosen = students if self.whose == "mean" else {self.whose: students.get(self.whose, ())}
        means = [fmean(values) for values in chosen.values() if values]
        return fmean(means) if means else None

    def group(self, difficulties: Sequence[float], seed: int) -> list[int]:
        """The group, from 0, of each problem; groups are as equal as the quantiles say, ties by place."""
        order = sorted(range(len(difficulties)), key=lambda i: (difficulties[i], i))
        if self.by == "chance":
            random.Random(f"groups {seed}").shuffle(order)
        cuts = list(self.quantiles) or [(i + 1) / self.groups for i in range(self.groups - 1)]
        ends = [round(cut * len(order)) for cut in cuts]
        found = [0] * len(order)
        for rank, place in enumerate(order):
            found[place] = sum(rank >= end for end in ends)
        return found
