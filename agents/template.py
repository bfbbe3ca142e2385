"""From messages to token ids: the policy of each chat template, and the border that no text may cross."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agents.base import Prompt
from agents.dialogue import Message

_MARK = "\ue000{}\ue001"
_MARKED = re.compile("\ue000(\\d+)\ue001")


def split_thinking(text: str) -> tuple[str, str]:
    """(what is said, what was only thought) of a model's raw text.

    A block `<think>...</think>` is thought; one that never closes runs to the end; text before a
    closing tag without an opening one is thought too, since some templates open the block themselves.
    """
    before, opened, rest = text.partition("<think>")
    if not opened:
        thought, closed, said = text.partition("</think>")
        return (said.strip(), thought.strip()) if closed else (text.strip(), "")
    thought, _, said = rest.partition("</think>")
    return f"{before}{said}".strip(), thought.strip()


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


class Template:
    """The chat template of one tokenizer, with its family's policy.

    Args:
        tokenizer: a Hugging Face tokenizer with a chat template.
        folds_system: whether the template has no system role.
        options: arguments of the template itself, such as `enable_thinking`.
    """

    def __init__(self, tokenizer: Any, folds_system: bool = False, options: Mapping[str, Any] | None = None):
        self.tokenizer = tokenizer
        self.folds_system = folds_system
        self.options = dict(options or {})

    def ids(self, messages: Prompt) -> list[int]:
        """Token ids of `messages`, ending where the assistant is to speak.

        Text that holds the spelling of a special token is encoded as plain characters, so that no
        reply can forge a turn.
        """
        conformed = conform(messages, self.folds_system)
        if not any(self._forges(message["content"]) for message in conformed):
            return self._encode(self._render(conformed), special=True)
        marked = [Message(role=m["role"], content=_MARK.format(i)) for i, m in enumerate(conformed)]
        pieces = _MARKED.split(self._render(marked))
        ids: list[int] = []
        for place, piece in enumerate(pieces):
            text = conformed[int(piece)]["content"] if place % 2 else piece
            ids += self._encode(text, special=place % 2 == 0)
        return ids

    def text_ids(self, text: str) -> list[int]:
        """Token ids of plain text; special tokens are not recognised."""
        return self._encode(text, special=False)

    def _render(self, messages: Sequence[Message]) -> str:
        rendered = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **self.options
        )
        return str(rendered)

    def _encode(self, text: str, special: bool) -> list[int]:
        if not text:
            return []
        return list(
            self.tokenizer(text, add_special_tokens=False, split_special_tokens=not special)["input_ids"]
        )

    def _forges(self, text: str) -> bool:
        return any(token in text for token in self.tokenizer.get_added_vocab())
