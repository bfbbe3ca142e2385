"""From messages to token ids: the policy of each chat template, and the border that no text may cross."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agents.base import Prompt
from agents.dialogue import Message

_MARK = "\ue000{}\ue001"
_MARKED = re.compile("\ue000(\\d+)\ue001")
_THOUGHT = re.compile(r"<think>(.*?)(?:</think>|\Z)", re.DOTALL)


def split_thinking(text: str) -> tuple[str, str]:
    """(what is said, what was only thought) of a model's raw text.

    Each block `<think>...</think>` is thought; one that never closes runs to the end; text before a
    closing tag without an opening one is thought too, since some templates open the block themselves.
    """
    thoughts = []
    head, closed, tail = text.partition("</think>")
    if closed and "<think>" not in head:
        thoughts, text = [head], tail
    thoughts += _THOUGHT.findall(text)
    return _THOUGHT.sub("", text).strip(), "\n\n".join(filter(None, map(str.strip, thoughts)))


def conform(messages: Prompt, folds_system: bool) -> list[Message]:
    """`messages` as every chat template takes them.

    Neighbours of one role are merged; where the template has no system role, the system text goes
    in front of the first user message; an empty system message is dropped.
    """
    merged: list[Message] = []
    for message in messages:
        if message["role"] == "system" and not message["content"].strip():
            continue
        if merged and merged[-1]["role"] == message["role"]:
            joined = f"{merged[-1]['content']}\n\n{message['content']}"
            merged[-1] = Message(role=message["role"], content=joined)
        else:
            merged.append(Message(role=message["role"], content=message["content"]))
    if folds_system and merged and merged[0]["role"] == "system":
        system = merged.pop(0)["content"]
        if merged and merged[0]["role"] == "user":
            system = f"{system}\n\n{merged.pop(0)['content']}"
        merged.insert(0, Message(role="user", content=system))
    turns = [message["role"] for message in merged if message["role"] != "system"]
    if turns[:1] != ["user"] or turns[-1:] != ["user"]:
        raise ValueError(f"a prompt must begin and end with a user message, found the roles {turns}")
    return merged


def _any_of(tokens: Sequence[str]) -> re.Pattern[str]:
    """A pattern that finds the place where any of `tokens` begins, overlapping ones too."""
    spelled = [re.escape(token) for token in tokens]
    if not spelled:
        return re.compile(r"(?!)")
    # Some vocabularies have thousands of added tokens, nearly all of one first letter.
    first = "|".join(sorted({re.escape(token[0]) for token in tokens}))
    return re.compile(f"(?={first})(?={'|'.join(spelled)})")


def _cut(text: str, tokens: re.Pattern[str]) -> list[str]:
    """`text` in pieces, cut behind the first letter of every token in it."""
    ends = [match.start() + 1 for match in tokens.finditer(text)]
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


class Template:
    """The chat template of one tokenizer, with its family's policy.

    Args:
        tokenizer: a Hugging Face tokenizer with a chat template.
        folds_system: whether the template has no system role.
        options: arguments of the template itself, such as `enable_thinking`.
        spelled: delimiters of turns that are no tokens but plain text, such as `[INST]`.
    """

    def __init__(
        self,
        tokenizer: Any,
        folds_system: bool = False,
        options: Mapping[str, Any] | None = None,
        spelled: Sequence[str] = (),
    ) -> None:
        """Take the tokenizer and the policy."""
        self.tokenizer = tokenizer
        self.folds_system = folds_system
        self.options = dict(options or {})
        self._spelled = _any_of(spelled)
        self._added = _any_of([token for token in tokenizer.get_added_vocab() if token.strip()])

    def ids(self, messages: Prompt) -> list[int]:
        """Token ids of `messages`, ending where the assistant is to speak.

        Text that holds the spelling of a special token is encoded as plain characters, and a
        delimiter that is no token is written with a space, so that no reply can forge a turn.
        """
        conformed = [
            Message(role=m["role"], content=" ".join(_cut(m["content"], self._spelled)))
            for m in conform(messages, self.folds_system)
        ]
        if not any(self._added.search(message["content"]) for message in conformed):
            return self._encode(self._render(conformed))
        marked = [Message(role=m["role"], content=_MARK.format(i)) for i, m in enumerate(conformed)]
        pieces = _MARKED.split(self._render(marked))
        ids: list[int] = []
        for place, piece in enumerate(pieces):
            ids += self.text_ids(conformed[int(piece)]["content"]) if place % 2 else self._encode(piece)
        return ids

    def shared(self, messages: Prompt, ids: Sequence[int]) -> int:
        """How many of the first `ids` come before the last message, whatever that says."""
        conformed = conform(messages, self.folds_system)
        marked = [*conformed[:-1], Message(role=conformed[-1]["role"], content=_MARK.format(0))]
        head = self._encode(_MARKED.split(self._render(marked))[0])
        return next((i for i, (a, b) in enumerate(zip(head, ids, strict=False)) if a != b), len(head))

    def text_ids(self, text: str) -> list[int]:
        """Token ids of plain text; the spelling of a special token is not recognised."""
        return [token for piece in _cut(text, self._added) for token in self._encode(piece)]

    def _render(self, messages: Sequence[Message]) -> str:
        rendered = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **self.options
        )
        return str(rendered)

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []
