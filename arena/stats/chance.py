"""Many intervals at once: some leave out what they are compared with by chance alone."""

LEVEL = 0.05
"""How often a 95 % interval leaves out the truth."""


def by_chance(left: int, of: int, null: str, where: str) -> str:
    """How many 95 % intervals leave a number out, and how many would if there were nothing to be found.

    The expected number holds however the intervals depend on each other; how far chance may be off it does
    not.

    Args:
        left: intervals that leave it out, at most `of`.
        of: intervals with two ends.
        null: the number, in words, such as `50 %`.
        where: what would have to be so for nothing to be found, such as `all were equally good`.

    Returns:
        A sentence.
    """
    leaves = "leaves" if left == 1 else "leave"
    return f"{left} of {of} intervals {leaves} {null} out; about {LEVEL * of:.1f} would by chance if {where}."
