"""Verdicts and what follows from them: better, worse, tie, or no judgement."""

from collections.abc import Sequence
from dataclasses import dataclass

from agents.dialogue import Message, Reply

NORMALISATIONS = {
    "centred": (5.5, 4.5),
    "ancestor": (5.0, 5.0),
    "paper": (5.5, 5.5),
}
"""R = (rating - middle) / width: in [-1, 1]; as the ancestor's code, [-0.8, 1]; its Eq. 9, [-0.82, 0.82]."""


@dataclass(frozen=True)
class Case:
    """One answer that is to be judged, with what the judge may know."""

    id: str
    """The id of the turn, or of the speaker's whole performance."""
    topic: str
    prompt: tuple[Message, ...]
    """The conversation as the speaker saw it, without the persona; ends with what was answered."""
    reply: Reply
    other: Reply | None = None
    """A second answer, to be compared with the first."""
    reference: str = ""
    """A correct answer."""
    comment: str = ""
    """Feedback on the answer."""

    @property
    def question(self) -> str:
        """What the answer answers."""
        return self.prompt[-1]["content"]


@dataclass(frozen=True)
class Rating:
    """A rating in 1..10, or the reason why there is none."""

    value: float | None
    status: str = "ok"
    raw: str = ""
    """The judge's text, or what the number was computed from."""


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one answer. Without a reward it abstains, and `status` says why."""

    id: str
    """The id of what was judged."""
    judge: str
    status: str = "ok"
    rating: float | None = None
    """In 1..10."""
    wim: str = ""
    """What is missing, in the judge's words."""
    wim_status: str = "not_asked"
    """`ok`, `nothing_missing`, `not_asked`, or why there is no usable text."""
    cosine: float | None = None
    """cos(embedding of the answer, embedding of the WIM), in [-1, 1]."""
    cosine_shuffled: float | None = None
    """Control: the cosine with the WIM of another answer."""
    cosine_topic: float | None = None
    """Control: the cosine with the bare topic."""
    echo: float = 0.0
    """Share of the WIM's word trigrams that stand in the answer already, in [0, 1]: how much it restates."""
    reward: float | None = None
    """(1 - zeta) R + zeta cosine."""
    scale: str = ""
    """Which terms the reward has; only verdicts of one scale can be compared."""
    raw: str = ""

    @property
    def counted(self) -> float | None:
        """The cosine that the reward holds: its own, or that of a control arm; None where it holds none."""
        return {
            "rating+wim": self.cosine,
            "rating+wim_shuffled": self.cosine_shuffled,
            "rating+wim_topic": self.cosine_topic,
        }.get(self.scale)


@dataclass(frozen=True)
class Preference:
    """Of two answers to one prompt the better and the worse."""

    prompt: tuple[Message, ...]
    chosen: Reply
    rejected: Reply
    margin: float
    """Difference of the rewards, above 0; 1.0 where it is only known which one is better."""
    chosen_id: str = ""
    rejected_id: str = ""
    kind: str = "online"
    """Where it came from: `online`, `critique`, `refinement`, `preference`, `revision`, `panel`."""


@dataclass(frozen=True)
class Example:
    """A prompt and what is to be said to it, for supervised learning."""

    id: str
    prompt: tuple[Message, ...]
    completion: str
    weight: float = 1.0
    """How much it counts, at least 0."""
    revisions: int = 0
    """How many revisions the completion holds."""


@dataclass(frozen=True)
class Ranking:
    """Several answers to one prompt, each with its reward: what a listwise learner takes."""

    id: str
    prompt: tuple[Message, ...]
    replies: tuple[Reply, ...]
    """Two or more."""
    rewards: tuple[float, ...]
    """One per reply, all on one scale."""


@dataclass(frozen=True)
class Review:
    """A paper and what its reviewers think of it: what a critic learns from."""

    id: str
    title: str
    abstract: str
    rating: float
    """In 1..10: one reviewer's, or the mean of several."""
    review: str = ""
    """The reviewer's text; `""` where only the rating is known."""
    venue: str = ""
    where: str = ""
    """The file and line that it comes from."""


def normalise(rating: float, name: str = "centred") -> float:
    """A rating in 1..10 as R, by one of `NORMALISATIONS`."""
    middle, width = NORMALISATIONS[name]
    return (rating - middle) / width


def prefer(
    prompt: Sequence[Message],
    drafts: Sequence[tuple[str, Reply]],
    verdicts: Sequence[Verdict],
    tie_margin: float = 0.0,
    pair_truncated: bool = False,
) -> tuple[Preference | None, str]:
    """The best and the worst of some drafts, or why there is no pair.

    Verdicts without a reward make no pair, nor do drafts that were cut at the token limit (unless they
    may), nor verdicts on different scales (the scale that most verdicts share is taken), nor rewards
    within `tie_margin`, nor drafts of the same words, whatever a judge says of them.

    Args:
        prompt: what the drafts answer, as the speaker saw it.
        drafts: (id, reply).
        verdicts: one per draft, in order.
        tie_margin: least difference of rewards that counts, at least 0.
        pair_truncated: whether drafts that were cut at the token limit may be in a pair.

    Returns:
        The preference and `pair`; or None and `abstained`, `truncated`, `scales`, `tie`.
    """
    judged = [(v.reward, i) for i, v in enumerate(verdicts) if v.reward is not None]
    if len(judged) < 2:
        return None, "abstained"
    whole = [(reward, i) for reward, i in judged if pair_truncated or not drafts[i][1].truncated]
    if len(whole) < 2:
        return None, "truncated"
    scales = [verdicts[i].scale for _, i in whole]
    common = max(sorted(set(scales)), key=scales.count)
    comparable = [(reward, i) for reward, i in whole if verdicts[i].scale == common]
    if len(comparable) < 2:
        return None, "scales"
    (worst, low), (best, high) = min(comparable), max(comparable)
    (chosen_id, chosen), (rejected_id, rejected) = drafts[high], drafts[low]
    if best - worst <= tie_margin or chosen.text == rejected.text:
        return None, "tie"
    return Preference(tuple(prompt), chosen, rejected, best - worst, chosen_id, rejected_id), "pair"
