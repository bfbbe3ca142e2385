"""Stored reviews of two models' answers, in both orders: sums, relative scores, what place and length do.

The protocol of Vicuna (Chiang et al. 2023, https://lmsys.org/blog/2023-03-30-vicuna) and SelFee (Ye et al.
2023, https://github.com/kaistAI/SelFee): a judge gives each of two answers a score from 1 to 10; a model's
relative score is its sum over the other's. Nobody is asked here: what was written is read again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from arena import records
from arena.evaluation.findings import Finding, Report
from arena.evaluation.inputs import digests, files
from arena.evaluation.review.duels import EQUAL, POSITION, SLOTS, WON, Duel, compare, joined
from arena.evaluation.review.reading import HIGH, LOW, Stored, read_answers, read_reviews
from arena.evaluation.room import Room
from arena.stats.resampling import Interval

BAR = 40
"""Characters of a bar of wins, ties and losses."""
NOTES = (
    "Scores are read from the texts. A sum is of both orders; relative score: 100 times the model's sum over "
    "the other's. Sums in slot 1 and 2 are of the reviews in which the model stood there. Intervals are "
    "by question.",
    "A question is won by the higher sum over both orders; in the win-rate a tie is half a win. Position "
    "effect: points that the same answer gets more in the first slot. Flips: of the questions that both "
    "orders decide, the share that each decides otherwise. Change: of the relative score, by question.",
    "Win-rate at equal length: Dubois et al. 2024; 0.5 is a draw. It goes beyond what was seen where nearly "
    "all answers of one model are the longer ones. rho: rank correlation of the difference in score with the "
    "difference in words.",
)
WITHOUT_ANSWERS = (
    "What length does is not measured: no answers were named (evaluation.answers=[FILE, ...]), so a win-rate "
    "may be one of the longer answers."
)


class Reviews:
    """Reads stored reviews of pairs of answers again.

    Args:
        reviews: files of reviews, also with `*`; of each pair of models one order or, better, both.
        answers: files of answers, called as their models, for what length does; none: that is not measured.
        reference: with whom the others are compared; `""`: of two models the one with more opponents, or
            the one in the second slot of their first file.
        low: the least score of the scale; a review with a lower one has no scores.
        high: the greatest one.
    """

    tables = ("reviews", "failures")

    def __init__(
        self,
        reviews: Sequence[str],
        answers: Sequence[str] = (),
        reference: str = "",
        low: float = LOW,
        high: float = HIGH,
    ) -> None:
        """Take the settings."""
        self.reviews, self.answers, self.reference = list(reviews), list(answers), reference
        self.low, self.high = low, high

    def __call__(self, room: Room) -> Report:
        """Read the reviews, write down their scores, and compare.

        Raises:
            ConfigError: a file cannot be read, a pair of models has no scores, or nobody is the reference.
        """
        found, answers = read_reviews(self.reviews, self.low, self.high), read_answers(self.answers)
        duels = joined(found, self.reference, room.seed, self.high - self.low)
        room.begin({}, {}, f"{len(found)} stored reviews of {len(duels)} pairs of models")
        paths = [*files(self.reviews, "reviews"), *files(self.answers, "answers")]
        room.scribe.run.agree("files", digests(paths))
        for review in found:
            if review.scores is None:
                room.scribe.fail(review.id, review.status, "review", review.raw, by="stored review")
            else:
                room.scribe.append("reviews", review_row(review))
        findings, unknown = compare(duels, answers)
        others = ", ".join(dict.fromkeys(duel.other for duel in duels))
        return Report(
            about=f"{len(found)} stored reviews of {len(duels)} pairs of models, here against {others}.",
            findings=tuple(findings),
            less="less\nthe other",
            notes=(*NOTES, *(() if answers else (WITHOUT_ANSWERS,))),
            counts=_counts(found, duels),
            bars=_bars(duels),
            alarms=alarms(found, duels, findings) | _uncontrolled(unknown),
        )


def review_row(review: Stored) -> records.Row:
    """A row of `reviews.jsonl`: the scores of one review, and whether its file notes others."""
    assert review.scores is not None
    return {
        "schema": "arena.review/1",
        "id": review.id,
        "first": review.first,
        "second": review.second,
        "question": review.question,
        "score_first": float(review.scores[0]),
        "score_second": float(review.scores[1]),
        "noted_otherwise": review.noted_otherwise,
        "where": review.where,
    }


def _counts(reviews: Sequence[Stored], duels: Sequence[Duel]) -> dict[str, int]:
    statuses = Counter(review.status for review in reviews)
    return {
        "reviews": len(reviews),
        "with scores": statuses.pop("ok", 0),
        **{f"scores {status}": count for status, count in sorted(statuses.items())},
        "other scores noted": sum(review.noted_otherwise for review in reviews),
        "questions compared": sum(len(duel.questions) for duel in duels),
    }


def _bars(duels: Sequence[Duel]) -> tuple[str, ...]:
    """Wins, ties and losses of each pair as a bar."""
    lines = ["won █   tied ▒   lost ░, in questions"]
    for duel in duels:
        counts = [int((duel.outcomes == outcome).sum()) for outcome in (1.0, 0.5, 0.0)]
        ends = [round(BAR * sum(counts[: place + 1]) / sum(counts)) for place in range(3)]
        bar = "".join(c * (end - start) for c, start, end in zip("█▒░", [0, *ends], ends, strict=False))
        lines.append(f"{bar} {counts[0]:>3} {counts[1]:>3} {counts[2]:>3}  {duel.name[:25]}")
    return tuple(lines)


def alarms(reviews: Sequence[Stored], duels: Sequence[Duel], findings: Sequence[Finding]) -> dict[str, str]:
    """What speaks against these comparisons, by name."""
    found: dict[str, str] = {}
    if unread := sum(review.scores is None for review in reviews):
        found["unread"] = (
            f"{unread} of {len(reviews)} reviews say no two scores that could be read; their questions are "
            "left out in both orders: failures.jsonl has them"
        )
    if otherwise := [review for review in reviews if review.noted_otherwise]:
        one = otherwise[0]
        found["noted_otherwise"] = (
            f"{len(otherwise)} reviews say other scores than are noted beside them, such as {one.id}: "
            f"{one.scores} in the text, {one.noted} noted; the text counts"
        )
    if single := [duel.name for duel in duels if not duel.both]:
        found["one_order"] = (
            f"{len(single)} of {len(duels)} pairs were reviewed in one order alone, such as {single[0]}: "
            "what the first slot gave cannot be told from what the answer deserved"
        )
    return found | _position(duels, findings) | _length(findings)


def _position(duels: Sequence[Duel], findings: Sequence[Finding]) -> dict[str, str]:
    """Alarms about the order of the answers."""
    found = {}
    effects = [each.found for each in findings if each.measure == POSITION and each.found]
    if told := [effect.value for effect in effects if effect.sign]:
        found["position"] = (
            f"in {len(told)} of {len(effects)} pairs the slot changes an answer's score, by {min(told):+.2f} "
            f"to {max(told):+.2f} points in the first one: one order alone would mislead"
        )
    leads: dict[str, list[float]] = {}
    for each in findings:
        if each.measure in SLOTS and each.difference:
            leads.setdefault(each.arm, []).append(each.difference.value)
    if split := [name for name, (first, second) in leads.items() if first * second < 0]:
        found["order_decides"] = (
            f"in {len(split)} of {len(leads)} pairs each order names another winner: {', '.join(split)}"
        )
    return found


def _length(findings: Sequence[Finding]) -> dict[str, str]:
    """An alarm where the winner is another one, or none, at equal length."""
    rates = {(each.measure, each.arm): each.found for each in findings if each.found}
    lost = [
        f"{name} {rates[WON, name].value:.2f}, at equal length {equal.value:.2f} "
        f"({equal.low:.2f} to {equal.high:.2f})"
        for (measure, name), equal in rates.items()
        if measure == EQUAL and (side := _side(rates[WON, name])) and side != _side(equal)
    ]
    return {"length": f"a win-rate is length: {'; '.join(lost)}"} if lost else {}


def _uncontrolled(unknown: Mapping[str, str]) -> dict[str, str]:
    """An alarm where the answers do not tell a win-rate at equal length."""
    told = "; ".join(f"{name} ({why})" for name, why in unknown.items())
    return {"length_unknown": f"the win-rate at equal length is not known of {told}"} if unknown else {}


def _side(rate: Interval) -> int:
    """1 or -1 where a win-rate is above or below a draw, else 0."""
    return int(rate.low > 0.5) - int(rate.high < 0.5)
