r"""Talk with an agent in the terminal: a conversation that it remembers, words as they are written.

    python -m arena.chat                                            # the default agent
    python -m arena.chat conf=critic                                # with the adapter of runs/critic
    python -m arena.chat agent@agents.policy=qwen_small
    python -m arena.chat conf=king agents.policy.adapter=FOLDER     # null: the bare checkpoint
    echo "What is entropy?" | python -m arena.chat                  # a question in each line, plain answers

/help lists the commands. Three double quotes begin a text of several lines, and three more end it. Ctrl-C
stops the answer that is being written and keeps what was said; Ctrl-D ends.
"""

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from agents.aloud import Silenced, Speech
from agents.dialogue import Reply
from agents.errors import ArenaError, ConfigError
from agents.human import printable
from arena.command import command
from arena.talk import COMMANDS, Talk, command_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from agents.base import Agent

QUOTES = '"""'
LABEL = "you> "
MORE = "...  "
TOPIC = "whatever you are asked"
"""Stands for the topic in a persona that has one."""


@dataclass
class Desk:
    """Where a talk is held.

    Args:
        talk: with whom.
        read: gives the next line after a label; EOFError at the end.
        say: writes text to the user as it is, already clean.
        note: tells the user what is no part of the conversation.
        label: what stands before an answer, `""` for nothing.
        interactive: whether somebody sits there: then errors are told and the talk goes on.
        as_json: whether each answer is one JSON object instead.
    """

    talk: Talk
    read: Callable[[str], str]
    say: Callable[[str], object]
    note: Callable[[str], object]
    label: str = ""
    interactive: bool = False
    as_json: bool = False

    def hold(self) -> None:
        """Talk until the user ends it.

        Raises:
            ArenaError: something failed, and nobody sits there.
        """
        while True:
            try:
                line = self._line()
            except EOFError:
                return
            except KeyboardInterrupt:
                if not self.interactive:
                    raise
                self.note("\n/quit or Ctrl-D ends")
                continue
            try:
                if self._take(line):
                    return
            except (ArenaError, OSError) as error:
                if not self.interactive:
                    raise
                self.note(f"error: {error}")

    def _line(self) -> str:
        """The next line, or the next lines between quotes."""
        line = self.read(LABEL)
        if not line.lstrip().startswith(QUOTES):
            return line.strip()
        lines = [line.lstrip().removeprefix(QUOTES)]
        while not lines[-1].rstrip().endswith(QUOTES):
            lines.append(self.read(MORE))
        return "\n".join(lines).rstrip().removesuffix(QUOTES).strip()

    def _take(self, line: str) -> bool:
        """Do what a line says; whether it ends the talk."""
        if not line:
            return False
        if not line.startswith("/") or line.startswith("//"):
            self._ask(line[1:] if line.startswith("//") else line)
            return False
        name, rest = command_of(line)
        if name == "quit":
            return True
        getattr(self, f"_{name}")(rest)
        return False

    def _ask(self, question: str) -> None:
        speech = Speech(self._hear)
        if self.label:
            self.say(self.label)
        try:
            with silencing(speech) if self.interactive else nullcontext():
                reply = self.talk.ask(question, speech)
        except Silenced:
            kept = (
                "what was said is kept, /undo takes it back" if speech.said else "the question is forgotten"
            )
            self.note(f"\nstopped: {kept}")
            return
        except KeyboardInterrupt:
            if not self.interactive:
                raise
            self.note("\nstopped: the question is forgotten")
            return
        self._end(question, reply, speech)

    def _hear(self, piece: str) -> None:
        if not self.as_json:
            self.say(printable(piece))

    def _end(self, question: str, reply: Reply, speech: Speech) -> None:
        """What stands behind an answer."""
        if self.as_json:
            row = {"event": "reply", "question": question, "content": reply.text, "finish": reply.finish}
            self.say(json.dumps(row) + "\n")
            return
        if not speech.end(reply.text):
            self.say(f"\n{printable(reply.text)}")
        self.say("\n")
        if not reply.text.strip():
            self.note("an empty answer: the question is forgotten")
        elif reply.truncated:
            self.note("cut at the limit: max_new_tokens of the agent sets another one")

    def _help(self, _: str) -> None:
        width = max(map(len, COMMANDS)) + 1
        self.note("\n".join(f"/{name:<{width}} {what}" for name, what in COMMANDS.items()))
        self.note(f"{QUOTES} begins and ends a text of several lines; Ctrl-C stops an answer and keeps it")

    def _reset(self, _: str) -> None:
        self.talk.reset()
        self.note("forgotten")

    def _undo(self, _: str) -> None:
        self.note(f"taken back: {printable(self.talk.undo())}")

    def _retry(self, _: str) -> None:
        self._ask(self.talk.again())

    def _system(self, rest: str) -> None:
        if rest:
            self.talk.system = rest
        self.note(f"it is told: {printable(self.talk.system)}" if self.talk.system else "it is told nothing")

    def _save(self, rest: str) -> None:
        self.note(f"saved to {self.talk.save(rest)}")

    def _load(self, rest: str) -> None:
        self.talk.load(rest)
        for message in self.talk.turns:
            label = LABEL if message["role"] == "user" else self.label
            self.note(printable(f"{label}{message['content']}"))

    def _seed(self, rest: str) -> None:
        if not rest.isdecimal():
            raise ConfigError(f"a seed is a whole number from 0 on, got {rest!r}")
        self.talk.seed = int(rest)
        self.note(f"the seed is {self.talk.seed}")


@contextmanager
def silencing(speech: Speech) -> Iterator[None]:
    """While the body runs, Ctrl-C silences the speech at its next token; a second one ends it at once."""

    def asked(number: int, frame: FrameType | None) -> None:
        if speech.silenced or not speech.live:
            raise KeyboardInterrupt
        speech.silenced = True

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command("chat", chat, arguments)


def chat(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """One talk from its composed settings; returns the exit code."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from agents import backbone
    from arena.console import choose
    from arena.evaluation.trained import take_adapter

    choose(cfg.display)  # refuses a display that there is not
    backbone.load.cache_clear()  # another run of this process may have left its adapters on the weights
    if len(cfg.agents) != 1:
        raise ConfigError(f"one agent answers, found the seats {', '.join(cfg.agents)}: take the others out")
    [(seat, part)] = cfg.agents.items()
    take_adapter(part, folder, cfg.stages)
    OmegaConf.resolve(cfg)
    agent: Agent = instantiate(part)
    talk = Talk(agent, agent.system.replace("{topic}", TOPIC), cfg.seed, cfg.stream)
    desk = _desk(talk, str(seat), cfg.display)
    if desk.interactive:
        adapter = f" with the adapter {part.adapter}" if part.get("adapter") else ""
        desk.note(f"{agent.name}{adapter}; /help lists commands, Ctrl-D ends")
    desk.hold()
    return 0


def _desk(talk: Talk, seat: str, display: str) -> Desk:
    """A desk at the terminal, or one for a pipe."""
    from arena.terminal import stdout_console

    console = stdout_console()

    def say(text: str) -> None:
        console.out(text, end="", highlight=False)
        console.file.flush()

    def silent(_: str) -> None:
        pass

    if not sys.stdin.isatty():
        note = silent if display == "quiet" else _to_stderr
        return Desk(talk, _next_line, say, note, as_json=display == "json")
    if find_spec("readline"):
        import readline  # gives `input` its line editor and its history

        # Python switches it off. A text that is pasted is then one question, however many lines it has.
        readline.parse_and_bind("set enable-bracketed-paste on")
    return Desk(
        talk,
        input,
        say,
        lambda text: console.print(text, style="dim"),
        label=f"{seat}> ",
        interactive=True,
        as_json=display == "json",
    )


def _next_line(_: str) -> str:
    """The next line of standard input, which shows no label."""
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
