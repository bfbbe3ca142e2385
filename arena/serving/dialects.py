"""Dialects: what clients send and what they read, as pure functions.

====================  ==============================================  ======================================
`POST /v1/score`      `{"items": [{"prompt", "completion", "id"}]}`   `{"rewards", "details", "judge"}`
`POST /generate`      `{"messages": [str]}`                           `{"rewards"}`
`POST /scores`        `{"model": str, "messages": [str]}`             `{"scores"}`
`POST /get_reward`    `{"query": [str], "prompts": [str], "labels"}`  `{"rewards", "scores", "extra_logs"}`
====================  ==============================================  ======================================

`/v1/score` is this project's own. `prompt` is a text or a list of messages, `id` may be left out (then it
is the item's position). `rewards` has null where the judge could not judge; `details` says why, item by item.

`/generate` is Critic-IdeaKing's: a message is judged as it stands. A reward is rating / 10 where the judge
rates from 1 to 10, else the judge's own reward, and null where there is none. N messages get N rewards.

`/scores` is for `reward_model_type: api` of LLaMA-Factory, which posts to whatever `reward_model` names. A
message is the decoded prompt and answer with their chat markup; it is cut at the first mark that opens an
assistant's turn, so that no later one, which a policy could write, moves the cut. Without such a mark the
whole message is judged.

`/get_reward` is OpenRLHF's (`--remote_rm_url`). `query` is prompt + answer; the prompt is cut off. Older
versions send no `prompts`: then as for `/scores`. `labels` are not used.

The last two make a tensor of what they read, which null would break far from its cause. They get status 422
and no rewards at all if one item could not be judged; `items` of that reply names which and why.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from agents.dialogue import Message
from arena.serving.items import Item
from arena.serving.refusal import Refusal
from rewards.verdict import Verdict

ROLES = ("system", "user", "assistant")

_TURN = re.compile(
    r"<\|im_start\|>assistant\n|<\|start_header_id\|>assistant<\|end_header_id\|>\n\n"
    r"|<start_of_turn>model\n|\[/INST\]"
)
_ENDS = ("<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>", "<end_of_turn>", "<eos>", "</s>")


@dataclass(frozen=True)
class Dialect:
    """How one kind of client asks, and what it reads."""

    path: str
    read: Callable[[Any], list[Item]]
    """From the JSON of a request; raises a `Refusal` (422) that names the item and the field."""
    write: Callable[[Sequence[Item], Sequence[Verdict], str], dict[str, Any]]
    """From items, their verdicts and the judge's name to the JSON of the reply; may raise a `Refusal`."""


def read_score(body: Any) -> list[Item]:
    """The items of `/v1/score`."""
    found = _list(body, "items")
    return [_item(entry, number) for number, entry in enumerate(found)]


def write_score(items: Sequence[Item], verdicts: Sequence[Verdict], judge: str) -> dict[str, Any]:
    """Rewards or null, with everything that the judge said."""
    details = [_detail(item, verdict) for item, verdict in zip(items, verdicts, strict=True)]
    return {"rewards": [reward_of(verdict) for verdict in verdicts], "details": details, "judge": judge}


def read_messages(body: Any) -> list[Item]:
    """The items of `/generate`: each message is a completion."""
    return [_plain("", text, number) for number, text in enumerate(_texts(body, "messages"))]


def write_generate(items: Sequence[Item], verdicts: Sequence[Verdict], judge: str) -> dict[str, Any]:
    """Ratings in (0, 1], or rewards, or null."""
    rewards = [reward_of(verdict) for verdict in verdicts]
    ratings = [_finite(verdict.rating) for verdict in verdicts]
    return {
        "rewards": [
            rating / 10 if reward is not None and rating is not None else reward
            for reward, rating in zip(rewards, ratings, strict=True)
        ]
    }


def read_chats(body: Any) -> list[Item]:
    """The items of `/scores`: each message holds prompt and answer."""
    return [_plain(*cut(text), number) for number, text in enumerate(_texts(body, "messages"))]


def write_scores(items: Sequence[Item], verdicts: Sequence[Verdict], judge: str) -> dict[str, Any]:
    """Numbers only."""
    return {"scores": _all_judged(verdicts)}


def read_queries(body: Any) -> list[Item]:
    """The items of `/get_reward`: prompt and answer in one text, and the prompts if the client has them."""
    queries = _texts(body, "query")
    if not (isinstance(body, Mapping) and body.get("prompts")):
        return [_plain(*cut(query), number) for number, query in enumerate(queries)]
    prompts = _texts(body, "prompts")
    if len(prompts) != len(queries):
        raise Refusal(422, f"query has {len(queries)} texts and prompts {len(prompts)}: send one for each")
    return [
        _plain(prompt, _behind(prompt, query, number), number)
        for number, (query, prompt) in enumerate(zip(queries, prompts, strict=True))
    ]


def write_get_reward(items: Sequence[Item], verdicts: Sequence[Verdict], judge: str) -> dict[str, Any]:
    """Numbers only; `scores` are what OpenRLHF filters prompts by."""
    rewards = _all_judged(verdicts)
    return {"rewards": rewards, "scores": rewards, "extra_logs": {}}


DIALECTS = (
    Dialect("/v1/score", read_score, write_score),
    Dialect("/generate", read_messages, write_generate),
    Dialect("/scores", read_chats, write_scores),
    Dialect("/get_reward", read_queries, write_get_reward),
)


def reward_of(verdict: Verdict) -> float | None:
    """The reward if it is a finite number."""
    return _finite(verdict.reward)


def cut(text: str) -> tuple[str, str]:
    r"""The prompt and the answer in a text with chat markup; without markup all of it is the answer.

    >>> cut("<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nBecause.<|im_end|>\n")
    ('<|im_start|>user\nWhy?<|im_end|>\n', 'Because.')
    """
    mark = _TURN.search(text)
    return (text[: mark.start()], _ended(text, mark.end())) if mark else ("", text)


def _ended(text: str, start: int) -> str:
    """`text` from `start` on without the marks that end a turn."""
    end, before = len(text), -1
    while end != before:
        before = end
        while end > start and text[end - 1].isspace():
            end -= 1
        for mark in _ENDS:
            if text.endswith(mark, start, end):
                end -= len(mark)
    return text[start:end]


def _behind(prompt: str, query: str, number: int) -> str:
    """What follows the prompt; a tokenizer may have put marks in front of it."""
    at = query.find(prompt)
    if at < 0:
        raise Refusal(
            422, f"item {number}: query does not hold its prompt, so where the answer begins is open"
        )
    return _ended(query, at + len(prompt))


def _plain(prompt: str, completion: str, number: int) -> Item:
    return Item(str(number), (Message(role="user", content=prompt),), completion)


def _item(entry: Any, number: int) -> Item:
    where = f"item {number}"
    if not isinstance(entry, Mapping):
        raise Refusal(422, f"{where} is {_kind(entry)}; it must be an object with prompt and completion")
    prompt = entry.get("prompt")
    if isinstance(prompt, str):
        messages = [Message(role="user", content=_text(prompt, f"{where}: prompt"))]
    elif isinstance(prompt, list) and prompt:
        messages = [_message(said, f"{where}: prompt, message {i}") for i, said in enumerate(prompt)]
    else:
        found = "an empty list" if prompt == [] else _kind(prompt)
        raise Refusal(422, f"{where}: prompt is {found}; it must be a string or a list of messages")
    name = _text(entry.get("id", str(number)), f"{where}: id")
    return Item(name, tuple(messages), _text(entry.get("completion"), f"{where}: completion"))


def _message(said: Any, where: str) -> Message:
    if not isinstance(said, Mapping) or said.get("role") not in ROLES:
        raise Refusal(422, f"{where} must be an object with content and a role of {', '.join(ROLES)}")
    return Message(role=said["role"], content=_text(said.get("content"), f"{where}: content"))


def _list(body: Any, field: str) -> list[Any]:
    if not isinstance(body, Mapping):
        raise Refusal(422, f"the body is {_kind(body)}; it must be an object with {field}")
    found = body.get(field)
    if not isinstance(found, list):
        raise Refusal(422, f"{field} is {_kind(found)}; it must be a list")
    return found


def _texts(body: Any, field: str) -> list[str]:
    return [_text(entry, f"item {number}: {field}") for number, entry in enumerate(_list(body, field))]


def _text(found: Any, where: str) -> str:
    if not isinstance(found, str):
        raise Refusal(422, f"{where} is {_kind(found)}; it must be a string")
    try:
        found.encode()
    except UnicodeEncodeError as error:
        raise Refusal(
            422, f"{where} has half a surrogate pair at {error.start}: send whole letters"
        ) from None
    return found


def _kind(found: Any) -> str:
    """What JSON calls it.

    >>> [_kind(value) for value in (None, True, 1.5, {})]
    ['missing or null', 'a truth value', 'a number', 'an object']
    """
    names = {bool: "a truth value", int: "a number", float: "a number", str: "a string", list: "a list"}
    return "missing or null" if found is None else names.get(type(found), "an object")


def _finite(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) else None


def _status(verdict: Verdict) -> str:
    lost = verdict.reward is not None and reward_of(verdict) is None
    return "not_a_number" if lost else verdict.status


def _detail(item: Item, verdict: Verdict) -> dict[str, Any]:
    told = {
        name: _finite(value) if isinstance(value, float) else value
        for name, value in asdict(verdict).items()
        if name not in ("id", "judge", "reward")
    }
    return {"id": item.id} | told | {"status": _status(verdict)}


def _all_judged(verdicts: Sequence[Verdict]) -> list[float]:
    rewards = [reward for verdict in verdicts if (reward := reward_of(verdict)) is not None]
    if len(rewards) == len(verdicts):
        return rewards
    failed = [
        {"item": number, "status": _status(verdict)}
        for number, verdict in enumerate(verdicts)
        if reward_of(verdict) is None
    ]
    named = ", ".join(f"{entry['item']} ({entry['status']})" for entry in failed[:8])
    text = f"{len(failed)} of {len(verdicts)} items could not be judged: {named}; here only numbers are sent"
    raise Refusal(422, text, items=failed)
