"""Seeds: every random choice depends on the run's seed, its purpose and an id, and on nothing else."""

import hashlib


def seed_of(seed: int, purpose: str, id: str) -> int:
    """A number below 2**48 for one choice.

    >>> seed_of(0, "reply", "d0000.00") == seed_of(0, "reply", "d0000.00") != seed_of(0, "judge", "d0000.00")
    True
    """
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}/{id}".encode(), digest_size=6).digest())
