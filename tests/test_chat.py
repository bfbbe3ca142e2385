"""A talk in the terminal: what it remembers, its commands, and what reaches the screen."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from families import LLAMA, SMOLLM, Family

from agents import Agent, ConfigError, Message, Reply, Scripted, Unavailable
from agents.aloud import Speech
from agents.base import Prompt
from arena import chat
from arena.chat import Desk
from arena.corpus.reading import Corpus
from arena.talk import COMMANDS, Full, Talk, command_of
from rewards.verdict import Example

Checkpoint = Callable[[Family], Path]


class Seat:
    """Types prepared lines and keeps what is shown."""

    def __init__(self, *lines: str, agent: Agent | None = None, interactive: bool = True, **options: object):
        """Sit down before an agent, which by default answers in capitals."""
        self.shown: list[str] = []
        self.notes: list[str] = []
        self._lines: Iterator[str] = iter(lines)
        self.agent = agent or Scripted(lambda prompt, _: prompt[-1]["content"].upper())
        self.talk = Talk(self.agent, "Be brief.")
        self.desk = Desk(
            self.talk,
            self._read,
            self.shown.append,
            self.notes.append,
            interactive=interactive,
            **options,  # type: ignore[arg-type]
        )

    def _read(self, label: str) -> str:
        for line in self._lines:
            if line == "^C":
                raise KeyboardInterrupt
            return line
        raise EOFError

    def hold(self) -> str:
        """Talk to the end; gives what was shown of the conversation."""
        self.desk.hold()
        return "".join(self.shown)


def said(*texts: str) -> list[Message]:
    """Questions and answers in turn."""
    return [Message(role=("user", "assistant")[i % 2], content=text) for i, text in enumerate(texts)]


def test_the_agent_sees_the_whole_conversation() -> None:
    """Persona, questions and answers, in the order in which they came."""
    seat = Seat("one", "two")
    assert seat.hold() == "ONE\nTWO\n"
    assert isinstance(seat.agent, Scripted)
    assert seat.agent.heard[-1] == [Message(role="system", content="Be brief."), *said("one", "ONE", "two")]


def test_undo_takes_back_a_question_with_its_answer() -> None:
    """The next question is asked as if it had never been."""
    seat = Seat("one", "two", "/undo", "three")
    seat.hold()
    assert seat.talk.turns == said("one", "ONE", "three", "THREE")
    assert "taken back: two" in seat.notes


def test_reset_forgets_the_conversation_and_keeps_the_persona() -> None:
    """Only that."""
    seat = Seat("one", "/reset", "two")
    seat.hold()
    assert seat.talk.messages == [Message(role="system", content="Be brief."), *said("two", "TWO")]


def test_system_tells_the_agent_who_it_is() -> None:
    """From the next question on; without a text it is shown."""
    seat = Seat("/system", "/system Be long.", "one")
    seat.hold()
    assert seat.notes == ["it is told: Be brief.", "it is told: Be long."]
    assert seat.talk.messages[0] == Message(role="system", content="Be long.")


def test_retry_asks_again_with_other_words(checkpoint: Checkpoint) -> None:
    """The same seed and questions give the same answers; a retry draws anew, in its turn the same ones."""

    def answers(*lines: str, seed: int = 0) -> list[str]:
        agent = LLAMA.agent(str(checkpoint(LLAMA)), precision="fp32", device="cpu", max_new_tokens=8)
        seat = Seat(*lines, agent=agent)
        seat.talk.seed = seed
        seat.hold()
        return [turn["content"] for turn in seat.talk.turns if turn["role"] == "assistant"]

    first, second = answers("one"), answers("one", "/retry")
    assert first == answers("one") and len(second) == 1
    assert first != second == answers("one", "/retry")
    assert second != answers("one", "/retry", "/retry")
    assert answers("/seed 5", "one") == answers("one", seed=5) != first


@pytest.mark.parametrize(
    "line", ["/undo", "/retry", "/save x.jsonl", "/load gone.jsonl", "/seed -1", "/sav x"]
)
def test_a_mistake_is_told_and_the_talk_goes_on(line: str, runs: Path) -> None:
    """In the terminal; in a pipe it ends the talk."""
    seat = Seat(line, "one")
    assert seat.hold() == "ONE\n"
    assert len(seat.notes) == 1 and seat.notes[0].startswith("error: ")
    with pytest.raises(ConfigError):
        Seat(line, "one", interactive=False).hold()


def test_an_unknown_command_is_answered_with_what_was_meant() -> None:
    """And with the way to say such a text."""
    with pytest.raises(ConfigError, match="no command /sav, did you mean 'save'.*two slashes"):
        command_of("/sav x")
    with pytest.raises(ConfigError, match="/save needs a FILE: /save FILE"):
        command_of("/save")
    assert command_of("/system  Be a b. ") == ("system", "Be a b.")


def test_every_command_that_help_lists_is_understood(runs: Path) -> None:
    """And /quit ends."""
    seat = Seat("/help", "/quit", "never asked")
    assert seat.hold() == ""
    for name in COMMANDS:
        word = name.partition(" ")[0]
        assert f"/{name}" in seat.notes[0]
        assert word == "quit" or callable(getattr(seat.desk, f"_{word}"))


def test_two_slashes_begin_a_text_with_one_and_quotes_a_long_one() -> None:
    """A text of several lines is one question."""
    seat = Seat("//etc", '"""first', "", "  last", '"""', '"""in one"""', "", "   ")
    seat.hold()
    assert [turn["content"] for turn in seat.talk.turns[::2]] == ["/etc", "first\n\n  last", "in one"]


def test_quotes_that_never_close_end_with_the_input() -> None:
    """Nothing is asked."""
    seat = Seat('"""begun', "more")
    assert seat.hold() == "" and seat.talk.turns == []


def test_control_characters_do_not_reach_the_screen() -> None:
    """In an answer, a loaded text, a persona."""
    seat = Seat("one", "/system \x1b[2Jx", "/undo", agent=Scripted(["a\x1b]52;c;x\x07b\u202ec"]))
    assert seat.hold() == "a]52;c;xbc\n"
    assert not any("\x1b" in note for note in seat.notes)


def test_a_saved_conversation_is_loaded_again_and_is_a_corpus(runs: Path) -> None:
    """One line, of the form `chat`."""
    first = Seat("one", "/save talk.jsonl", "two", "/save talk.jsonl")
    first.hold()
    [line] = Path("talk.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {"messages": first.talk.messages}
    second = Seat("/load talk.jsonl", "three")
    second.talk.system = "Somebody else."
    second.hold()
    assert second.talk.messages == [*first.talk.messages, *said("three", "THREE")]
    [example] = Corpus(["talk.jsonl"], form="chat").read(Example)
    assert example.completion == "TWO"


def test_a_file_of_somebody_else_is_not_written_over(runs: Path) -> None:
    """Nor after a reset the one of the last conversation."""
    Path("mine.jsonl").write_text("precious", encoding="utf-8")
    seat = Seat("one", "/save mine.jsonl", "/save new.jsonl", "/reset", "two", "/save new.jsonl")
    seat.hold()
    assert sum("is there already" in note for note in seat.notes) == 2
    assert Path("mine.jsonl").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize(
    "row",
    [
        "{}",
        '{"messages": []}',
        '{"messages": "x"}',
        '{"messages": [{"role": "user", "content": "a"}]}',
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": 3}]}',
        '{"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "a"}]}',
    ],
)
def test_a_file_that_holds_no_conversation_is_refused(row: str, runs: Path) -> None:
    """What there was stays."""
    Path("odd.jsonl").write_text(f"{row}\n", encoding="utf-8")
    seat = Seat("one", "/load odd.jsonl", "two")
    seat.hold()
    assert "odd.jsonl', line 1" in seat.notes[0]
    assert seat.talk.turns == said("one", "ONE", "two", "TWO")


class Failing(Agent):
    """Gives no answer."""

    def reply(self, prompts: list[Prompt], n: int = 1, **_: object) -> list[list[Reply]]:  # type: ignore[override]
        """Never."""
        raise Unavailable("the server is down")


def test_an_agent_that_fails_leaves_no_question_without_answer() -> None:
    """So that the next one can be asked."""
    seat = Seat("one", agent=Failing())
    seat.hold()
    assert (seat.talk.turns, seat.notes) == ([], ["error: the server is down"])


def test_an_empty_answer_is_told_and_forgotten() -> None:
    """A template takes no empty turn."""
    seat = Seat("one", agent=Scripted([" "]))
    seat.hold()
    assert seat.talk.turns == [] and seat.notes == ["an empty answer: the question is forgotten"]


def test_ctrl_c_while_nobody_speaks_says_how_to_end() -> None:
    """Once more, it is the line that is dropped, not the conversation."""
    seat = Seat("one", "^C", "two")
    assert seat.hold() == "ONE\nTWO\n"
    assert seat.notes == ["\n/quit or Ctrl-D ends"]


def test_ctrl_c_stops_an_answer_and_keeps_what_was_said(checkpoint: Checkpoint) -> None:
    """The conversation goes on from there."""
    agent = LLAMA.agent(str(checkpoint(LLAMA)), precision="fp32", device="cpu", max_new_tokens=400)
    seat = Seat("one", "two", agent=agent)
    say = seat.desk.say

    def interrupted(text: str) -> None:
        say(text)
        if len(seat.shown) == 5:
            signal.raise_signal(signal.SIGINT)

    seat.desk.say = interrupted
    before = signal.getsignal(signal.SIGINT)  # a shell's background job has it ignored
    seat.hold()
    assert [turn["role"] for turn in seat.talk.turns] == ["user", "assistant"] * 2
    assert seat.talk.turns[1]["content"] == "".join(seat.shown[:5])
    assert "\nstopped: what was said is kept, /undo takes it back" in seat.notes
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_of_an_answer_that_is_not_heard_live_forgets_the_question() -> None:
    """A server's reply is there as a whole, or not."""

    def line(prompt: Prompt, _: int) -> str:
        if prompt[-1]["content"] == "one":
            signal.raise_signal(signal.SIGINT)
        return "x"

    seat = Seat("one", "two", agent=Scripted(line))
    seat.hold()
    assert seat.talk.turns == said("two", "x")
    assert "\nstopped: the question is forgotten" in seat.notes


def test_a_streamed_answer_is_the_one_that_is_not_streamed(checkpoint: Checkpoint) -> None:
    """And it comes in pieces."""
    folder = str(checkpoint(LLAMA))
    shown = {}
    for stream in (True, False):
        agent = LLAMA.agent(folder, precision="fp32", device="cpu", max_new_tokens=16)
        seat = Seat("one", agent=agent)
        seat.talk.stream = stream
        shown[stream] = (seat.hold(), len(seat.shown))
    assert shown[True][0] == shown[False][0]
    assert shown[True][1] > 4 and shown[False][1] == 2


def test_a_full_window_is_told_with_the_ways_out(checkpoint: Checkpoint) -> None:
    """The question that did not fit is forgotten; the tiny model reads 512 tokens."""
    agent = SMOLLM.agent(str(checkpoint(SMOLLM)), precision="fp32", device="cpu", max_new_tokens=8)
    talk = Talk(agent)
    with pytest.raises(Full, match=r"has \d+ tokens and the model reads 512: /undo .* /reset"):
        talk.ask("x" * 600, Speech(lambda _: None))
    assert talk.turns == []
    reply = talk.ask("x" * 470, Speech(lambda _: None))
    assert len(reply.ids) <= 512 - reply.tokens_in


def command(*arguments: str, tiny: Path) -> list[str]:
    """The command with a tiny agent."""
    settings = ["conf=practice", f"agents.policy.checkpoint={tiny}", "agents.policy.max_new_tokens=8"]
    return [sys.executable, "-m", "arena.chat", *settings, "precision=fp32", *arguments]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TERM": "xterm"}


@pytest.mark.slow
def test_in_a_pipe_each_line_is_a_question(checkpoint: Checkpoint, runs: Path) -> None:
    """Answers alone on standard output, no prompt, no colour; with --json each is an object."""
    done = subprocess.run(
        command("--json", tiny=checkpoint(LLAMA)),
        input="one\n/help\ntwo",
        env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["question"] for row in rows] == ["one", "two"]
    assert all(row["content"] for row in rows)
    assert "/undo" in done.stderr


@pytest.mark.slow
def test_on_a_terminal_words_appear_behind_prompts_and_ctrl_d_ends(
    checkpoint: Checkpoint, runs: Path
) -> None:
    """A pseudo-terminal: what a user would see. What is pasted is one question."""
    master, slave = pty.openpty()
    talking = subprocess.Popen(
        command(tiny=checkpoint(LLAMA)), env=ENVIRONMENT, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)

    def until(prompts: int) -> str:
        nonlocal screen
        while screen.count(b"you> ") < prompts:
            screen += os.read(master, 4096)
        return screen.decode(errors="replace")

    screen = b""
    until(1)
    os.write(master, b"\x1b[200~one\ntwo\x1b[201~\n")  # as a terminal sends what is pasted
    assert "policy> " in until(2)
    os.write(master, b"/save talk.jsonl\n")
    assert "/help lists commands, Ctrl-D ends" in until(3)
    os.write(master, b"\x04")
    assert talking.wait(60) == 0
    os.close(master)
    [line] = Path("talk.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["messages"][-2]["content"] == "one\ntwo"


def test_several_seats_are_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody knows who would answer."""
    with pytest.raises(SystemExit) as ended:
        chat.main(["conf=practice", "+agent@agents.other=smollm"])
    assert ended.value.code == 2
    assert "one agent answers, found the seats policy, other" in capsys.readouterr().err
