"""The report of a run: a card that readers understand, means with intervals, controls beside them."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from example_session import CONFIG, SETTINGS, hold

from agents import Turn
from agents.dialogue import Dialogue, Reply
from arena.loop import Exchange
from arena.records import exchange_row, failure_row, metrics_row, turn_row, verdict_row
from arena.report import report
from arena.rundir import RunFolder, opened
from arena.train.online_dpo import Update
from rewards.verdict import Verdict


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    """An open folder without rows."""
    with opened(tmp_path, "", {}) as folder:
        yield folder


def judged(run: RunFolder, *ratings: float, cosine: float | None = None, about: str = "draft") -> None:
    """Add verdicts, with a cosine and controls if there is one."""
    for i, rating in enumerate(ratings):
        given = Verdict(f"d{i:04d}.00a", "bob", rating=rating, reward=rating / 10, scale="rating")
        if cosine is not None:
            given = Verdict(
                given.id, "bob", rating=rating, wim="w", wim_status="ok", cosine=cosine,
                cosine_shuffled=cosine / 2, cosine_topic=cosine / 4, reward=0.1, scale="rating+wim",
            )  # fmt: skip
        run.append("verdicts", verdict_row(given, judge="bob", about=about, zeta=0.4, step=0))


def updated(run: RunFolder, *margins: float) -> None:
    """Add updates of Ada."""
    for step, margin in enumerate(margins):
        update = Update(2, 0.7 - margin, margin, 1.0, 0.0, 0.0, 0.01, 1.0, 0.1)
        run.append("metrics", metrics_row(asdict(update), seat="ada", step=step))


def test_the_mean_rating_has_its_interval(run: RunFolder) -> None:
    """4, 5, 6: mean 5, standard deviation 1, Student's t of 2 degrees 4.303 / sqrt 3 = 2.484."""
    judged(run, 4.0, 5.0, 6.0)
    assert "| rating, 1 to 10 | 5.000 ± 2.484 | 3 (3) |" in report(run, "duo", {})


def told(run: RunFolder, *topics: str) -> None:
    """Add an exchange of each dialogue, about its topic."""
    for i, topic in enumerate(topics):
        dialogue = Dialogue(f"d{i:04d}", topic, "ada")
        turn = Turn(f"d{i:04d}.00a", "", "ada", Reply("x"))
        given = Exchange(dialogue, (turn,), (), turn, None, "one_draft", ())
        run.append("exchanges", exchange_row(given, seat="ada", judge="bob", step=0))


def test_drafts_on_one_topic_are_not_several_topics(run: RunFolder) -> None:
    """Three times as many drafts that say the same leave the interval as wide: 4, 5, 6 of three topics."""
    told(run, *"abc" * 3)
    judged(run, *(4.0, 5.0, 6.0) * 3)
    assert "| rating, 1 to 10 | 5.000 ± 2.484 | 9 (3) |" in report(run, "duo", {})


def test_drafts_of_a_single_topic_have_no_interval(run: RunFolder) -> None:
    """However many they are."""
    told(run, "a", "a")
    judged(run, 4.0, 6.0)
    assert "| rating, 1 to 10 | 5.000, all of one topic | 2 (1) |" in report(run, "duo", {})


def test_one_verdict_has_no_interval(run: RunFolder) -> None:
    """Which is said, instead of a number."""
    judged(run, 4.0)
    assert "| rating, 1 to 10 | 4.000, one value | 1 (1) |" in report(run, "duo", {})


def test_the_cosine_stands_beside_both_controls(run: RunFolder) -> None:
    """Over the same verdicts."""
    judged(run, 4.0, 5.0, cosine=0.8)
    text = report(run, "duo", {})
    assert "| cosine with what is missing | 0.800 ± 0.000 | 2 (2) |" in text
    assert "| control: with another answer's | 0.400 ± 0.000 | 2 (2) |" in text
    assert "| control: with the bare topic | 0.200 ± 0.000 | 2 (2) |" in text


def test_without_a_wim_there_is_no_cosine(run: RunFolder) -> None:
    """And no row of zeros."""
    judged(run, 4.0, 5.0)
    assert "cosine" not in report(run, "duo", {})


def test_performances_are_not_mixed_with_drafts(run: RunFolder) -> None:
    """They are other texts."""
    judged(run, 9.0, 9.0, about="performance")
    text = report(run, "duo", {})
    assert "rating" not in text
    assert "2 verdicts" in text


def test_learning_is_shown_by_means_of_thirds(run: RunFolder) -> None:
    """Margins 0, 0, .3, .3, .6, .6: the last third is 0.6, its loss 0.1, the first loss 0.7."""
    updated(run, 0.0, 0.0, 0.3, 0.3, 0.6, 0.6)
    text = report(run, "d", {})
    assert "| ada, 6 updates | first third, mean ± 95 % | last third |" in text
    assert "| loss | 0.7 ± 0 | 0.1 ±" in text
    assert "| margin | 0 ± 0 | 0.6 ± 0 |" in text


def test_a_run_without_learners_has_no_table_of_learning(run: RunFolder) -> None:
    """Nothing is to be told."""
    assert "learner" not in report(run, "duo", {})


def test_failures_are_counted_by_kind(run: RunFolder) -> None:
    """Two that could not be read, one empty reply."""
    for id, what in (("a", "rating_absent"), ("b", "rating_absent"), ("c", "empty_reply")):
        run.append("failures", failure_row(id, what, "draft", "", by="bob", step=0))
    text = report(run, "duo", {})
    assert "## Failures\n\n- empty_reply: 1\n- rating_absent: 2\n" in text
    assert "3 failures" in text


def test_alarms_are_told_or_their_absence(run: RunFolder) -> None:
    """By name."""
    assert "## Alarms\n\n- **loss_ada**: too flat\n" in report(run, "duo", {"loss_ada": "too flat"})
    assert "## Alarms\n\nNone.\n" in report(run, "duo", {})


def test_the_card_names_the_tables_that_have_rows(run: RunFolder) -> None:
    """A reader fails on an empty file."""
    run.append("turns", turn_row(Turn("d0000.00a", "", "ada", Reply("x")), step=0, model="m", seed=0))
    card = report(run, "duo", {}).partition("\n---\n")[0]
    assert card == "---\nconfigs:\n- config_name: turns\n  data_files: turns.jsonl"


def test_the_report_of_a_whole_run_counts_its_rows(tmp_path: Path) -> None:
    """Two dialogues of four turns; Bob drafts two replies; what Ada said first and in all is illegible."""
    hold(tmp_path)
    with opened(tmp_path, CONFIG, SETTINGS) as run:
        text = report(run, "example", {})
    assert "8 turns, 12 drafts, 12 verdicts, 4 pairs, 4 failures." in text
