"""The critic: a reviewer of papers, fitted to people's reviews by a loss that weighs ratings by their rarity.

L = -(1/N) sum_i w(y_i) log P(y_i | x_i) (Idea King): x_i a paper in the form of a rubric, y_i its review,
which begins with the rating. So a judge reads it from label probabilities, as `rewards.rating.Labels` does.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import TYPE_CHECKING, Any, ClassVar

from agents.dialogue import Reply
from agents.errors import ConfigError
from arena.train.balance import class_counts, inverse_frequency, shares
from arena.train.calibration import calibrate
from arena.train.fitting import Fitting, Task
from rewards.rating import LABELS, Labels
from rewards.rubric import Rubric
from rewards.verdict import Case, Review

if TYPE_CHECKING:
    import torch

    from agents.local import Local
    from agents.scoring import Group
    from arena.train.desk import Desk

RUBRICS = {"guide": "critic_guide", "few_shot": "critic_few_shot"}
LEAD = "## Rating\n"
"""What a review begins with."""
WEIGHTINGS = ("inverse", "none")


@dataclass(frozen=True)
class Paper:
    """A paper with all its reviews."""

    case: Case
    reviews: tuple[Review, ...]

    @property
    def rating(self) -> float:
        """The mean of its ratings."""
        return mean(review.rating for review in self.reviews)


class Critic:
    """Fits a critic to reviews of papers, and measures it on papers held out.

    A rating that is no whole number, as a mean of reviewers, is learned as both its neighbours by shares.

    Args:
        mode: how the critic is asked: `guide` (the form of a review) or `few_shot` (worked examples).
        title: whether the title stands before the abstract.
        weighting: w(y): `inverse` to the frequency of the rating in the training set, or `none` (all 1).
        smoothing: reviews that are added to each of the ten ratings before frequencies are taken, at least 0.
        rating_weight: how many times the tokens of the rating count, at least 1.
        per_token: whether a review's log-probability is averaged over its tokens; summed, as in the formula,
            a long review counts more than a short one.
        mass: least probability of all ratings together for a paper to count as rated.
        fitting: settings of `arena.train.fitting.Fitting`.
    """

    takes: ClassVar[type] = Review
    needs_judge: ClassVar[bool] = False

    def __init__(
        self,
        mode: str = "guide",
        title: bool = False,
        weighting: str = "inverse",
        smoothing: float = 10.0,
        rating_weight: float = 1.0,
        per_token: bool = False,
        mass: float = 0.1,
        **fitting: Any,
    ) -> None:
        """Check the settings; the rubric is read when first used."""
        for name, value, allowed in (("mode", mode, RUBRICS), ("weighting", weighting, WEIGHTINGS)):
            if value not in allowed:
                raise ConfigError(f"{name}={value!r} is not known; allowed are {', '.join(allowed)}")
        if not smoothing >= 0 or not rating_weight >= 1:
            raise ConfigError(
                "a critic needs smoothing >= 0 and rating_weight >= 1, got "
                f"smoothing={smoothing!r}, rating_weight={rating_weight!r}"
            )
        self.rubric, self.title, self.weighting = RUBRICS[mode], title, weighting
        self.smoothing, self.rating_weight, self.per_token = smoothing, rating_weight, per_token
        self.rater = Labels(self.rubric, lead=LEAD, mass=mass)
        self.fitting = Fitting(**fitting)

    def fit(
        self, policy: "Local", train: Sequence[Review], valid: Sequence[Review], desk: "Desk", *judge: Any
    ) -> None:
        """Train an adapter of `policy`; before, in between and after, rate the papers in `valid`.

        Raises:
            ConfigError: a rating is out of 1..10, or the tokenizer joins rating and text.
            Diverged: a loss or gradient is not finite.
        """
        papers, held_out = self.papers(train, desk), self.papers(valid, desk)
        groups, coefficients = self._lessons(policy, papers)

        def losses(numbers: Sequence[int], logps: Sequence["torch.Tensor"]) -> "torch.Tensor":
            rows = iter(logps)
            return _weighted([[(next(rows), row) for row in coefficients[i]] for i in numbers])

        sizes = [len(paper.reviews) for paper in papers]
        trained = [paper.rating for paper in papers]
        task = Task(groups, sizes, losses, lambda: self._evaluate(policy, held_out, trained, desk))
        self.fitting.run(policy, task, desk)

    def papers(self, reviews: Sequence[Review], desk: "Desk") -> list[Paper]:
        """Reviews by paper, in order; a review of a paper without text is left out, and `desk` told.

        Raises:
            ConfigError: a rating is out of 1..10.
        """
        found: dict[str, list[Review]] = {}
        for review in reviews:
            try:
                shares(review.rating)
            except ValueError as error:
                raise ConfigError(f"{review.where or review.id}: {error}; bring ratings to 1..10") from error
            parts = [review.title if self.title else "", review.abstract]
            found.setdefault("\n\n".join(part.strip() for part in parts if part.strip()), []).append(review)
        empty = found.pop("", [])
        if empty:
            places = ", ".join(review.where or review.id for review in empty[:3])
            desk.note(f"{len(empty)} reviews are left out, for their papers have no text: {places}")
        return [Paper(Case(own[0].id, "", (), Reply(text)), tuple(own)) for text, own in found.items()]

    def weights(self, papers: Sequence[Paper]) -> list[float]:
        """(10,) w(y) of the ratings 1..10, with the mean 1 over all reviews of `papers`."""
        if self.weighting == "none" or not papers:
            return [1.0] * len(LABELS)
        ratings = [review.rating for paper in papers for review in paper.reviews]
        return inverse_frequency(class_counts(ratings), self.smoothing)

    def _lessons(
        self, policy: "Local", papers: Sequence[Paper]
    ) -> tuple[list["Group"], list[list[list[float]]]]:
        """What is to be said of each paper, and how much each token of it counts."""
        rubric, weights = Rubric.load(self.rubric), self.weights(papers)
        spelled = [policy.template.text_ids(LEAD + label) for label in LABELS]
        begins = len(os.path.commonprefix(spelled))
        groups: list[Group] = []
        coefficients = []
        for paper in papers:
            completions, rows = [], []
            for text, label, share in _targets(paper):
                ids = policy.completion_ids(Reply(text))
                ends = len(spelled[label - 1])
                if ids[:ends] != spelled[label - 1]:
                    raise ConfigError(
                        f"this tokenizer joins the rating and what follows it in {text[:20]!r}: "
                        "a judge could not read it from label probabilities; take another checkpoint"
                    )
                row = [1.0] * begins + [self.rating_weight] * (ends - begins) + [1.0] * (len(ids) - ends)
                scale = share * weights[label - 1] / (sum(row) if self.per_token else 1.0)
                completions.append(ids)
                rows.append([scale * value for value in row])
            groups.append((policy.prompt_ids(rubric.ask(paper.case)), completions))
            coefficients.append(rows)
        return groups, coefficients

    def _evaluate(
        self, policy: "Local", papers: Sequence[Paper], trained: Sequence[float], desk: "Desk"
    ) -> Mapping[str, float | int] | None:
        """Errors of the expected rating on papers held out, beside the training set's mean and median."""
        if not papers:
            return None
        ratings = self.rater(policy, [paper.case for paper in papers], range(len(papers)))
        found = calibrate([rating.value for rating in ratings], [paper.rating for paper in papers], trained)
        if found is None:
            rated = sum(rating.value is not None for rating in ratings)
            desk.note(
                f"no measurement after {policy.updates} updates: of {len(papers)} held-out papers {rated} "
                "got a rating, and it takes three, with different ratings by people"
            )
            return None
        return asdict(found)


def _targets(paper: Paper) -> list[tuple[str, int, float]]:
    """(review, its whole rating, its share) for each review, and each neighbour of its rating."""
    return [
        (f"{LEAD}{label}" + (f"\n\n## Review\n{review.review}" if review.review else ""), label, share)
        for review in paper.reviews
        for label, share in shares(review.rating).items()
    ]


def _weighted(groups: Sequence[Sequence[tuple["torch.Tensor", Sequence[float]]]]) -> "torch.Tensor":
    """(groups,) minus the sum of coefficient times log-probability over all tokens of each group."""
    import torch

    return torch.stack(
        [-torch.stack([logps @ logps.new_tensor(row) for logps, row in group]).sum() for group in groups]
    )
