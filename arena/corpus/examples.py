"""Formats of prompts with what is to be said to them, and of prompts alone."""

from collections.abc import Iterator

from agents.dialogue import Message
from arena.corpus.entry import Entry, Nothing, asked, user
from arena.corpus.preferences import post_of
from arena.problems import TASKS, File, Problem
from rewards.verdict import Example


def alpaca(entry: Entry) -> Iterator[Example]:
    """Instructions (Taori et al. 2023): `instruction`, `output`, perhaps `input`, `system`, `history`.

    A history is a list of [instruction, output] of earlier turns, as LLaMA-Factory has it.
    """
    system = entry.optional("system")
    talk = [Message(role="system", content=system)] if system else []
    for number, (question, answer) in enumerate(_history(entry), start=1):
        if not question.strip() or not answer.strip():
            raise Nothing(f"empty turn {number} of history")
        talk += [Message(role="user", content=question), Message(role="assistant", content=answer)]
    pieces = [entry.text("instruction"), entry.optional("input")]
    talk += user("\n\n".join(filter(None, pieces)))
    yield Example(entry.id, asked(talk), entry.text("output"))


def _history(entry: Entry) -> list[list[str]]:
    history = entry.row.get("history") or []
    if not isinstance(history, list) or not all(
        isinstance(turn, list) and len(turn) == 2 and all(isinstance(text, str) for text in turn)
        for turn in history
    ):
        raise entry.fault("history", "a list of [instruction, output]")
    return history


def chat(entry: Entry) -> Iterator[Example]:
    """Conversations: `messages`; the last one of the assistant is the completion, the rest is left out."""
    messages = entry.messages("messages")
    last = max((i for i, each in enumerate(messages) if each["role"] == "assistant"), default=0)
    if last == 0:
        raise Nothing("no assistant message")
    yield Example(entry.id, asked(messages[:last]), messages[last]["content"])


def chat_problem(entry: Entry) -> Iterator[Problem]:
    """The prompt of a conversation: what stands before its last assistant message, or the whole of it."""
    messages = entry.messages("messages")
    if any(each["role"] == "assistant" for each in messages):
        for example in chat(entry):
            yield Problem("dialogue", example.prompt, example.completion, entry.place)
    else:
        yield Problem("dialogue", asked(messages), "", entry.place)


def sharegpt(entry: Entry) -> Iterator[Example]:
    """Conversations: `conversations`, a list of {from, value}; each answer of `gpt` is a completion."""
    talk = entry.messages("conversations", "from", "value")
    places = [i for i, each in enumerate(talk) if each["role"] == "assistant"]
    if not places:
        raise Nothing("no assistant message")
    for number, i in enumerate(places, start=1):
        yield Example(f"{entry.id}.{number}", asked(talk[:i]), talk[i]["content"])


def prompt_completion(entry: Entry) -> Iterator[Example]:
    """TRL's form: `prompt` and `completion`, each a text or messages; the completion is one message."""
    completion = entry.talk("completion", "assistant")
    if [message["role"] for message in completion] != ["assistant"]:
        raise entry.fault("completion", "a text, or one message of the assistant")
    yield Example(entry.id, asked(entry.talk("prompt", "user")), completion[0]["content"])


def tldr(entry: Entry) -> Iterator[Example]:
    """Reddit posts with the summary of their author (Völske et al. 2017).

    `prompt` and `label` or `completion`; or `post` and `summary`, perhaps `title` and `subreddit`.
    """
    if entry.has("post"):
        prompt, summary = post_of(entry), entry.text("summary")
    else:
        prompt, summary = (
            entry.text("prompt"),
            entry.text("label" if entry.has("label") else "completion"),
        )
    yield Example(entry.id, asked(user(prompt)), summary)


def prompts(entry: Entry) -> Iterator[Problem]:
    """Prompts alone: `prompt` (a text or messages) or `turns` (the first is taken).

    They may have `reference` (a text, or a list that begins with one) and `task`.
    """
    column = "prompt" if entry.has("prompt") else "turns"
    reference = "reference" if entry.has("reference") else ""
    # What other data sets call a task is none of the arena's.
    known = entry.row.get("task") in TASKS
    row = {key: value for key, value in entry.row.items() if key != "task" or known}
    yield File(str(entry.path), column, reference=reference).problem(entry.path, entry.number, row)
