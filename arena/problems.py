"""Where problems come from: those that come with the arena, a file, or several of these together.

A source is called as `source(count, seed)` and gives `count` distinct problems. One that has too few
says so; none repeats itself. The same seed draws the same problems on every machine, and a greater
count begins with those of a smaller one.
"""

import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.dialogue import Message
from agents.errors import ConfigError
from arena import jsonl

TASKS = ("dialogue", "qa", "summary")
"""What a problem can ask for: advice or talk, one correct answer, the gist of a text."""

_SHIPPED = Path(__file__).with_name("problems.jsonl")


@dataclass(frozen=True)
class Problem:
    """Something that a model is asked."""

    task: str
    """One of `TASKS`."""
    prompt: tuple[Message, ...]
    """The conversation so far; ends with a user message."""
    reference: str = ""
    """A correct answer; `""` where none is known."""
    where: str = ""
    """The file and line that it comes from: `vicuna_bench.jsonl, line 3`."""

    @property
    def question(self) -> str:
        """What is to be answered: the last message."""
        return self.prompt[-1]["content"]


Source = Callable[[int, int], list[Problem]]
"""From a count (1 or more) and a seed to that many distinct problems."""


@dataclass(frozen=True)
class Shipped:
    """The problems that come with the arena, as many of each task, in an order drawn by the seed."""

    tasks: Sequence[str] = TASKS
    """The tasks to take, in turn."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if not self.tasks or not set(self.tasks) <= set(TASKS) or len(set(self.tasks)) < len(self.tasks):
            raise ConfigError(f"tasks must be one or more of {_named(TASKS)}, each once, got {self.tasks!r}")

    def __call__(self, count: int, seed: int) -> list[Problem]:
        """The first `count` problems of the seed's order; ConfigError if there are fewer."""
        groups: dict[str, list[Problem]] = {task: [] for task in self.tasks}
        for number, row in jsonl.rows(_SHIPPED):
            reader = File(str(_SHIPPED), reference="reference" if row["reference"] else "")
            problem = reader.problem(_SHIPPED, number, row)
            if problem.task in groups:
                groups[problem.task].append(problem)
        orders = (_shuffled(group, f"{seed} {task}") for task, group in groups.items())
        problems = [problem for together in zip(*orders, strict=True) for problem in together]
        return _first(problems, count, "the shipped list")


@dataclass(frozen=True)
class File:
    """One column of a JSONL file in UTF-8: problems of one task, or of the task that each row names."""

    path: str
    """May hold `~` and environment variables; a relative path starts at the working directory."""
    column: str = "prompt"
    """Holds a text, a list of texts (a user's turns: the first is taken), or a list of messages (a whole
    conversation, which ends with a user message)."""
    task: str = ""
    """One of `TASKS`; default: the row's own `task`, and `dialogue` for a row without one."""
    reference: str = ""
    """The column of a correct answer, a text or a list that begins with one; default: there is none."""
    form: str = "{}"
    """What is asked, around the text that stands for `{}`: `Summarise: {}`; of a conversation, around
    its last message."""
    shuffle: bool = True
    """Whether the seed draws the order; otherwise the file's order is kept."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.task and self.task not in TASKS:
            raise ConfigError(f"task must be {_named(TASKS)}, or '' for the row's own, got {self.task!r}")
        if self.form.count("{}") != 1:
            raise ConfigError(f"form must hold {{}} once, in place of the text, got {self.form!r}")

    def __call__(self, count: int, seed: int) -> list[Problem]:
        """The first `count` problems whose prompts differ by more than case and spacing.

        Raises:
            ConfigError: the file cannot be read, it holds too few problems, or a row gives none. Every
                row is looked at, whatever the count.
        """
        path = jsonl.expanded(self.path)
        found: dict[Hashable, Problem] = {}
        for number, row in jsonl.rows(path, "file of problems"):
            problem = self.problem(path, number, row)
            found.setdefault(_key(problem), problem)
        problems = list(found.values())
        return _first(_shuffled(problems, f"{seed}") if self.shuffle else problems, count, repr(str(path)))

    def problem(self, path: Path, number: int, row: jsonl.Row) -> Problem:
        """The problem in line `number` of the file; ConfigError if there is none."""
        where = f"{str(path)!r}, line {number}"
        task = self.task or row.get("task", "dialogue")
        if task not in TASKS:
            raise ConfigError(
                f"{where}: column 'task' holds {jsonl.brief(task)}; a task is {_named(TASKS)}: "
                "mend the row, or set the task of the whole file"
            )
        *before, last = _conversation(f"{where}: column {self.column!r}", jsonl.cell(where, row, self.column))
        asked = Message(role="user", content=self.form.replace("{}", last["content"]))
        return Problem(str(task), (*before, asked), self._answer(where, row), f"{path.name}, line {number}")

    def _answer(self, where: str, row: jsonl.Row) -> str:
        """The correct answer of a row, `""` if none is wanted."""
        if not self.reference:
            return ""
        value = jsonl.cell(where, row, self.reference)
        answer = _text(value[0] if isinstance(value, list) and value else value)
        if not answer:
            raise ConfigError(
                f"{where}: column {self.reference!r} holds {jsonl.brief(value)}; a reference is a text, or a "
                "list that begins with one: mend the row or choose another column"
            )
        return answer


@dataclass(frozen=True)
class Mixed:
    """Several sources in turn, one problem of each; the first give one more where the count needs it."""

    sources: Sequence[Source]

    def __post_init__(self) -> None:
        """Check the settings."""
        if not self.sources or not all(callable(source) for source in self.sources):
            # Hydra turns a list of dataclasses back into settings unless it is told not to.
            raise ConfigError(
                f"sources must be one or more sources of problems, got {self.sources!r:.200}; in a YAML file "
                "each has a _target_, such as arena.problems.File, and the mixture has `_convert_: all`"
            )

    def __call__(self, count: int, seed: int) -> list[Problem]:
        """`count` problems; a prompt that several sources have (up to case and spacing) comes once.

        Raises:
            ConfigError: a source fails, or has too few problems that no other has given; names it.
        """
        _positive(count)
        size = len(self.sources)
        for source in self.sources[count:]:
            source(1, seed)  # not needed, but a file that cannot be read is told of
        taken: set[Hashable] = set()
        streams = [
            _fresh(source, (count - index + size - 1) // size, seed, taken)
            for index, source in enumerate(self.sources[:count])
        ]
        return [next(streams[index % size]) for index in range(count)]


def _fresh(source: Source, share: int, seed: int, taken: set[Hashable]) -> Iterator[Problem]:
    """`share` problems of a source, each not in `taken` when it comes to it, and then in it."""
    seen = given = 0
    while given < share:
        asked = seen + share - given
        try:
            found = source(asked, seed)
        except ConfigError as error:
            if seen == given:
                raise
            raise ConfigError(f"{error} ({seen - given} of them were given by other sources)") from error
        if len(found) != asked:
            raise ConfigError(f"{source!r:.200} gave {len(found)} problems, {asked} were asked for: mend it")
        for problem in found[seen:]:
            seen += 1
            if _key(problem) not in taken:
                taken.add(_key(problem))
                given += 1
                yield problem


def _conversation(where: str, value: object) -> list[Message]:
    """The messages that a column holds; ConfigError if they are no conversation that a user ends."""
    entries = value if isinstance(value, list) else [value]
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        messages = [_message(f"{where}, message {n}", entry) for n, entry in enumerate(entries, start=1)]
        _check_roles(where, [message["role"] for message in messages])
        return messages
    texts = [_text(entry) for entry in entries if isinstance(entry, str)]
    if len(texts) < len(entries) or not any(texts[:1]):
        raise ConfigError(
            f"{where} holds {jsonl.brief(value)}; a problem is a text, a list of texts or a list of messages "
            "with role and content: mend the row or choose another column"
        )
    return [Message(role="user", content=texts[0])]


def _message(where: str, entry: dict[str, object]) -> Message:
    content = _text(jsonl.cell(where, entry, "content"))
    if not content:
        raise ConfigError(f"{where}: content is {jsonl.brief(entry['content'])}, and must be a text: mend it")
    return Message(role=str(jsonl.cell(where, entry, "role")), content=content)


def _check_roles(where: str, roles: Sequence[str]) -> None:
    """Refuse an order of roles that chat templates refuse, and one that leaves nothing to answer."""
    talk = roles[1:] if roles[0] == "system" else roles
    turns = ["user", "assistant"] * len(talk)
    if len(talk) % 2 == 0 or list(talk) != turns[: len(talk)]:
        raise ConfigError(
            f"{where} has messages of {', '.join(roles)}; user and assistant take turns, from user to user, "
            "with at most one system message before them: mend the row"
        )


def _text(value: object) -> str:
    """`value` without the space around it, `""` if it is no text."""
    return value.strip() if isinstance(value, str) else ""


def _first(problems: list[Problem], count: int, where: str) -> list[Problem]:
    _positive(count)
    if not problems:
        raise ConfigError(f"{where} holds no problems: add some, or choose another file")
    if count > len(problems):
        raise ConfigError(
            f"{where} has {len(problems)} distinct problems, {count} were asked for: set count="
            f"{len(problems)} or less, or add problems (problems=file for a file, problems=mixed for several)"
        )
    return problems[:count]


def _positive(count: int) -> None:
    if count < 1:
        raise ConfigError(f"the number of problems must be 1 or more, got {count}")


def _shuffled(problems: Sequence[Problem], seed: str) -> list[Problem]:
    return random.Random(f"problems {seed}").sample(problems, len(problems))


def _key(problem: Problem) -> Hashable:
    """The same for prompts that differ only in case and spacing."""
    return tuple(" ".join(message["content"].casefold().split()) for message in problem.prompt)


def _named(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
