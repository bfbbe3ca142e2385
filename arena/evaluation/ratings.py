"""A critic's ratings of papers that it has not seen, against those of people and of trivial critics.

After Critic-IdeaKing's cross-conference validation (`Eval`), with what it lacks: nothing that could not be
rated is dropped in silence, every error has its interval, and the mean of the training set stands beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.dialogue import Reply
from agents.errors import ConfigError
from arena import records
from arena.evaluation import accuracy
from arena.evaluation.findings import Finding, Report, histogram
from arena.evaluation.room import BARE, Room
from arena.stats.agreement import rank_correlation
from arena.stats.resampling import Items, Places
from rewards.judge import Judge
from rewards.verdict import Case, Review, Verdict

CRITIC, MEAN, MEDIAN, PEOPLE = "critic", "mean", "median", "people"
MEASURES: Mapping[str, tuple[Callable[[ArrayLike, ArrayLike], float], int]] = {
    "MSE": (accuracy.mse, 2),
    "MAE": (accuracy.mae, 2),
    "SMAPE, %": (accuracy.smape, 1),
    "Spearman's rho": (rank_correlation, 2),
    "inflation": (accuracy.inflation, 2),
}
ERRORS = ("MSE", "MAE", "SMAPE, %")
NOTES = (
    "One item is one review. Intervals are drawn by paper, and differences on the same draws: an error below "
    "0 there is where the critic is nearer to people than the other, on the papers that both have rated.",
    "mean and median are those of the training set, whatever the paper: a critic that is no better has only "
    "learned people's habit. Inflation is the mean rating less that of people. A constant has no rank "
    "correlation.",
)
PLAIN = "No pictures: pip install -e '.[plot]' and repeat the command to have them."


@dataclass(frozen=True)
class Paper:
    """A paper with its reviews, or the form in which a critic sees it."""

    id: str
    text: str
    ratings: tuple[float, ...]


class Ratings:
    """Compares predicted with true ratings: MSE, MAE, SMAPE, rank correlation, inflation.

    Args:
        critic: how papers are rated; without an agent of its own, who was trained is the critic.
        title: whether the critic sees the title before the abstract, as it was trained.
        most: held-out papers are those of so many reviews at most; 0: all.
    """

    tables = ("papers", "verdicts", "failures")

    def __init__(self, critic: Judge, title: bool = False, most: int = 0) -> None:
        """Take the settings."""
        self.critic, self.title, self.most = critic, title, most

    def __call__(self, room: Room) -> Report:
        """Have every held-out paper rated, with what the critic has learned and without.

        Raises:
            ConfigError: nothing is held out or trained on, or the judge gives scores that are no ratings.
        """
        train, held = room.held_out(Review, self.most)
        if not train:
            raise ConfigError(
                "the mean and the median of no training data are not defined: name some by data"
            )
        papers = self.papers(held)
        arms = {CRITIC: self.critic.agent or room.policy}
        if room.trained and self.critic.agent is None:
            arms[BARE] = room.speaker("")
        room.begin(arms, {CRITIC: self.critic}, f"{len(papers)} papers with {len(held)} reviews")
        for paper in papers:
            room.scribe.append("papers", paper_row(paper))
        predicted: dict[str, dict[str, float]] = {}
        for arm, agent in arms.items():
            cases = [Case(f"{paper.id}.{arm}", "", (), Reply(paper.text)) for paper in papers]
            verdicts = room.judged(arm, self.critic, agent, cases)
            predicted[arm] = _ratings(papers, arm, verdicts)
        known = [review.rating for review in train]
        for arm, value in ((MEAN, fmean(known)), (MEDIAN, median(known))):
            predicted[arm] = dict.fromkeys((paper.id for paper in papers), value)
        seen = {paper.text for paper in self.papers(train)}
        return _report(room, papers, predicted, seen)

    def papers(self, reviews: Sequence[Review]) -> list[Paper]:
        """Reviews by the paper that they are of, in order.

        Raises:
            ConfigError: a paper has no text, or a rating is out of 1..10.
        """
        found: dict[str, list[Review]] = {}
        for review in reviews:
            parts = [review.title.strip() if self.title else "", review.abstract.strip()]
            text = "\n\n".join(filter(None, parts))
            if not text or not 1 <= review.rating <= 10:
                raise ConfigError(
                    f"{review.where or review.id}: a paper needs an abstract, and a rating in 1..10, "
                    f"found {text[:20]!r} and {review.rating!r}: mend or remove the row"
                )
            found.setdefault(text, []).append(review)
        return [Paper(own[0].id, text, tuple(r.rating for r in own)) for text, own in found.items()]


def paper_row(paper: Paper) -> records.Row:
    """A row of `papers.jsonl`: what people say of a paper."""
    return {
        "schema": "arena.paper/1",
        "id": paper.id,
        "text": paper.text,
        "reviews": len(paper.ratings),
        "ratings": " ".join(f"{rating:g}" for rating in paper.ratings),
        "rating": float(fmean(paper.ratings)),
    }


def _ratings(papers: Sequence[Paper], arm: str, verdicts: Mapping[str, Verdict]) -> dict[str, float]:
    """The rating of each paper that got one."""
    found = {}
    for paper in papers:
        verdict = verdicts.get(f"{paper.id}.{arm}")
        if verdict is None:
            continue
        if verdict.rating is None:
            raise ConfigError(
                f"{verdict.judge} gives scores, not ratings in 1..10, which people give: "
                "take a critic that rates (evaluation.critic)"
            )
        found[paper.id] = verdict.rating
    return found


@dataclass(frozen=True)
class _Duel:
    """The reviews of the papers that an arm and the critic have both rated."""

    items: Items
    true: NDArray[np.float64]
    critic: NDArray[np.float64]
    other: NDArray[np.float64]

    @classmethod
    def of(
        cls, papers: Sequence[Paper], critic: Mapping[str, float], other: Mapping[str, float], seed: int
    ) -> "_Duel":
        """Take the papers in both."""
        pairs = [(p.id, r) for p in papers if p.id in critic and p.id in other for r in p.ratings]
        return cls(
            Items([id for id, _ in pairs], seed),
            np.array([rating for _, rating in pairs]),
            np.array([critic[id] for id, _ in pairs]),
            np.array([other[id] for id, _ in pairs]),
        )

    def finding(self, measure: str, arm: str) -> Finding:
        """What the arm comes to, and how much less it is for the critic."""
        function, digits = MEASURES[measure]

        def own(places: Places) -> float:
            return function(self.other[places], self.true[places])

        def difference(places: Places) -> float:
            return function(self.critic[places], self.true[places]) - own(places)

        less = self.items.bootstrap(difference) if arm != CRITIC else None
        return Finding(measure, arm, self.items.bootstrap(own), CRITIC if less else "", less, digits)


def _report(
    room: Room, papers: Sequence[Paper], predicted: Mapping[str, Mapping[str, float]], seen: set[str]
) -> Report:
    """All measures of the critic on what it has rated, and of the others on what they have rated of that."""
    from arena.plots import can_draw, draw_densities

    critic = predicted[CRITIC]
    duels = {arm: _Duel.of(papers, critic, own, room.seed) for arm, own in predicted.items()}
    duels = {arm: duel for arm, duel in duels.items() if len(duel.true)}
    judges = [arm for arm in (CRITIC, BARE) if arm in predicted]
    counts = {"reviews": sum(len(paper.ratings) for paper in papers), "papers": len(papers)}
    counts |= {f"rated by {arm}": len(predicted[arm]) for arm in judges}
    if BARE in judges:
        counts["rated by both"] = len(critic.keys() & predicted[BARE].keys())
    findings = [duel.finding(measure, arm) for measure in MEASURES for arm, duel in duels.items()]
    shown: dict[str, list[float]] = {}
    if CRITIC in duels:
        shown[PEOPLE] = duels[CRITIC].true.tolist()
        shown |= {arm: duels[arm].other.tolist() for arm in judges if arm in duels}
    return Report(
        about=f"{room.conf}: ratings of {len(papers)} held-out papers with {counts['reviews']} reviews.",
        findings=tuple(findings),
        less="critic\nless this",
        notes=NOTES if can_draw() else (*NOTES, PLAIN),
        counts=counts,
        bars=histogram(shown, 1, 10) if shown else (),
        alarms=alarms(counts, findings, sum(paper.text in seen for paper in papers), judges),
        plots=tuple(draw_densities(shown, room.scribe.run.path) if shown else ()),
    )


def alarms(
    counts: Mapping[str, int], findings: Sequence[Finding], leaked: int, judges: Sequence[str]
) -> dict[str, str]:
    """What speaks against the critic, or against this evaluation of it, by name."""
    found: dict[str, str] = {}
    papers = counts["papers"]
    if leaked:
        found["leak"] = (
            f"{leaked} of {papers} held-out papers stand in the training data too: it may remember them"
        )
    for arm, where in ((CRITIC, "of all numbers here"), (BARE, "where it is compared with the critic")):
        if arm in judges and (rated := counts[f"rated by {arm}"]) < papers:
            found[f"abstained_{arm}"] = (
                f"{papers - rated} of {papers} papers got no rating by {arm} and are left out {where}; "
                "failures.jsonl says why"
            )
    if BARE not in judges:
        found["untrained"] = "no adapter was measured: this is the bare checkpoint, as it was before training"
    for arm in (MEAN, MEDIAN):
        gains = {
            each.measure: each.difference
            for each in findings
            if each.arm == arm and each.measure in ERRORS and each.difference
        }
        if gains and not any(gain.sign < 0 for gain in gains.values()):
            found[f"like_{arm}"] = (
                f"by none of {', '.join(gains)} is the critic nearer to people than the training set's "
                f"{arm}, which looks at no paper"
            )
    return found
