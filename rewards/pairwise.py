"""Pairwise judge: which of two answers is better, asked in both orders: a place alone wins nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agents.base import Agent, Prompt
from agents.dialogue import Reply
from agents.errors import ConfigError
from rewards.rubric import Rubric
from rewards.verdict import Case

NO_REPLY = "no_reply"
"""The status of a judge that is out of reach."""

CHOICES = ("A", "B", "C")
"""The first answer is better, the second, neither."""

_ANSWER = r"(?:answer|response|reply|summary|assistant|option)"
# Not the article "A": no word goes on from it, but for those that can follow a choice.
_LETTER = r"([ABC])(?!\w|['’-]\w| +(?!(?:is|was|because|since|as|or|and|over|by)\b)[a-z])"
_MARKED = re.compile(
    rf"\[\[\s*([ABCabc])\s*\]\]"
    rf"|(?i:\b(?:better|best|winner|verdict|choice|answer)\b(?: {_ANSWER}| one)?(?:\W*[:=]|\W*\bis\b))\W*"
    rf"(?i:{_ANSWER}\W+)?(?:{_LETTER}(?:\W*?(?:or|and|/|,)\W*([ABC])\b)?|(?i:(tie|equal|neither|both)\b))"
)
_PROSE = re.compile(
    rf"\b([AB])\b\W{{0,3}}(?i:(?:is|was)(?: \w+)? (?:the )?(?:better|best)\b|wins\b)"
    rf"|(?i:\b(?:prefer|choose|pick)(?: {_ANSWER})?) \W?{_LETTER}"
    r"|(?i:(\ba tie\b|\bequally (?:good|bad|helpful|correct)\b|\A\W*tie\b))"
)
_LISTED = re.compile(r"^\W*([ABC])(?:[).:]|\W*$)|\(([ABC])\)", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_DOUBT = re.compile(r"\b(?:not|neither|nor|never|if|whether|unless|which|what)\b|n['’]t\b", re.IGNORECASE)


@dataclass(frozen=True)
class Comparison:
    """What a judge says of a case's answer (`about`) and its other answer."""

    about: str
    """The id of the case."""
    status: str
    """`about` or `other` (the better one), `tie`, `flipped` (each order another); else why it abstains."""
    probability: float | None = None
    """Mean over the orders of p(about is better) + p(tie) / 2, in [0, 1]; None where it abstains."""
    choices: tuple[str, ...] = ()
    """Of each order the chosen place, or why there is none; `about` is A in the first, B in the second."""
    raw: str = ""
    """The judge's texts, or what the probabilities were computed from."""


@dataclass(frozen=True)
class _Choice:
    """What a judge says in one order; without probabilities of A, B, C it abstains."""

    status: str
    probs: tuple[float, ...] = ()
    raw: str = ""


class Pairwise:
    """Compares two answers by the probabilities of A, B, C; an agent without them writes text.

    A judge that contradicts itself when the answers change places says nothing about the answers:
    only what both orders agree on is a preference; one order's preference against the other's tie is a tie.

    Args:
        lead: the words that a local judge's answer begins with.
        mass: least probability of A, B, C together; below it the judge did not mean to choose.
        swap: whether both orders are asked; one order alone shows the judge's bias for a place.
        max_new_tokens: the limit of a judge that writes.
    """

    def __init__(
        self, lead: str = "Better: ", mass: float = 0.1, swap: bool = True, max_new_tokens: int = 64
    ) -> None:
        """Take the settings."""
        if not 0 <= mass <= 1:
            raise ConfigError(f"mass is a probability and must be in [0, 1], got {mass!r}")
        self.lead, self.mass, self.swap, self.max_new_tokens = lead, mass, swap, max_new_tokens

    def __call__(
        self,
        agent: Agent,
        cases: Sequence[Case],
        seeds: Sequence[int],
        rubrics: Sequence[str],
        patience: int = 0,
    ) -> list[Comparison]:
        """One comparison per case, all in one batch; an empty answer is not compared.

        Args:
            agent: who judges.
            cases: what is compared: each with an `other` answer.
            seeds: one per case, for a judge that samples.
            rubrics: one name or path per case, so that tasks can be mixed.
            patience: failures after which a judge out of reach is asked no more; 0: it is asked to the end.

        Raises:
            ConfigError: a rubric does not show the other answer.
        """
        full = [i for i, case in enumerate(cases) if case.reply.text.strip() and _other(case).text.strip()]
        found = [Comparison(case.id, "empty_answer") for case in cases]
        if not full:
            return found
        asked = [cases[i] for i in full]
        orders = 2 if self.swap else 1
        if self.swap:
            asked += [replace(case, reply=_other(case), other=case.reply) for case in asked]
        loaded = {name: _load(name) for name in {rubrics[i] for i in full}}
        prompts = [loaded[rubrics[i]].ask(case) for i, case in zip(full * orders, asked, strict=True)]
        choices = self._choose(agent, prompts, [seeds[i] for i in full] * orders, patience)
        for place, i in enumerate(full):
            found[i] = _compare(cases[i].id, choices[place :: len(full)])
        return found

    def _choose(
        self, agent: Agent, prompts: Sequence[Prompt], seeds: Sequence[int], patience: int
    ) -> list[_Choice]:
        """What the agent says to each prompt."""
        if agent.reads_labels:
            return [self._read(probs, mass) for probs, mass in agent.rate(prompts, CHOICES, self.lead)]
        limit = self.max_new_tokens
        outcomes = agent.outcomes(prompts, seeds=seeds, max_new_tokens=limit, patience=patience)
        return [
            _said(said.text) if isinstance(said, Reply) else _Choice(NO_REPLY, raw=str(said))
            for said in outcomes
        ]

    def _read(self, probs: Sequence[float], mass: float) -> _Choice:
        raw = f"mass {mass:.3f}; " + " ".join(f"{p:.3f}" for p in probs)
        if not mass >= self.mass:  # so that a mass that is no number abstains as well
            return _Choice("no_choice_meant", raw=raw)
        best = [choice for choice, p in zip(CHOICES, probs, strict=True) if p == max(probs)]
        return _Choice(best[0] if len(best) == 1 else "C", tuple(probs), raw)


def parse_choice(text: str) -> str:
    """The choice in a judge's text: `A`, `B`, `C` (a tie); or `absent`, or `ambiguous` (several).

    A marked choice (`Better: A`, `[[B]]`, `The better answer is B`) goes before one in prose (`Answer B is
    better`, `a tie`), and that before a letter as of a list (`C)`, `(A)`, `B`). Sentences that deny or ask,
    such as "neither A nor B is better", choose nothing.

    >>> texts = ("Better: A", "Answer B is better.", "C) tie", "A good one", "(A), (B)")
    >>> [parse_choice(text) for text in texts]
    ['A', 'B', 'C', 'absent', 'ambiguous']
    """
    claims = [part for part in _SENTENCE.split(text) if not _DOUBT.search(part)]
    readings = ((_MARKED, [text]), (_PROSE, claims), (_LISTED, [text]))
    for pattern, parts in readings:
        groups = [group for part in parts for match in pattern.finditer(part) for group in match.groups()]
        found = {group.upper() if len(group) == 1 else "C" for group in groups if group}
        if found:
            return found.pop() if len(found) == 1 else "ambiguous"
    return "absent"


def _load(name: str) -> Rubric:
    rubric = Rubric.load(name)
    if "{other}" not in rubric.case:
        raise ConfigError(f"the rubric {name!r} compares nothing: its [case] needs {{reply}} and {{other}}")
    return rubric


def _other(case: Case) -> Reply:
    assert case.other is not None, f"{case.id} has no other answer to be compared with"
    return case.other


def _said(text: str) -> _Choice:
    """What a judge wrote, as a choice that it is sure of."""
    choice = parse_choice(text)
    probs = tuple(float(choice == one) for one in CHOICES) if choice in CHOICES else ()
    return _Choice(choice, probs, text)


def _compare(id: str, orders: Sequence[_Choice]) -> Comparison:
    """A comparison from what was said with the case's answer first and, where it was asked, second."""
    choices = tuple(order.status for order in orders)
    raw = "\n".join(order.raw for order in orders)
    unread = [order.status for order in orders if not order.probs]
    if NO_REPLY in unread:
        unread = [NO_REPLY]
    if unread:
        return Comparison(id, unread[0], choices=choices, raw=raw)
    wins = [order.probs[place] + order.probs[2] / 2 for place, order in enumerate(orders)]
    probability = min(max(sum(wins) / len(wins), 0.0), 1.0)  # rounding may leave the scale
    winners = {"about" if choice == own else "other" for choice, own in zip(choices, "AB", strict=False)}
    status = "tie" if "C" in choices else winners.pop() if len(winners) == 1 else "flipped"
    return Comparison(id, status, probability, choices, raw)
