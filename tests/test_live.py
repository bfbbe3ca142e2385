"""The live display: what is on the screen, and what is left of it."""

import io
import re

import pytest
from example_events import BEGIN, DRAFTED, EXCHANGED, HOSTILE, SPOKE, START, UPDATED, tell
from rich.console import Console

from arena.live import Live


def screen(width: int = 80, height: int = 40) -> tuple[io.StringIO, Console]:
    """A terminal that is kept in memory."""
    out = io.StringIO()
    return out, Console(file=out, force_terminal=True, width=width, height=height, color_system="standard")


def plain_text(out: io.StringIO) -> str:
    """What is left without the codes of styles and of moving the cursor."""
    return re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", out.getvalue()).replace("\r", "")


def drawn(display: Live, out: io.StringIO) -> str:
    """The screen as it is drawn now."""
    out.truncate(0)
    out.seek(0)
    display.console.print(display.drawn())
    return plain_text(out)


@pytest.mark.parametrize("width", [80, 120])
def test_the_live_table_has_every_number_of_a_seat(width: int) -> None:
    """Also large ones, at 80 columns."""
    out, console = screen(width)
    display = Live(console)
    display.say("start", **START | {"steps": 2400, "turns": 1200})
    display.say("drafted", **DRAFTED | {"step": 2398, "drafts": 19200, "tokens": 5_000_000, "seconds": 400.0})
    display.say("exchanged", **EXCHANGED | {"step": 2398, "pairs": 19200, "ties": 1200, "abstained": 1300})
    display.say("updated", **UPDATED | {"margin": -0.0012})
    text = drawn(display, out)
    row = next(line for line in text.splitlines() if line.startswith("ada  "))
    assert row.split() == "ada 1200/1200 19200 12500 6.50 19200 1200 1300 0.6931 -0.0012".split()
    assert max(map(len, text.splitlines())) <= width


def test_a_job_that_goes_by_stages_shows_how_far_its_stage_is() -> None:
    """No steps and no time left, which nobody knows; what was said, cleaned."""
    out, console = screen(100)
    display = Live(console)
    display.say("begin", **BEGIN)
    assert "24 problems" in drawn(display, out) and "nothing said yet" in drawn(display, out)
    display.say("spoke", **SPOKE)
    text = drawn(display, out)
    row = next(line for line in text.splitlines() if line.startswith("ada  "))
    assert row.split() == ["ada", "24", "800", "200", "2"]
    assert "answers 24 of 48" in text and "ETA" not in text and "ada d0000" in text and "\x1b" not in text
    display.say("stage", what="difficulty", done=5, of=9, seconds=1.0)
    assert "difficulty 5 of 9" in drawn(display, out)


def test_the_live_display_shows_what_was_said_cleaned_and_in_colour() -> None:
    """The speaker's colour; three lines at most; no code of the model."""
    out, console = screen()
    display = Live(console)
    display.say("start", **START)
    display.say("exchanged", **EXCHANGED | {"sample": ("d0000", "bob", HOSTILE + " word" * 200, 6.5)})
    console.print(display.drawn())
    assert "\x1b[1;33mbob\x1b[0m\x1b[2m d0000 · 6.50" in out.getvalue()
    text = drawn(display, out)
    said = text[text.index("bob d0000") :].split("\n\n")[0].splitlines()
    assert said[1].startswith("  [2J]52;c;cm0gLXJm [/x] [red]ab next1m word")
    assert len(said) == 4
    assert said[3].endswith("...")


def test_alarms_and_failures_stay_on_the_live_screen() -> None:
    """The alarm as a whole, the last failure by its id."""
    out, console = screen()
    display = Live(console)
    display.say("start", **START)
    display.say("alarm", name="length", text="replies grow " * 12)
    display.say("failure", id="d0003.01a", what="rating_absent", about="draft")
    text = " ".join(drawn(display, out).split())
    assert f"ALARM length: {'replies grow ' * 12}".strip() in text
    assert "1 failure, last d0003.01a rating_absent" in text


def test_the_live_screen_fits_a_small_terminal() -> None:
    """Fewer turns are shown where there is less room; the last line is there."""
    out, console = screen(height=24)
    display = Live(console)
    display.say("start", **START)
    for step in range(6):
        display.say("exchanged", **EXCHANGED | {"step": step, "sample": ("d0000", "ada", "word " * 99, 1.0)})
    text = drawn(display, out)
    assert len(text.splitlines()) <= 24
    assert "6 of 12 steps" in text


def test_the_table_stays_when_the_run_is_done() -> None:
    """Followed by the hints, each whole on its line."""
    out, console = screen()
    tell(Live(console))
    end = plain_text(out)[-800:]
    assert re.search(r"ada +6/6 +32 +200 +6.50 +5 +1 +2 +0.6931 +0.0012", end)
    assert end.endswith("hint      read it\nhint      go on\n")


def test_a_run_that_ends_in_an_error_gives_the_terminal_back() -> None:
    """The cursor is shown again."""
    out, console = screen()
    with pytest.raises(OSError), Live(console) as display:
        display.say("start", **START)
        raise OSError
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")
