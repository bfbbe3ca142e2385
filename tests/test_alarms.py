"""Alarms: each fires on rows that earn it, and stays silent on rows that do not."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from arena import alarms
from arena.alarms import LN2, Row, mean_interval, raised


def metrics(*margins: float, seat: str = "ada") -> list[Row]:
    """Updates with these margins, and the sigmoid loss that belongs to them."""
    return [{"speaker": seat, "margin": margin, "loss": math.log1p(math.exp(-margin))} for margin in margins]


def step(**changes: Any) -> Row:
    """A step of four turns of four drafts each, 20 tokens a draft, all decided."""
    row = {
        "speaker": "ada", "exchanges": 4, "drafts": 16, "tokens": 320, "truncated": 0,
        "pairs": 4, "ties": 0, "abstained": 0,
    }  # fmt: skip
    return row | changes


def verdict(**changes: Any) -> Row:
    """A verdict with a cosine of 0.5 and lower controls."""
    row = {
        "wim_status": "ok", "controls": True, "cosine": 0.5, "cosine_shuffled": 0.1, "cosine_topic": 0.3,
        "echo": 0.0,
    }  # fmt: skip
    return row | changes


GOOD = {
    "steps": [step() for _ in range(8)],
    "verdicts": [verdict(cosine=0.5 + 0.01 * (i % 3)) for i in range(20)],
    "metrics": metrics(0.0, 0.2, 0.21, 0.3, 0.28, 0.4),
}


def names(**changes: Sequence[Row]) -> set[str]:
    """The alarms of a good run with some tables changed."""
    return set(raised(**(GOOD | changes), learners=["ada"]))


def test_a_good_run_raises_no_alarm() -> None:
    """It decides, its texts stay, its policy moves, and its WIM says something."""
    assert names() == set()


def test_a_run_that_has_just_begun_raises_no_alarm() -> None:
    """There is nothing to judge by."""
    assert raised([], [], [], ["ada"]) == {}


def test_the_interval_of_a_mean_is_computed_by_hand() -> None:
    """1, 2, 3: mean 2, standard deviation 1, half width 1.96 / sqrt 3 = 1.1316."""
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 1.1316), abs=1e-4)


def test_one_value_has_no_interval() -> None:
    """Half of it is infinite."""
    assert mean_interval([7.0]) == (7.0, math.inf)


def test_a_policy_that_does_not_move_at_all_raises_the_alarm() -> None:
    """Every loss is ln 2 to the last bit of float32, with an interval of no width."""
    still = [{**row, "loss": 0.6931471824645996} for row in metrics(*[0.0] * 6)]
    assert names(metrics=still) == {"loss_ada"}


def test_noise_around_ln_two_raises_the_alarm() -> None:
    """The text says the numbers."""
    noise = metrics(0.0, 0.1, -0.12, 0.09, -0.1, 0.05)
    text = alarms.loss_is_flat(noise)
    assert text is not None
    assert "the margin of 5 updates is +0.0040 ±" in text
    assert f"ln 2 = {LN2:.4f}" in text


def test_a_margin_too_small_to_matter_raises_the_alarm() -> None:
    """The ancestors' best: 0.0058, to be told from 0, and a win rate of 0.5014."""
    assert names(metrics=metrics(0.0, *[0.0058] * 40)) == {"loss_ada"}


def test_a_policy_that_gets_worse_raises_the_alarm() -> None:
    """It prefers what was rejected."""
    assert names(metrics=metrics(0.0, *[-0.5, -0.6] * 4)) == {"loss_ada"}


def test_the_loss_is_not_looked_at_before_six_updates() -> None:
    """Five say nothing yet."""
    assert names(metrics=metrics(*[0.0] * 5)) == set()


def test_losses_that_start_elsewhere_raise_the_alarm_too() -> None:
    """IPO starts at 1 / (2 beta)^2 = 25; what counts is the margin."""
    ipo = [{**row, "loss": 25.0} for row in metrics(*[0.0] * 8)]
    assert names(metrics=ipo) == {"loss_ada"}


def test_seats_are_looked_at_one_by_one() -> None:
    """One learns, the other does not."""
    rows = GOOD["metrics"] + metrics(*[0.0] * 6, seat="bob")
    assert set(raised(GOOD["steps"], GOOD["verdicts"], rows, ["ada", "bob"])) == {"loss_bob"}


@pytest.mark.parametrize(("rate", "fires"), [(5e-7, True), (9e-6, True), (1e-5, False), (5e-5, False)])
def test_a_rate_for_whole_models_raises_the_alarm(rate: float, fires: bool) -> None:
    """Adapters want 1e-5 or more; the ancestors had 5e-7."""
    assert (alarms.rate_is_small(rate) is not None) == fires


@pytest.mark.parametrize(
    ("last", "fires"), [(320, False), (400, False), (401, True), (240, False), (239, True), (0, True)]
)
def test_a_drift_of_lengths_by_a_quarter_raises_the_alarm(last: int, fires: bool) -> None:
    """From 20 tokens a draft to 25 is a quarter: the last two of eight steps against the first two."""
    steps = [step() for _ in range(6)] + [step(tokens=last) for _ in range(2)]
    assert (names(steps=steps) == {"length_ada"}) == fires


def test_replies_without_known_tokens_do_not_drift() -> None:
    """Endpoints do not tell ids."""
    assert names(steps=[step(tokens=0) for _ in range(8)]) == set()


def test_lengths_are_not_looked_at_before_eight_steps() -> None:
    """A quarter has two steps."""
    assert names(steps=[step(tokens=320 * 2**i) for i in range(7)]) == set()


@pytest.mark.parametrize(("cut", "fires"), [(6, False), (7, True)])
def test_truncated_drafts_above_three_in_ten_raise_the_alarm(cut: int, fires: bool) -> None:
    """Of 20: 6 are three in ten."""
    steps = [step(drafts=20, truncated=cut)]
    assert (names(steps=steps) == {"truncated_ada"}) == fires


def test_a_few_truncated_drafts_are_no_share_yet() -> None:
    """19 of 19."""
    assert names(steps=[step(drafts=19, truncated=19)]) == set()


@pytest.mark.parametrize(("ties", "abstained", "fires"), [(2, 2, False), (3, 2, True), (0, 5, True)])
def test_turns_without_a_pair_above_one_half_raise_the_alarm(ties: int, abstained: int, fires: bool) -> None:
    """Of 8 turns: 4 are one half."""
    steps = [step(exchanges=8, drafts=32, ties=ties, abstained=abstained)]
    assert (names(steps=steps) == {"undecided"}) == fires


def test_turns_of_one_draft_do_not_hide_undecided_ones() -> None:
    """Only Ada learns; all her turns are ties, and Bob's single drafts can make none."""
    steps = [step(ties=4), step(speaker="bob", drafts=4)] * 4
    assert names(steps=steps) == {"undecided"}


def test_single_drafts_alone_are_not_undecided() -> None:
    """A run without learners compares nothing."""
    assert names(steps=[step(drafts=4, abstained=4) for _ in range(8)]) == set()


def test_a_wim_like_that_of_another_answer_raises_the_alarm() -> None:
    """The differences are 0.12 and -0.1 in turn: a mean of 0.01, and an interval that holds 0."""
    rows = [verdict(cosine_shuffled=0.38 + 0.22 * (i % 2)) for i in range(20)]
    assert names(verdicts=rows) == {"judge_like_shuffled"}


def test_a_wim_like_the_bare_topic_raises_the_alarm() -> None:
    """Lower than the control in every verdict; the text says by how much."""
    rows = [verdict(cosine_topic=0.6) for _ in range(20)]
    found = raised(GOOD["steps"], rows, GOOD["metrics"], ["ada"])
    assert set(found) == {"judge_like_topic"}
    assert "-0.100 ± 0.000 over 20 verdicts" in found["judge_like_topic"]


def test_controls_are_not_looked_at_before_twenty_verdicts() -> None:
    """Nor in verdicts without controls."""
    assert names(verdicts=[verdict(cosine=0.0)] * 19) == set()
    assert names(verdicts=[verdict(cosine=0.0, controls=False)] * 40) == set()


def test_a_wim_that_restates_the_answer_raises_the_alarm() -> None:
    """Three in ten of its trigrams stand in the answers; one in four is let pass."""
    assert names(verdicts=[verdict(echo=0.3)] * 20) == {"wim_restates"}
    assert names(verdicts=[verdict(echo=0.25)] * 20) == set()


def test_a_judge_that_seldom_misses_anything_raises_the_alarm() -> None:
    """10 of 20 name something, which is one half; 9 of 20 is less."""
    quiet = verdict(wim_status="nothing_missing", controls=False)
    assert names(verdicts=[verdict()] * 9 + [quiet] * 11) == {"wim_rare"}
    assert "wim_rare" in names(verdicts=[verdict()] * 10 + [quiet] * 10)
    assert names(verdicts=[verdict()] * 21 + [quiet] * 20) == set()


def test_a_judge_that_is_not_asked_what_is_missing_raises_no_alarm() -> None:
    """Ratings alone are a method."""
    assert names(verdicts=[verdict(wim_status="not_asked", controls=False)] * 40) == set()


def test_every_alarm_is_a_sentence_with_its_numbers() -> None:
    """So that nobody has to look them up."""
    found = raised(
        [step(tokens=320 * (i + 1), truncated=16, ties=4) for i in range(8)],
        [verdict(cosine=0.0, echo=1.0)] * 20,
        metrics(*[0.0] * 6),
        ["ada"],
    )
    assert set(found) == {
        "judge_like_shuffled", "judge_like_topic", "wim_restates", "undecided",
        "truncated_ada", "length_ada", "loss_ada",
    }  # fmt: skip
    assert all(any(letter.isdigit() for letter in text) for text in found.values())


def gained(change: float, half: float) -> list[dict[str, float]]:
    """What was measured on held-out prompts."""
    return [{"rewarded": 52, "change": change, "change_low": change - half, "change_high": change + half}]


def test_a_gain_that_shows_takes_the_alarm_of_the_loss_back() -> None:
    """Pairs of a policy that does everything right have no margin: that is no failure to learn."""
    found = {"loss_ada": "flat", "loss_bob": "flat", "length_ada": "shorter"}
    assert alarms.with_gain(found, gained(1.5, 0.2), "ada") == {"loss_bob": "flat", "length_ada": "shorter"}
    assert alarms.with_gain(found, [], "ada") == found


@pytest.mark.parametrize("change", [0.1, 0.0, -0.5])
def test_a_gain_that_does_not_show_is_an_alarm(change: float) -> None:
    """Whatever the loss looks like."""
    found = alarms.with_gain({"loss_ada": "flat"}, gained(change, 0.2), "ada")
    assert found.keys() == {"loss_ada", "nothing_gained_ada"}
    assert f"changed by {change:+.3f}" in found["nothing_gained_ada"]
