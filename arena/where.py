"""Filters for drafts, such as `rating<5 and speaker=ada`: comparisons joined by `and`, nothing else."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agents.errors import ConfigError
from arena.spelling import did_you_mean
from arena.transcript import Draft

Value = float | str | None

FIELDS: Mapping[str, Callable[[Draft], Value]] = {
    "rating": lambda draft: draft.judged.verdict.rating if draft.judged else None,
    "reward": lambda draft: draft.judged.verdict.reward if draft.judged else None,
    "cosine": lambda draft: draft.judged.verdict.cosine if draft.judged else None,
    "echo": lambda draft: draft.judged.verdict.echo if draft.judged else None,
    "tokens_out": lambda draft: draft.tokens,
    "step": lambda draft: draft.step,
    "turn": lambda draft: draft.number,
    "speaker": lambda draft: draft.turn.speaker,
    "kind": lambda draft: draft.turn.kind,
    "finish": lambda draft: draft.turn.reply.finish,
    "outcome": lambda draft: draft.outcome or None,
    "content": lambda draft: draft.turn.text,
    "wim": lambda draft: draft.judged.verdict.wim if draft.judged else None,
}
"""What can be compared. None (such as the rating of a draft without a verdict) meets no condition."""

TEXTS = {"speaker", "kind", "finish", "outcome", "content", "wim"}

OPERATORS: Mapping[str, Callable[..., bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
    "~": lambda text, part: part.lower() in text.lower(),
}
_TEXT_OPERATORS = ("=", "!=", "~")

_CONDITION = re.compile(
    r"""\s*(?P<field>\w+)\s*(?P<op><=|>=|!=|[<>=~])\s*(?P<value>"[^"]*"|'[^']*'|[^\s"'<>=~!]+)\s*"""
)
_AND = re.compile(r"and\b", re.IGNORECASE)


@dataclass(frozen=True)
class Condition:
    """One comparison of a field with a value."""

    field: str
    op: str
    value: float | str

    def holds(self, draft: Draft) -> bool:
        """Whether the draft has the field and the comparison is true."""
        found = FIELDS[self.field](draft)
        return found is not None and OPERATORS[self.op](found, self.value)


@dataclass(frozen=True)
class Where:
    """Conditions that must all hold."""

    text: str
    conditions: tuple[Condition, ...]

    @classmethod
    def parse(cls, text: str) -> "Where":
        """A filter from what the user typed; values with spaces stand in quotes.

        Raises:
            ConfigError: the message names the part that is wrong, and what is allowed.
        """
        conditions = []
        place = 0
        while True:
            match = _CONDITION.match(text, place)
            if match is None:
                rest = repr(text[place:].strip()) if text[place:].strip() else "the end"
                raise ConfigError(
                    f"--where: expected a comparison such as rating<5 at {rest}; "
                    f"a comparison is field, operator ({' '.join(OPERATORS)}) and value"
                )
            conditions.append(_condition(match))
            if match.end() == len(text):
                return cls(text, tuple(conditions))
            joint = _AND.match(text, match.end())
            if joint is None:
                raise ConfigError(
                    f"--where: {text[match.end() :]!r} follows {match.group().strip()!r}; "
                    "join comparisons by 'and', put a value with spaces or signs in quotes"
                )
            place = joint.end()

    def holds(self, draft: Draft) -> bool:
        """Whether the draft meets every condition."""
        return all(condition.holds(draft) for condition in self.conditions)


def _condition(match: re.Match[str]) -> Condition:
    field, op, value = match.group("field", "op", "value")
    if field not in FIELDS:
        raise ConfigError(
            f"--where: {field!r} is no field{did_you_mean(field, FIELDS) or ';'} "
            f"allowed are {', '.join(FIELDS)}"
        )
    quoted = value[0] in "\"'"
    if field in TEXTS:
        if op not in _TEXT_OPERATORS:
            raise ConfigError(f"--where: {field} is a text, so {op!r} says nothing; allowed are = != ~")
        return Condition(field, op, value[1:-1] if quoted else value)
    if op == "~":
        raise ConfigError(f"--where: {field} is a number, so '~' says nothing; allowed are < <= > >= = !=")
    try:
        return Condition(field, op, float(value))
    except ValueError:
        raise ConfigError(f"--where: {field} is a number, but {value!r} is none") from None
