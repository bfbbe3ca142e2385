"""A talk with one agent: its messages, and the commands that change them. Nothing here reads or prints."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agents.aloud import Silenced, Speech, reply_aloud
from agents.base import Agent
from agents.dialogue import Message, Reply
from agents.errors import ArenaError, ConfigError
from arena import jsonl
from arena.seeds import seed_of
from arena.spelling import did_you_mean

if TYPE_CHECKING:
    from agents.local import Local

COMMANDS: Mapping[str, str] = {
    "help": "list these",
    "reset": "forget the conversation",
    "undo": "take back the last question and its answer",
    "retry": "have the last question answered anew",
    "system TEXT": "tell the agent who it is; without a text, show what it is told",
    "save FILE": "write the conversation as one line of JSON, which data.paths takes (form chat)",
    "load FILE": "go on from the first conversation of such a file",
    "seed N": "draw other words; the same seed and questions give the same answers",
    "quit": "end, as Ctrl-D does",
}
"""What a line that begins with a slash can say."""


class Full(ArenaError):
    """The conversation is longer than the model reads."""


@dataclass
class Talk:
    """A conversation that goes on.

    Args:
        agent: who answers.
        system: what it is told, `""` for nothing.
        seed: of its words.
        stream: whether words are heard as they are written.
    """

    agent: Agent
    system: str = ""
    seed: int = 0
    stream: bool = True
    turns: list[Message] = field(default_factory=list)
    """Questions and answers in turn."""
    _tries: int = 0
    _own: Path | None = None
    """The file that this conversation was saved to, and may be again."""

    @property
    def messages(self) -> list[Message]:
        """The conversation with its system message, as templates and files have it."""
        return [*([Message(role="system", content=self.system)] if self.system else []), *self.turns]

    def ask(self, question: str, speech: Speech) -> Reply:
        """Ask, and have the answer heard. Where it cannot be given, the question is forgotten again.

        Raises:
            Full: the model cannot read all of it.
            Silenced: the speech was silenced. What was heard is the answer; nothing heard, nothing asked.
            ArenaError: the agent failed.
        """
        self.turns.append(Message(role="user", content=question))
        answer = ""
        try:
            prompt = self.messages
            seed = seed_of(self.seed, "chat", f"{len(self.turns)}.{self._tries}")
            room = self._room(prompt)
            if self.stream:
                reply = reply_aloud(self.agent, prompt, speech, seed, room)
            else:
                reply = self.agent.reply([prompt], seeds=[seed], max_new_tokens=room)[0][0]
            answer = reply.text
            return reply
        except Silenced:
            answer = speech.said
            raise
        finally:
            if answer.strip():
                self.turns.append(Message(role="assistant", content=answer))
            else:
                self.turns.pop()

    def again(self) -> str:
        """Take the last answer back and give its question, to be asked anew with other random numbers.

        Raises:
            ConfigError: nothing was asked yet.
        """
        tries = self._tries + 1
        question = self.undo()
        self._tries = tries
        return question

    def undo(self) -> str:
        """Take the last question and answer back; gives the question.

        Raises:
            ConfigError: nothing was asked yet.
        """
        if len(self.turns) < 2:
            raise ConfigError("nothing has been asked yet")
        self.turns, question, self._tries = self.turns[:-2], self.turns[-2]["content"], 0
        return question

    def reset(self) -> None:
        """Forget the conversation; who the agent is stays."""
        self.turns, self._tries, self._own = [], 0, None

    def save(self, name: str) -> Path:
        """Write the conversation to a new file, or again to the one that it was saved to.

        Raises:
            ConfigError: there is nothing to save, or the file is somebody else's.
        """
        from arena.rundir import replace_text

        path = jsonl.expanded(name)
        if not self.turns:
            raise ConfigError("there is nothing to save: nothing has been asked yet")
        if path.exists() and path != self._own:
            raise ConfigError(f"{name!r} is there already: give another name")
        replace_text(path, json.dumps({"messages": self.messages}, ensure_ascii=False) + "\n")
        self._own = path
        return path

    def load(self, name: str) -> None:
        """Go on from the first conversation of a file of lines with `messages`.

        Raises:
            ConfigError: the file cannot be read, or holds no conversation that an answer ends.
        """
        path = jsonl.expanded(name)
        where, row = next(iter(jsonl.rows(path, "conversation")), (0, {}))
        place = f"{str(path)!r}, line {where}" if where else repr(str(path))
        messages = _conversation(place, row)
        told = bool(messages) and messages[0]["role"] == "system"
        self.reset()
        self.system = messages[0]["content"] if told else ""
        self.turns = messages[1:] if told else messages

    def _room(self, prompt: Sequence[Message]) -> int:
        """The most tokens of the answer, where the window of the model leaves fewer than the agent's limit.

        Raises:
            Full: it leaves none.
        """
        window, taken = _window(self.agent), 0
        if window:
            taken = len(_local(self.agent).prompt_ids(prompt))
        if window and taken >= window:
            raise Full(
                f"the conversation has {taken} tokens and the model reads {window}: /undo takes "
                "back the last question, /reset forgets all of them"
            )
        return min(self.agent.max_new_tokens, window - taken) if window else 0


def _local(agent: Agent) -> "Local":
    from agents.local import Local

    assert isinstance(agent, Local)
    return agent


def _window(agent: Agent) -> int:
    """Tokens that a model reads in all; 0 where that is for a server to say."""
    from agents.local import Local

    if not isinstance(agent, Local):
        return 0
    return int(getattr(agent.backbone.model.config, "max_position_embeddings", 0) or 0)


def _conversation(where: str, row: jsonl.Row) -> list[Message]:
    """The messages of a row; ConfigError unless they are questions and answers in turn."""
    given = jsonl.cell(where, row, "messages")
    entries = given if isinstance(given, list) else []
    messages = [
        Message(role=str(entry["role"]), content=entry["content"])
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("content"), str) and "role" in entry
    ]
    roles = [message["role"] for message in messages]
    talk = roles[1:] if roles[:1] == ["system"] else roles
    if len(messages) != len(entries) or not talk or talk != ["user", "assistant"] * (len(talk) // 2):
        raise ConfigError(
            f"{where}: messages must be texts of user and assistant in turn, from a question to an answer, "
            f"with at most one system message before them; found {', '.join(roles) or jsonl.brief(given)}"
        )
    return messages


def command_of(line: str) -> tuple[str, str]:
    """(name, what follows) of a line that begins with a slash.

    Raises:
        ConfigError: there is no such command, or it lacks what must follow.
    """
    name, _, rest = line[1:].strip().partition(" ")
    takes = {each.partition(" ")[0]: each.partition(" ")[2] for each in COMMANDS}
    if name not in takes:
        raise ConfigError(
            f"there is no command /{name}{did_you_mean(name, takes)}; /help lists them all, and two slashes "
            "begin a text that begins with one"
        )
    if takes[name] and name != "system" and not rest.strip():
        raise ConfigError(f"/{name} needs a {takes[name]}: /{name} {takes[name]}")
    return name, rest.strip()
