"""The seat at the keyboard: what is shown is harmless, what is asked is answered."""

from collections.abc import Iterator

import pytest

from agents.dialogue import Message
from agents.errors import Unavailable
from agents.human import Human, printable


class Desk:
    """Keeps what is shown and types prepared lines."""

    def __init__(self, *lines: str) -> None:
        """Type `lines` in turn, then find the keyboard closed."""
        self.shown: list[str] = []
        self.labels: list[str] = []
        self._lines: Iterator[str] = iter(lines)

    def ask(self, label: str) -> str:
        """Read the next line."""
        self.labels.append(label)
        for line in self._lines:
            return line
        raise EOFError

    def seat(self) -> Human:
        """A human at this desk."""
        return Human(show=self.shown.append, ask=self.ask)


def said(text: str, system: str = "") -> list[Message]:
    """A prompt that ends with `text`, after a system message if one is given."""
    prompt = [Message(role="user", content=text)]
    return [Message(role="system", content=system), *prompt] if system else prompt


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\x1b[2Jb", "a[2Jb"),
        ("\x1b]52;c;cm0gLXJm\x07ok", "]52;c;cm0gLXJmok"),
        ("a\x9b2Jb\x00\x7f\x08", "a2Jb"),
        ("safe\u202egpj.exe", "safegpj.exe"),
        ("\u2066a\u2069\u200f", "a"),
        ("a\u2028b\u2029c", "abc"),
        ("one\r\ntwo\tthree", "one\ntwo\tthree"),
        ("\ud800a", "a"),
    ],
    ids=["csi", "osc52", "c1", "override", "isolate", "separators", "breaks", "surrogate"],
)
def test_no_character_that_commands_a_terminal_or_turns_text_around_is_shown(raw: str, shown: str) -> None:
    """One row per kind of attack, and the line breaks and tabs that must survive."""
    assert printable(raw) == shown


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
        "5\u00a0kg",
        "\u4f60\u597d\u3000\u4e16\u754c",
        "cafe\u0301",
    ],
    ids=["emoji", "no-break space", "ideographic space", "accent"],
)
def test_text_of_any_script_is_shown_as_it_is(text: str) -> None:
    """Joined emoji, wide and unbreakable spaces, combining accents."""
    assert printable(text) == text


def test_the_last_message_is_shown_cleaned_and_the_line_is_the_reply() -> None:
    """What the human types is stripped and marked as human."""
    desk = Desk("  hello there ")
    [[reply]] = desk.seat().reply([said("hi\x1b[2J")])
    assert desk.shown == ["\nhi[2J\n"]
    assert (reply.text, reply.finish) == ("hello there", "human")


def test_an_empty_line_is_asked_again() -> None:
    """Nothing said is no reply."""
    desk = Desk("", "   ", "yes")
    [[reply]] = desk.seat().reply([said("well?")])
    assert reply.text == "yes"
    assert sum("empty" in text for text in desk.shown) == 2


def test_each_draft_of_each_prompt_is_asked_in_order() -> None:
    """Replies come back under the prompt they answer."""
    desk = Desk("a", "b", "c", "d")
    replies = desk.seat().reply([said("one"), said("two")], 2)
    assert [[reply.text for reply in row] for row in replies] == [["a", "b"], ["c", "d"]]
    assert desk.labels[:2] == ["you (1 of 2)> ", "you (2 of 2)> "]


def test_the_persona_is_told_once_before_the_first_prompt() -> None:
    """The system message is for the human too, but not before every line."""
    desk = Desk("a", "b")
    seat = desk.seat()
    seat.reply([said("one", system="You are a sceptic.")])
    seat.reply([said("two", system="You are a sceptic.")])
    assert desk.shown == ["You are a sceptic.", "\none\n", "\ntwo\n"]


def test_a_closed_keyboard_is_a_clear_error() -> None:
    """Such as in a batch job, where standard input is empty."""
    with pytest.raises(Unavailable, match="keyboard"):
        Desk().seat().reply([said("anyone there?")])
