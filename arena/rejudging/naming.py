"""What a rejudging is called, and what it says that differs."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from arena.jsonl import brief
from arena.runs import ROOT

APART = ("vs", "second", "again")
"""Settings that change no verdict, or that decide only on how it is come by."""
LONGEST = 80
"""Letters of a folder's name."""
SHOWN = 4
"""Settings that a sentence names."""


def folder_name(of: str, words: Sequence[str]) -> str:
    """What a rejudging is called.

    >>> folder_name("runs/demo", ["judge=rating", "judge.tie_margin=0.1", "agent@judge.agent=qwen_small"])
    'demo-rejudged-rating-tie_margin-0.1-qwen_small'
    """
    run = Path(of)
    below = run.relative_to(ROOT).as_posix() if run.is_relative_to(ROOT) else run.name
    told = dict(word.lstrip("+").partition("=")[::2] for word in words if "=" in word)
    if told.get("vs"):
        return f"{below}-vs-{Path(told['vs']).name}"
    short = []
    for key, value in told.items():
        last, plain = key.rpartition(".")[2], re.sub(r"[^\w.+-]+", "_", value.rpartition("/")[2]).strip("_")
        if key.partition(".")[0] not in (*APART, "display", "hydra", "runs"):
            whole = "@" in key or key == "judge" or last == "checkpoint"
            short.append(plain if whole else f"{last}-{plain}")
    return f"{below}-rejudged-{'-'.join(short) or 'again'}"[:LONGEST].rstrip("-._")


def in_words(changed: Mapping[str, tuple[object, object]]) -> str:
    """What differs, in words.

    >>> in_words({"judge.zeta": (0.4, 1.0)})
    'judge.zeta was 0.4, now 1.0'
    """
    told = [f"{key} was {brief(was)}, now {brief(now)}" for key, (was, now) in changed.items()]
    more = f"; and {len(told) - SHOWN} more settings" if len(told) > SHOWN else ""
    return "; ".join(told[:SHOWN]) + more or "nothing, it is asked once more"
