"""What ends training before it does harm."""

from math import isfinite

from agents.errors import ArenaError


class Diverged(ArenaError):
    """A loss, reward or gradient is no finite number; the weights are those before this step."""


def check_finite(step: int, **numbers: float) -> None:
    """Refuse numbers that are infinite or none at all; to be called before the optimiser's step.

    Raises:
        Diverged: names them.
    """
    bad = ", ".join(f"{name} = {value}" for name, value in numbers.items() if not isfinite(value))
    if bad:
        raise Diverged(
            f"training diverged at step {step}: {bad}. The adapter is kept as it was before this step; "
            "lower train.lr, or look at the rows of this step; new settings want a folder of their own"
        )
