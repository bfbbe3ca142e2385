"""Records to rows of the run folder's tables, and back.

Rules of the format (each bought with a failure of a reader): every key in every row, the schema first;
no null, no empty list, no free dict; a number that does not exist means that the row does not exist, or
a status beside it says so; floats always with a point; times with milliseconds.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from agents.dialogue import Message, Reply, Turn
from agents.errors import ArenaError
from arena.loop import Exchange
from arena.problems import Problem
from rewards.scores import SCALE
from rewards.verdict import Example, Preference, Verdict

Row = dict[str, Any]


def now() -> str:
    """The time in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def line(row: Mapping[str, Any]) -> bytes:
    """A row as one line of JSON; lone surrogates are replaced.

    Raises:
        ArenaError: a number is infinite or none at all, which no row may hold.
    """
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        bad = {key: value for key, value in row.items() if isinstance(value, float) and not isfinite(value)}
        raise ArenaError(f"row {row.get('id')!r} is not written: {bad} is no finite number") from error
    return text.encode("utf-8", "replace") + b"\n"


def turn_row(turn: Turn, *, step: int, model: str, seed: int) -> Row:
    """A row of `turns.jsonl`: one draft, said or not."""
    dialogue, _, place = turn.id.rpartition(".")
    return {
        "schema": "arena.turn/1",
        "id": turn.id,
        "dialogue": dialogue,
        "turn": int(place.rstrip("abcdefghijklmnopqrstuvwxyz")),
        "parent": turn.parent,
        "speaker": turn.speaker,
        "kind": turn.kind,
        "content": turn.reply.text,
        "thinking": turn.reply.thinking,
        "finish": turn.reply.finish,
        "tokens_in": turn.reply.tokens_in,
        "tokens_out": len(turn.reply.ids),
        "ids": " ".join(map(str, turn.reply.ids)),
        "model": model,
        "adapter": turn.adapter,
        "seed": seed,
        "step": step,
        "ts": now(),
    }


def turn_of(row: Row) -> Turn:
    """The turn that a row records."""
    ids = tuple(int(token) for token in row["ids"].split())
    reply = Reply(row["content"], row["finish"], ids, row["tokens_in"], row["thinking"])
    return Turn(row["id"], row["parent"], row["speaker"], reply, row["adapter"], row["kind"])


_WIM_FLOATS = ("cosine", "cosine_shuffled", "cosine_topic")


def verdict_row(verdict: Verdict, *, judge: str, about: str, zeta: float, step: int) -> Row:
    """A row of `verdicts.jsonl`; the verdict must have a reward.

    A cosine that was not computed is 0.0, with `wim_status` saying why; `controls` says whether the
    shuffled control could be computed (it needs a second answer). Where the scale is `score`, there is no
    rating, and the number is 0.0.
    """
    assert verdict.reward is not None and (verdict.rating is not None) == (verdict.scale != SCALE)
    return {
        "schema": "arena.verdict/1",
        "id": verdict.id,
        "dialogue": verdict.id.partition(".")[0],
        "about": about,
        "judge": judge,
        "judge_model": verdict.judge,
        "rating": float(verdict.rating or 0.0),
        "wim": verdict.wim,
        "wim_status": verdict.wim_status,
        **{key: float(getattr(verdict, key) or 0.0) for key in _WIM_FLOATS},
        "controls": verdict.cosine_shuffled is not None,
        "echo": float(verdict.echo),
        "zeta": float(zeta),
        "reward": float(verdict.reward),
        "scale": verdict.scale,
        "raw": verdict.raw,
        "step": step,
        "ts": now(),
    }


def verdict_of(row: Row) -> Verdict:
    """The verdict that a row of `verdicts.jsonl` records."""
    has_wim = row["wim_status"] == "ok"
    return Verdict(
        id=row["id"],
        judge=row["judge_model"],
        rating=row["rating"] if row["scale"] != SCALE else None,
        wim=row["wim"],
        wim_status=row["wim_status"],
        cosine=row["cosine"] if has_wim else None,
        cosine_shuffled=row["cosine_shuffled"] if row["controls"] else None,
        cosine_topic=row["cosine_topic"] if has_wim else None,
        echo=row["echo"],
        reward=row["reward"],
        scale=row["scale"],
        raw=row["raw"],
    )


def failure_row(id: str, what: str, about: str, raw: str, *, by: str, step: int) -> Row:
    """A row of `failures.jsonl`: something that did not become a number, and why."""
    return {
        "schema": "arena.failure/1",
        "id": f"{id}#{about}",
        "of": id,
        "dialogue": id.partition(".")[0],
        "what": what,
        "about": about,
        "by": by,
        "raw": raw,
        "step": step,
        "ts": now(),
    }


def abstention_of(row: Row) -> Verdict:
    """The abstaining verdict that a row of `failures.jsonl` records."""
    return Verdict(id=row["of"], judge=row["by"], status=row["what"], raw=row["raw"])


def problem_of(row: Row) -> Problem:
    """The problem that was remembered as a row."""
    prompt = tuple(Message(role=m["role"], content=m["content"]) for m in row["prompt"])
    return Problem(row["task"], prompt, row["reference"], row["where"])


def exchange_row(exchange: Exchange, *, seat: str, judge: str, step: int) -> Row:
    """A row of `exchanges.jsonl`: what was said, and what came of the drafts."""
    pair = exchange.preference
    return {
        "schema": "arena.exchange/1",
        "id": exchange.dialogue.draft_id(0)[:-1],
        "dialogue": exchange.dialogue.id,
        "topic": exchange.dialogue.topic,
        "opener": exchange.dialogue.opener,
        "speaker": seat,
        "judge": judge,
        "drafts": len(exchange.drafts),
        "said": exchange.said.id,
        "outcome": exchange.outcome,
        "chosen": pair.chosen_id if pair else "",
        "rejected": pair.rejected_id if pair else "",
        "step": step,
        "ts": now(),
    }


def preference_row(
    preference: Preference,
    *,
    seat: str,
    judge: str,
    step: int = 0,
    task: str = "",
    group: str = "",
    difficulty: float = 0.0,
) -> Row:
    """A row of `preferences.jsonl`, which TRL's trainers take as it is.

    Without a group there is no difficulty, and the number is 0.0.
    """
    return {
        "schema": "arena.preference/1",
        "id": f"{preference.chosen_id}>{preference.rejected_id}",
        "dialogue": preference.chosen_id.partition(".")[0],
        "prompt": list(preference.prompt),
        "chosen": _spoken(preference.chosen.text),
        "rejected": _spoken(preference.rejected.text),
        "chosen_id": preference.chosen_id,
        "rejected_id": preference.rejected_id,
        "margin": float(preference.margin),
        "kind": preference.kind,
        "task": task,
        "group": group,
        "difficulty": float(difficulty),
        "speaker": seat,
        "judge": judge,
        "step": step,
        "ts": now(),
    }


def example_row(example: Example, *, seat: str) -> Row:
    """A row of `examples.jsonl`, which TRL's `SFTTrainer` takes as it is: loss on the completion alone."""
    return {
        "schema": "arena.example/1",
        "id": example.id,
        "dialogue": example.id.partition(".")[0],
        "prompt": list(example.prompt),
        "completion": _spoken(example.completion),
        "weight": float(example.weight),
        "revisions": example.revisions,
        "speaker": seat,
        "ts": now(),
    }


def _spoken(text: str) -> list[Message]:
    return [Message(role="assistant", content=text)]


def metrics_row(
    numbers: Mapping[str, float | int], *, seat: str, step: int, schema: str = "arena.metrics/1"
) -> Row:
    """A row of `metrics.jsonl`, one update of one seat's adapter; or of `evaluations.jsonl`.

    Each learner has numbers of its own, of the same names in all its rows.
    """
    return {"schema": schema, "id": f"{seat}@{step}", "speaker": seat, "step": step, **numbers, "ts": now()}
