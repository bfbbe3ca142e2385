"""Studies: what is pooled over seeds, what the page says of it, and the whole way on tiny weights."""

import json
import math
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import families
import pytest
from scipy.stats import t as student

from arena import study
from arena.evaluation.room import BARE
from arena.studying.arms import MEASURES, Measured, measured_of
from arena.studying.page import Results, page, summary
from arena.studying.pooled import Cell, cells, false_alarms, learned

ARMS = {"wim": ["judge.zeta=1"], "random": ["judge=random"]}


def text(arm: str, prompt: str, **values: float | None) -> Measured:
    """A text of which some measures are known; the others are 0."""
    return Measured(f"{prompt}.{arm}", arm, prompt, "said", {**dict.fromkeys(MEASURES, 0.0), **values})


def seed(
    effects: Mapping[str, float], prompts: int = 20, draw: int = 0, noise: float = 0.0
) -> list[Measured]:
    """Texts of some arms to equally hard prompts: arms differ by their effects on the rating."""
    chance = random.Random(draw)
    hard = [chance.gauss(0, 5) for _ in range(prompts)]
    return [
        text(arm, f"d{i:04d}", rating=hard[i] + effect + chance.gauss(0, noise))
        for arm, effect in effects.items()
        for i in range(prompts)
    ]


def cell(found: Sequence[Cell], measure: str, arm: str) -> Cell:
    """That of a measure and an arm."""
    [only] = [each for each in found if (each.measure, each.arm) == (measure, arm)]
    return only


def test_a_difference_is_the_mean_of_the_seeds_with_students_t() -> None:
    """Seeds of 1, 2 and 3: mean 2, half width t(2) s / sqrt 3, whatever the prompts are like."""
    seeds = {n: seed({"wim": n + 1.0, "random": 0.0}, draw=n) for n in range(3)}
    found = cell(cells(seeds, ["wim"], "random"), "rating", "wim")
    assert found.seeds == pytest.approx({0: 1.0, 1: 2.0, 2: 3.0})
    assert found.over_seeds is not None and found.over_prompts is not None
    assert found.value == pytest.approx(2.0)
    assert found.over_seeds.half == pytest.approx(student.ppf(0.975, 2) / math.sqrt(3))
    assert not found.shown, "4.30 x 1 / 1.73 is more than 2"


def test_prompts_are_paired_so_that_how_hard_they_are_does_not_count() -> None:
    """Prompts differ by 5 points, arms by half a point: the pair shows it, exactly."""
    seeds = {n: seed({"wim": 0.5, "random": 0.0}, draw=n) for n in range(3)}
    found = cell(cells(seeds, ["wim"], "random"), "rating", "wim")
    assert found.value == pytest.approx(0.5) and found.shown


def test_the_interval_over_seeds_covers_at_its_rate() -> None:
    """Of 200 studies of three seeds without a difference 95 % say so."""
    shown = 0
    for number in range(200):
        chance = random.Random(number)
        effects = {n: chance.gauss(0, 0.3) for n in range(3)}
        seeds = {n: seed({"wim": e, "random": 0.0}, 4, number * 3 + n, 0.5) for n, e in effects.items()}
        shown += cell(cells(seeds, ["wim"], "random"), "rating", "wim").shown
    assert 2 <= shown <= 20, "5 % of 200 are 10, with a standard deviation of 3.1"


def test_one_seed_has_no_interval_over_seeds() -> None:
    """Prompts alone say nothing of another seed, and nothing is called shown."""
    found = cell(cells({0: seed({"wim": 9.0, "random": 0.0})}, ["wim"], "random"), "rating", "wim")
    assert found.over_seeds is None and not found.shown
    assert found.result["half_over_seeds"] is None and found.result["half_over_prompts"] is not None


def test_a_measure_that_one_side_lacks_makes_no_pair() -> None:
    """A text that was not rated is left out with its partner, never counted as 0."""
    rows = [text("wim", "a", rating=7.0), text("wim", "b", rating=3.0)]
    rows += [text("random", "a", rating=5.0), text("random", "b", rating=None)]
    assert cell(cells({0: rows}, ["wim"], "random"), "rating", "wim").value == 2.0


def test_rows_come_back_as_they_were() -> None:
    """What is not defined is named, and not 0."""
    made = text("wim", "a", rating=None, likeness=0.5)
    row = json.loads(json.dumps(made.row))
    assert row["rating"] == 0.0 and row["undefined"] == "rating"
    assert measured_of(row) == made


def test_the_end_of_a_run_is_a_mean_and_never_a_minimum() -> None:
    """The last fourth of eight updates: two of them."""
    losses = [0.1, 0.69, 0.69, 0.69, 0.69, 0.69, 0.6, 0.8]
    metrics = [{"loss": loss, "margin": 0.0, "accuracy": 0.5, "kl": 0.0} for loss in losses]
    step = {"exchanges": 8, "pairs": 5, "ties": 2, "abstained": 1, "drafts": 32, "truncated": 4}
    found = learned("wim", 0, metrics, [step, step])
    assert found.end["loss"] == pytest.approx(0.7)
    assert (found.updates, found.pairs, found.exchanges, found.truncated) == (8, 10, 16, 8)
    assert learned("wim", 0, [], []).end == {}


def results(seeds: Mapping[int, Sequence[Measured]]) -> Results:
    """A study of two arms."""
    return Results("wim_study", "tiny", "random", ARMS, seeds, [], None, ["About."])


def test_the_page_says_what_differs_and_how_many_would_by_chance() -> None:
    """A planted difference stands in the sentences; the arms that have not moved are named."""
    effects = {BARE: 0.0, "wim": 0.5, "random": 0.0}
    told = page(results({n: seed(effects, draw=n) for n in range(3)}), [])
    assert (
        "rating by the fixed judge, 1 to 10: differs from that of `random` for `wim` +0.500 ± 0.000." in told
    )
    assert "`wim` has hardly moved: 0.0000 nats/token from untrained." in told
    assert "1 of 8 intervals leave 0 out; about 0.4 would if nothing differed" in told
    assert "| `wim` | `judge.zeta=1` |" in told


def test_without_a_difference_the_page_says_so() -> None:
    """None of the arms; and the summary is the head of the page."""
    effects = {BARE: 0.0, "wim": 0.0, "random": 0.0}
    found = results({n: seed(effects, draw=n) for n in range(3)})
    assert "differs from that of `random` for none of the arms" in page(found, [])
    assert page(found, []).startswith(summary(found).strip()[:200])


def test_lengths_that_moved_are_called_what_they_are() -> None:
    """An arm that writes more may have gained by that alone."""
    rows = [
        text(arm, p, words=w) for p in "abc" for arm, w in ((BARE, 20.0), ("wim", 45.0), ("random", 20.0))
    ]
    told = summary(results({n: rows for n in range(3)}))
    assert "`wim` writes +25.0 ± 0.0 words than untrained: what it gained may be length." in told


def test_false_alarms_are_counted_of_those_that_have_an_interval() -> None:
    """Of one seed there are none to count."""
    assert false_alarms(cells({0: seed({"wim": 1.0, "random": 0.0})}, ["wim"], "random")).startswith("0 of 0")


def plan(root: Path) -> study.Plan:
    """A study of two arms and one seed."""
    return study.Plan("wim_study", root, "wim_arm", ["count=8", "judge.wim.max_new_tokens=8"], ARMS, [0])


def test_an_arm_with_another_judge_has_none_of_the_settings_of_the_confs_own(tmp_path: Path) -> None:
    """It would not know them."""
    made = plan(tmp_path)
    assert made.words(3, "wim") == [
        "conf=wim_arm", "count=8", "judge.wim.max_new_tokens=8", "judge.zeta=1", "seed=3",
    ]  # fmt: skip
    assert made.words(3, "random") == ["conf=wim_arm", "count=8", "judge=random", "seed=3"]


def test_the_first_drafts_are_shared_and_no_others(tmp_path: Path) -> None:
    """All arms begin with equal weights; what they write after their first update is their own."""
    made, rows = plan(tmp_path), [{"id": f"d{n}", "step": n // 2} for n in range(4)]
    made.folder("wim", 0).mkdir(parents=True)
    path = made.folder("wim", 0) / "turns.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
    study._share_first_drafts(made, "random", 0)
    shared = made.folder("random", 0) / "turns.jsonl"
    assert not shared.exists(), "a step that may be torn is not shared"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    study._share_first_drafts(made, "random", 0)
    assert [json.loads(line)["id"] for line in shared.read_text().splitlines()] == ["d0", "d1"]
    shared.write_text("own\n")
    study._share_first_drafts(made, "random", 0)
    assert shared.read_text() == "own\n", "an arm that has begun keeps what it has"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["scale=huge"], "unknown scale 'huge'; allowed are tiny, laptop, full"),
        (["only=[wimm]"], "unknown arm 'wimm', did you mean 'wim'?"),
        (["control=none"], "unknown arm 'none'"),
        (["seeds=[1,1]"], "seeds must differ, got [1, 1]"),
        (["train.lrr=1"], "lrr"),
        (["conf=practice"], "python -m arena.train conf=practice"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    words: Sequence[str],
    told: str,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was found and what is allowed."""
    monkeypatch.setattr(sys, "argv", ["arena.study"])
    with pytest.raises(SystemExit) as ended:
        study.main([*words, "display=quiet"])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert told in message and message.count("\n") == 1, message


ROUGH = "+judge.rater.mass=0"
"""Random weights do not mean to rate: any mass of the labels counts."""


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> None:
    """A study on tiny weights."""
    monkeypatch.setattr(sys, "argv", ["arena.study"])
    arms = [
        f'arms.mixed=["{ROUGH}"]', f'arms.wim=["judge.zeta=1","{ROUGH}"]', "~arms.rating", "~arms.shuffled",
        "~arms.length", "~arms.rating_moving", f'arms.wim_moving=["judge.moving=true","{ROUGH}"]',
    ]  # fmt: skip
    tiny = [f"agents.policy.checkpoint={folder}", "device=cpu", "precision=fp32", "train.lr=1e-2"]
    with pytest.raises(SystemExit) as ended:
        study.main(["scale=tiny", *arms, *tiny, "judge.pair_truncated=true", "display=quiet", *words])
    assert ended.value.code == 0


@pytest.mark.slow
def test_a_tiny_study_ends_in_a_report_and_goes_on_where_it_was(
    checkpoint: Callable[..., Path], smollm2: str, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts or at once: equal numbers; the first drafts of a seed are shared by its arms."""
    folder = checkpoint(families.SMOLLM)
    run(monkeypatch, folder, "only=[mixed]", "seeds=[1]")
    run(monkeypatch, folder)
    root = runs / "wim_study-tiny"
    numbers: dict[str, Any] = json.loads((root / "results.json").read_text())
    assert numbers["seeds"] == [0, 1] and list(numbers["arms"]) == ["mixed", "wim", "random", "wim_moving"]
    assert {each["measure"] for each in numbers["cells"]} >= {"rating", "kl", "words"}
    assert all(each["updates"] > 0 for each in numbers["learned"] if each["arm"] != "random")
    first = {
        arm: [
            (row["id"], row["ids"])
            for row in map(json.loads, (root / arm / "seed-0" / "turns.jsonl").read_text().splitlines())
            if row["step"] == 0
        ]
        for arm in numbers["arms"]
    }
    assert len(first["mixed"]) == 8 and all(own == first["mixed"] for own in first.values())
    report = (root / "README.md").read_text()
    assert "## What it shows" in report and "| `wim` | `judge.zeta=1" in report
    run(monkeypatch, folder)
    assert json.loads((root / "results.json").read_text()) == numbers
