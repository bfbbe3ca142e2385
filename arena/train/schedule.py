"""How the learning rate rises and falls."""

import math

SCHEDULES = ("linear", "cosine", "constant")


def share(done: int, steps: int, warmup: int, schedule: str) -> float:
    """The share of the highest rate, in [0, 1], at which the step after `done` of `steps` is made.

    It rises linearly over `warmup` steps, then falls to 0 by `schedule`, one of `SCHEDULES`. Unlike that of
    transformers it is above 0 from the first step on, which else would teach nothing.
    """
    if done < warmup:
        return (done + 1) / warmup
    gone = min(1.0, (done - warmup) / max(1, steps - warmup))
    falls = {"linear": 1 - gone, "cosine": (1 + math.cos(math.pi * gone)) / 2, "constant": 1.0}
    return falls[schedule]
