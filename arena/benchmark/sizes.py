"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    dialogues: int
    turns: int
    drafts: int
    """Replies that every seat drafts per turn."""
    new_tokens: int
    """Of each reply, exactly."""
    prompt_tokens: int
    """Of each prompt where speeds are measured alone, about."""
    pairs: int
    """Of one step of a learner."""
    repeats: int
    seed: int
