"""The critic: its weights, its loss, how it is asked and measured, and that it tells papers apart."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import families
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memo_desk import MemoDesk
from omegaconf import OmegaConf

from agents import ConfigError, Reply
from agents.backbone import load
from agents.families import Llama, SmolLM
from agents.template import Template
from agents.weights import resolve
from arena.train.balance import class_counts, inverse_frequency, shares
from arena.train.calibration import calibrate, concordance
from arena.train.critic import LEAD, RUBRICS, Critic
from rewards.rating import LABELS, Labels
from rewards.rubric import Rubric
from rewards.verdict import Case, Review

CONF = Path(__file__).parents[1] / "conf"
ONE_STEP: dict[str, Any] = {"rank": 4, "alpha": 8.0, "batch": 100, "epochs": 1}
"""The loss of one step over everything is that of the bare checkpoint: a fresh adapter has no effect."""


def paper(abstract: str, rating: float, review: str = "", title: str = "") -> Review:
    """What one reviewer says of a paper."""
    return Review(f"id {abstract}", title, abstract, rating, review, where=f"file: {abstract}")


@pytest.fixture
def fresh(checkpoint: Callable[..., Path]) -> Callable[[], Llama]:
    """A function that gives a tiny Llama on weights that nobody has touched."""

    def agent() -> Llama:
        load.cache_clear()
        return Llama(checkpoint=str(checkpoint(families.LLAMA)), precision="fp32", device="cpu")

    return agent


def test_a_mean_of_ratings_is_shared_by_its_neighbours() -> None:
    """So that the weighted mean of the labels is the rating; a whole one is one label."""
    assert shares(6.25) == {6: 0.75, 7: 0.25}
    assert shares(7) == {7: 1.0}
    assert shares(10.0) == {10: 1.0}


@given(st.floats(1, 10))
def test_shares_keep_the_rating(rating: float) -> None:
    """And sum to one."""
    found = shares(rating)
    assert sum(found.values()) == pytest.approx(1)
    assert sum(label * share for label, share in found.items()) == pytest.approx(rating)
    assert set(found) <= set(range(1, 11))


@pytest.mark.parametrize("rating", [0, 0.5, 10.1, math.nan])
def test_there_are_no_ratings_off_the_scale(rating: float) -> None:
    """They are not rounded into it."""
    with pytest.raises(ValueError, match=r"1\.\.10"):
        shares(rating)


def test_weights_by_hand() -> None:
    """Three reviews of 6 and one of 3: without smoothing, each rating has half of all weight."""
    counts = class_counts([6, 6, 6, 3])
    assert counts == [0, 0, 1, 0, 0, 3, 0, 0, 0, 0]
    plain = inverse_frequency(counts, 0)
    assert (plain[2], plain[5], plain[0]) == pytest.approx((2, 2 / 3, 0))
    # 1/2 and 1/4, whose sum over the four reviews is 5/4: times 16/5.
    smooth = inverse_frequency(counts, 1)
    assert (smooth[2], smooth[5], smooth[0]) == pytest.approx((1.6, 0.8, 0))


@given(st.lists(st.floats(1, 10), min_size=1, max_size=30), st.floats(0, 100))
def test_the_mean_weight_of_the_training_set_is_one(ratings: list[float], smoothing: float) -> None:
    """And a rarer rating never weighs less than a commoner one."""
    counts = class_counts(ratings)
    weights = inverse_frequency(counts, smoothing)
    total = sum(count * weight for count, weight in zip(counts, weights, strict=True))
    assert total == pytest.approx(len(ratings))
    seen = sorted((count, weight) for count, weight in zip(counts, weights, strict=True) if count)
    assert all(a[1] >= b[1] * (1 - 1e-9) for a, b in zip(seen, seen[1:], strict=False))


def test_much_smoothing_weighs_all_alike() -> None:
    """In the limit, the plain loss."""
    weights = inverse_frequency(class_counts([6, 6, 6, 3]), 1e9)
    assert (weights[2], weights[5]) == pytest.approx((1, 1))


def test_calibration_by_hand() -> None:
    """Errors 1, 0, -2 of three rated papers; the training set's mean is 5 and its median 4."""
    found = calibrate([5, None, 6, 6], [4, 9, 6, 8], [4, 4, 7])
    assert found is not None
    assert (found.rated, found.abstained) == (3, 1)
    assert (found.mae, found.mse) == pytest.approx((1, 5 / 3))
    assert (found.mae_mean, found.mse_mean) == pytest.approx((5 / 3, 11 / 3))
    assert (found.mae_median, found.mse_median) == pytest.approx((2, 20 / 3))
    assert (found.mae_gain, found.mse_gain) == pytest.approx((1, 2))
    assert 0 < found.mae_half < math.inf
    assert found.concordance == pytest.approx(2.5 / 3)  # 6 and 6 for 6 and 8 is a coin


@pytest.mark.parametrize(
    ("predicted", "rated"),
    [([None, None, None], [3, 4, 5]), ([5, 6, None], [3, 4, 5]), ([5, 6, 7], [4, 4, 4])],
)
def test_where_nothing_can_be_compared_there_are_no_numbers(
    predicted: list[float | None], rated: list[float]
) -> None:
    """Too few papers were rated, or people rated all alike."""
    assert calibrate(predicted, rated, [5]) is None


def test_the_interval_of_the_concordance_holds_the_truth() -> None:
    """Of predictions with noise, about 95 of 100 intervals do."""
    import numpy as np

    draw = np.random.default_rng(0)
    signal = draw.normal(size=(400, 60))
    noisy = signal + draw.normal(size=signal.shape)
    truth = 0.75  # the share of concordant pairs of two normals with correlation sqrt(1/2)
    held = 0
    for p, r in zip(noisy, signal, strict=True):
        found = concordance(p.tolist(), r.tolist())
        assert found is not None
        held += abs(found[0] - truth) <= found[1]
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize("mode", sorted(RUBRICS))
def test_both_modes_ask_in_the_form_that_they_teach(mode: str) -> None:
    """Worked examples begin as a review does, and spread over the scale; the paper comes last, as data."""
    messages = Rubric.load(RUBRICS[mode]).ask(Case("x", "", (), Reply("An abstract. [[10]]")))
    assert "from 1" in messages[0]["content"] and "10" in messages[0]["content"]
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    assert all(answer.startswith(LEAD) for answer in answers)
    ratings = [int(answer.removeprefix(LEAD).split()[0]) for answer in answers]
    assert not ratings or (len(ratings) >= 2 and max(ratings) - min(ratings) >= 6)
    assert messages[-1]["content"].endswith("An abstract. [ [10] ]")
    assert (mode == "few_shot") == bool(answers)


def test_the_judge_of_the_conf_reads_what_the_critic_writes() -> None:
    """`conf/judge/critic.yaml` asks with the rubric and the lead that training used."""
    conf, train = (OmegaConf.load(CONF / group / "critic.yaml") for group in ("judge", "train"))
    assert (conf.rater.lead, conf.rater.mass) == (LEAD, train.mass)
    assert conf.rater.rubric == RUBRICS[train.mode]


def test_smollm2_spells_the_rating_in_training_as_the_judge_does() -> None:
    """Lead and label are the beginning of every completion; the lead is common to all labels."""
    from transformers import AutoTokenizer

    from agents.errors import Unavailable

    try:
        folder = resolve(SmolLM.checkpoint).folder
    except Unavailable as error:
        pytest.skip(str(error))
    template = Template(AutoTokenizer.from_pretrained(folder, local_files_only=True))
    lead = template.text_ids(LEAD)
    for label in LABELS:
        spelled = template.text_ids(LEAD + label)
        assert spelled[: len(lead)] == lead
        assert len(spelled) == len(lead) + len(label)
        assert template.text_ids(f"{LEAD}{label}\n\n## Review\nGood.")[: len(spelled)] == spelled


def by_hand(agent: Llama, critic: Critic, said: Sequence[tuple[str, str, float, float]]) -> float:
    """Minus the sum of coefficient times log-probability of (paper, review, coefficient, rating's weight)."""
    rubric, total = Rubric.load(critic.rubric), 0.0
    for text, review, coefficient, rating_weight in said:
        prompt = rubric.ask(Case("x", "", (), Reply(text)))
        [row] = agent.logps([prompt], [Reply(review)])
        ids = agent.completion_ids(Reply(review))
        begins = len(agent.template.text_ids(LEAD))
        ends = begins + len(review.removeprefix(LEAD).split()[0])
        assert len(ids) == len(row)
        total -= coefficient * (sum(row) + (rating_weight - 1) * sum(row[begins:ends]))
    return total


def first_loss(agent: Llama, critic: Critic, reviews: Sequence[Review], path: Path) -> dict[str, float | int]:
    """The row of the first step."""
    desk: Any = MemoDesk(path)
    critic.fit(agent, reviews, [], desk)
    assert not desk.evaluations
    row: dict[str, float | int] = desk.metrics[1]
    return row


def test_the_loss_is_the_weighted_one(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """-(1/N) sum w(y) log P(y | x), from the agent's own log-probabilities."""
    agent, critic = fresh(), Critic(smoothing=1.0, **ONE_STEP)
    reviews = [paper("ice", 6), paper("fire", 6, "Too hot."), paper("rain", 6), paper("snow", 10)]
    expected = by_hand(
        agent,
        critic,
        [
            ("ice", "## Rating\n6", 0.8, 1),
            ("fire", "## Rating\n6\n\n## Review\nToo hot.", 0.8, 1),
            ("rain", "## Rating\n6", 0.8, 1),
            ("snow", "## Rating\n10", 1.6, 1),
        ],
    )
    row = first_loss(agent, critic, reviews, tmp_path)
    assert (row["loss"], row["records"]) == (pytest.approx(expected / 4, rel=1e-5), 4)


def test_ratings_weigh_more_where_that_is_asked_for(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """The tokens of the rating, two of "10", and no others."""
    agent, critic = fresh(), Critic(weighting="none", rating_weight=3.0, **ONE_STEP)
    said = [("ice", "## Rating\n6\n\n## Review\nCold.", 1.0, 3.0), ("snow", "## Rating\n10", 1.0, 3.0)]
    expected = by_hand(agent, critic, said)
    reviews = [paper("ice", 6, "Cold."), paper("snow", 10)]
    assert first_loss(agent, critic, reviews, tmp_path)["loss"] == pytest.approx(expected / 2, rel=1e-5)


def test_a_review_counts_as_much_as_another_per_token(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """The mean over tokens, weighted as they are."""
    agent, critic = fresh(), Critic(weighting="none", per_token=True, rating_weight=2.0, **ONE_STEP)
    review = "## Rating\n6\n\n## Review\nCold."
    length = len(agent.completion_ids(Reply(review))) + 1  # the rating is one token that counts twice
    expected = by_hand(agent, critic, [("ice", review, 1 / length, 2.0)])
    reviews = [paper("ice", 6, "Cold.")]
    assert first_loss(agent, critic, reviews, tmp_path)["loss"] == pytest.approx(expected, rel=1e-5)


def test_reviews_of_one_paper_share_its_prompt(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """Three reviewers, the third a mean of two ratings: four completions behind one prompt."""
    agent, critic = fresh(), Critic(weighting="none", **ONE_STEP)
    expected = by_hand(
        agent,
        critic,
        [
            ("ice", "## Rating\n3", 1.0, 1),
            ("ice", "## Rating\n8", 1.0, 1),
            ("ice", "## Rating\n5", 0.75, 1),
            ("ice", "## Rating\n6", 0.25, 1),
        ],
    )
    row = first_loss(agent, critic, [paper("ice", 3), paper("ice ", 8), paper("ice", 5.25)], tmp_path)
    assert (row["loss"], row["records"]) == (pytest.approx(expected / 3, rel=1e-5), 3)
    prompt = agent.prompt_ids(Rubric.load(critic.rubric).ask(Case("x", "", (), Reply("ice"))))
    said = sum(len(agent.completion_ids(Reply(f"## Rating\n{label}"))) for label in (3, 8, 5, 6))
    assert row["tokens"] == len(prompt) + said


def test_a_title_stands_before_the_abstract(tmp_path: Path) -> None:
    """Where it is wanted and there is one; a paper without a word is left out, and that is said."""
    reviews = [
        paper("about ice", 5, title="Ice"),
        paper("about fire", 5),
        paper("", 5),
        paper("", 6, title="T"),
    ]
    desk: Any = MemoDesk(tmp_path)
    with_title = [found.case.reply.text for found in Critic(title=True).papers(reviews, desk)]
    assert with_title == ["Ice\n\nabout ice", "about fire", "T"]
    assert [found.case.reply.text for found in Critic().papers(reviews, desk)] == ["about ice", "about fire"]
    assert ["1 reviews" in desk.notes[0], "2 reviews" in desk.notes[1]] == [True, True]
    assert "file: " in desk.notes[0]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"mode": "zero_shot"}, "guide, few_shot"),
        ({"weighting": "square"}, "inverse, none"),
        ({"smoothing": -1.0}, "smoothing=-1.0"),
        ({"rating_weight": 0.5}, "rating_weight=0.5"),
        ({"lr": 0.0}, "lr=0.0"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(settings: dict[str, Any], named: str) -> None:
    """By its name."""
    with pytest.raises(ConfigError, match=named):
        Critic(**settings)


def test_a_rating_off_the_scale_names_its_row(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """Ratings of another scale are not squeezed into this one."""
    desk: Any = MemoDesk(tmp_path)
    with pytest.raises(ConfigError, match=r"file: ice: a rating must be in 1\.\.10, got 85"):
        Critic().fit(fresh(), [paper("ice", 85)], [], desk)


def test_a_critic_that_rates_nothing_is_not_measured(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """A random model does not mean to rate: there is a note, and no row of numbers."""
    desk: Any = MemoDesk(tmp_path)
    reviews = [paper(word, 3 + i) for i, word in enumerate(("ice", "fire", "rain"))]
    Critic(mass=0.99, lr=1e-6, **ONE_STEP).fit(fresh(), reviews, reviews, desk)
    assert not desk.evaluations
    assert any("of 3 held-out papers 0 got a rating" in note for note in desk.notes)


@pytest.mark.slow
def test_it_learns_to_tell_papers_apart(fresh: Callable[[], Llama], tmp_path: Path) -> None:
    """Papers with a certain word get 8, others 3: on papers that it has not seen, it errs by less than one.

    And the judge that reads label probabilities afterwards says the same as the measurement.
    """
    words = ("the", "an", "in", "er", "you", "say")

    def made(first: int, last: int) -> list[Review]:
        return [
            paper(
                " ".join([words[i % 6], words[i // 6 % 6], "rating" if i % 2 else "what", str(i)]),
                3 + 5 * (i % 2),
            )
            for i in range(first, last)
        ]

    agent, desk = fresh(), MemoDesk(tmp_path)
    critic = Critic(lr=1e-2, batch=8, epochs=6, rank=8, alpha=16.0, warmup=5, mass=0.5)
    held_out: Any = made(48, 60)
    critic.fit(agent, made(0, 32), held_out, desk)  # type: ignore[arg-type]
    last = max(desk.evaluations)
    found = desk.evaluations[last]
    assert (found["rated"], found["abstained"]) == (12, 0)
    assert found["mae"] < 1 < found["mae_median"]
    assert found["mse_gain"] - found["mse_gain_half"] > 0
    assert found["concordance"] == 1
    ratings = Labels(critic.rubric, lead=LEAD)(
        agent, [p.case for p in critic.papers(held_out, desk)], range(12)
    )  # type: ignore[arg-type]
    errors = [
        abs((rating.value or 0) - review.rating) for rating, review in zip(ratings, held_out, strict=True)
    ]
    assert sum(errors) / 12 == pytest.approx(found["mae"])
