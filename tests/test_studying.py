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

from agents import ConfigError
from arena import study
from arena.evaluation.room import BARE
from arena.studying.arms import MEASURES, Measured, measured_of
from arena.studying.page import Results, page, summary
from arena.studying.pooled import AT_LENGTH, Cell, cells, false_alarms, learned
from arena.studying.same_drafts import with_another_wim
from arena.studying.sharing import check_equal, share_first_drafts
from rewards.verdict import Verdict

ARMS = {"wim": ["judge.zeta=1"], "random": ["judge=random"]}


def text(arm: str, prompt: str, **values: float | None) -> Measured:
    """A text of which some measures are given; the others are 0, and those that are None not defined."""
    known = {**dict.fromkeys(MEASURES, 0.0), **values}
    defined = {name: value for name, value in known.items() if value is not None}
    return Measured(f"{prompt}.{arm}", arm, prompt, defined)


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
    """What is not defined has no row, and no number."""
    made = [text("wim", "a", rating=None, likeness=0.5), text("wim", "b")]
    rows = json.loads(json.dumps([row for each in made for row in each.rows]))
    assert ("a.wim", "rating") not in [(row["of"], row["measure"]) for row in rows]
    assert len({row["id"] for row in rows}) == len(rows) == 2 * len(MEASURES) - 1
    assert measured_of(rows) == made


def test_the_rating_at_equal_length_is_what_words_do_not_explain() -> None:
    """Ratings rise by 0.8 for each e-fold of words, and by 0.3 for being of the arm."""
    seeds = {}
    for number in range(3):
        chance, rows = random.Random(number), []
        for i in range(30):
            hard, words = chance.gauss(0, 2), chance.randint(20, 60)
            more = words * chance.choice([1, 2, 3]) - 1 + words
            rows += [text("random", f"d{i}", rating=hard, words=words - 1.0)]
            gained = 0.3 + 0.8 * math.log((more + 1) / words) + chance.gauss(0, 0.01)
            rows += [text("wim", f"d{i}", rating=hard + gained, words=float(more))]
        seeds[number] = rows
    found = cells(seeds, ["wim"], "random")
    equal = cell(found, AT_LENGTH, "wim")
    assert cell(found, "rating", "wim").value > 0.8
    assert equal.value == pytest.approx(0.3, abs=0.03) and equal.shown
    assert AT_LENGTH not in {each.measure for each in cells(seeds, ["wim"], "")}, "it is of differences"


def test_margins_are_kept_by_their_step() -> None:
    """A seed without a pair in a step has no margin there, and the next one stays where it was."""
    metrics = [
        {"step": s, "loss": 0.7, "margin": m, "accuracy": 0.5, "kl": 0.0} for s, m in ((0, 0.1), (2, 0.3))
    ]
    assert learned("wim", 0, metrics, []).margins == {0: 0.1, 2: 0.3}


def test_the_end_of_a_run_is_a_mean_and_never_a_minimum() -> None:
    """The last fourth of sixteen updates; of six, three."""
    losses = [0.1, *[0.69] * 11, 0.6, 0.8, 0.7, 0.7]
    metrics = [
        {"step": n, "loss": loss, "margin": 0.0, "accuracy": 0.5, "kl": 0.0} for n, loss in enumerate(losses)
    ]
    step = {"exchanges": 8, "pairs": 5, "ties": 2, "abstained": 1, "drafts": 32, "truncated": 4}
    found = learned("wim", 0, metrics, [step, step])
    assert found.end["loss"] == pytest.approx(0.7)
    assert (found.updates, found.pairs, found.exchanges, found.truncated) == (16, 10, 16, 8)
    assert learned("wim", 0, metrics[:6], []).end["loss"] == pytest.approx(0.69)
    assert learned("wim", 0, [], []).end == {}


def results(seeds: Mapping[int, Sequence[Measured]]) -> Results:
    """A study of two arms."""
    return Results("wim_study", "tiny", "random", [("wim", "random")], ARMS, seeds, [], None, ["About."])


def test_the_page_says_what_differs_and_how_many_would_by_chance() -> None:
    """A planted difference stands in the sentences; the arms that have not moved are named."""
    effects = {BARE: 0.0, "wim": 0.5, "random": 0.0}
    told = page(results({n: seed(effects, draw=n) for n in range(3)}), [])
    assert "rating by the fixed judge, 1 to 10: shown are `wim` - `random` +0.500 ± 0.000." in told
    assert "`wim` has hardly moved: +0.0000 nats/token from untrained." in told
    assert "1 of 3 intervals leaves 0 out; about 0.2 would by chance if nothing differed" in told
    assert "| `wim` | **+0.500 ± 0.000** (0.000) |" in told
    assert "| `wim` | `judge.zeta=1` |" in told


def test_without_a_difference_the_page_says_so() -> None:
    """None of the arms; and the summary is the head of the page."""
    effects = {BARE: 0.0, "wim": 0.0, "random": 0.0}
    found = results({n: seed(effects, draw=n) for n in range(3)})
    assert "rating by the fixed judge, 1 to 10: no difference is shown." in page(found, [])
    assert page(found, []).startswith(summary(found).strip()[:200])


def test_lengths_that_moved_are_called_what_they_are() -> None:
    """An arm that writes more may have gained by that alone."""
    rows = [
        text(arm, p, words=w) for p in "abc" for arm, w in ((BARE, 20.0), ("wim", 45.0), ("random", 20.0))
    ]
    told = summary(results({n: rows for n in range(3)}))
    told_of = "The texts of `wim` are longer than those of `random`, by 25.0 ± 0.0 words"
    assert told_of in told and "those of `random` are longer" not in told


def test_false_alarms_are_counted_of_those_that_have_an_interval() -> None:
    """Of one seed there are none to count."""
    assert false_alarms(cells({0: seed({"wim": 1.0, "random": 0.0})}, ["wim"], "random")).startswith("0 of 0")


def plan(root: Path) -> study.Plan:
    """A study of two arms and one seed."""
    return study.Plan(
        "wim_study",
        root,
        "wim_arm",
        ["count=8", "judge.wim.max_new_tokens=8", "judge.pair_truncated=true"],
        ARMS,
        [0],
    )


def test_an_arm_with_another_judge_has_none_of_the_settings_of_the_confs_own(tmp_path: Path) -> None:
    """It would not know them."""
    made = plan(tmp_path)
    assert made.words(3, "wim") == [
        "conf=wim_arm", "count=8", "judge.wim.max_new_tokens=8", "judge.pair_truncated=true",
        "judge.zeta=1", "seed=3",
    ]  # fmt: skip
    assert made.words(3, "random") == [
        "conf=wim_arm", "count=8", "judge.pair_truncated=true", "judge=random", "seed=3",
    ]  # fmt: skip


SETTINGS = {"seed": 0, "agents.ada.max_new_tokens": 8, "judge.zeta": 1.0}


def trained(folder: Path, settings: Mapping[str, Any], steps: int) -> Path:
    """An arm that has drafted twice in each of some steps."""
    folder.mkdir(parents=True)
    rows = [{"id": f"d{n}", "step": n // 2, "content": folder.name} for n in range(2 * steps)]
    (folder / "turns.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def test_the_first_drafts_are_shared_and_no_others(tmp_path: Path) -> None:
    """All arms begin with equal weights; what they write after their first update is their own."""
    own, other = tmp_path / "own", trained(tmp_path / "other", {**SETTINGS, "judge.zeta": 0.0}, 2)
    assert share_first_drafts(own, SETTINGS, [tmp_path / "gone", other]) == other
    taken = [json.loads(line) for line in (own / "turns.jsonl").read_text().splitlines()]
    assert [(row["id"], row["content"]) for row in taken] == [("d0", "other"), ("d1", "other")]
    assert share_first_drafts(own, SETTINGS, [trained(tmp_path / "third", SETTINGS, 2)]) is None


def test_drafts_of_other_settings_or_of_half_a_step_are_not_taken(tmp_path: Path) -> None:
    """They would not be what the arm writes itself."""
    longer = trained(tmp_path / "longer", {**SETTINGS, "agents.ada.max_new_tokens": 16}, 2)
    torn = trained(tmp_path / "torn", SETTINGS, 1)
    assert share_first_drafts(tmp_path / "own", SETTINGS, [longer, torn]) is None
    assert not (tmp_path / "own").exists()


def agreed(folder: Path, **what: Mapping[str, str]) -> Path:
    """A folder with what its run has agreed on."""
    folder.mkdir()
    for name, value in what.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def test_arms_with_other_prompts_or_weights_are_not_compared(tmp_path: Path) -> None:
    """An arm whose judge has weights of its own is."""
    records, bf16 = {"held out": "9 records, aa"}, {"policy": "x; bf16 on cpu"}
    one = agreed(tmp_path / "one", records=records, identity={**bf16, "embedder": "y"})
    two = agreed(tmp_path / "two", records=records, identity=bf16)
    check_equal({"wim": one, "random": two})
    leak = agreed(tmp_path / "leak", records={"held out": "8 records, bb"}, identity=bf16)
    with pytest.raises(ConfigError, match="wim and length cannot be compared: held out is '9 records, aa'"):
        check_equal({"wim": one, "random": two, "length": leak})
    nf4 = agreed(tmp_path / "nf4", records=records, identity={"policy": "x; nf4 on cuda"})
    with pytest.raises(ConfigError, match="policy is 'x; bf16 on cpu' and 'x; nf4 on cuda'"):
        check_equal({"wim": one, "length": nf4})


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


def test_another_drafts_wim_makes_another_reward() -> None:
    """R = (7.75 - 5.5) / 4.5 = 0.5: 0.6 x 0.5 + 0.4 x 0.2 in place of 0.6 x 0.5 + 0.4 x 0.8."""
    own = Verdict("a", "j", rating=7.75, cosine=0.8, cosine_shuffled=0.2, reward=0.62, scale="rating+wim")
    other = with_another_wim(own, 0.4, "centred")
    assert (other.cosine, other.reward) == (0.2, pytest.approx(0.38))


def test_one_seed_tells_nothing_of_differences() -> None:
    """Absence of an interval is no absence of a difference."""
    told = summary(results({0: seed({BARE: 0.0, "wim": 9.0, "random": 0.0})}))
    assert "nothing is told of the differences" in told and "no difference is shown" not in told


def test_what_may_have_gone_unseen_is_told() -> None:
    """Where no difference is shown, how large it may be."""
    seeds = {n: seed({BARE: 0.0, "wim": n - 1.0, "random": 0.0}, draw=n) for n in range(3)}
    half = student.ppf(0.975, 2) / math.sqrt(3)
    assert f"no difference is shown. One of less than {half:.3f} may have gone unseen." in summary(
        results(seeds)
    )


ROUGH = "+judge.rater.mass=0"
"""Random weights do not mean to rate: any mass of the labels counts."""


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> None:
    """A study on tiny weights."""
    monkeypatch.setattr(sys, "argv", ["arena.study"])
    tiny = [f"agents.policy.checkpoint={folder}", "device=cpu", "precision=fp32", "train.lr=1e-2"]
    with pytest.raises(SystemExit) as ended:
        study.main(["scale=tiny", *tiny, "display=quiet", *words])
    assert ended.value.code == 0


TWO = [
    f'arms.mixed=["{ROUGH}"]', "~arms.rating", "~arms.wim", "~arms.shuffled", "~arms.length",
    "~arms.rating_moving", "~arms.wim_moving",
]  # fmt: skip
FOUR = [
    f'arms.mixed=["{ROUGH}"]', "~arms.rating", f'arms.wim=["judge.zeta=1","{ROUGH}"]', "~arms.shuffled",
    "~arms.length", "~arms.rating_moving", f'arms.wim_moving=["judge.moving=true","{ROUGH}"]',
]  # fmt: skip


def numbers_of(root: Path) -> dict[str, Any]:
    """What a study has found."""
    found: dict[str, Any] = json.loads((root / "results.json").read_text())
    return found


@pytest.mark.slow
def test_a_tiny_study_goes_on_where_it_was_and_takes_more_arms(
    checkpoint: Callable[..., Path], smollm2: str, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts or at once: equal numbers; the first drafts of a seed are shared by its arms."""
    folder, parts, once = checkpoint(families.SMOLLM), runs / "wim_study-tiny", runs / "once"
    run(monkeypatch, folder, *TWO, f"hydra.run.dir={once}")
    run(monkeypatch, folder, *TWO, "only=[mixed]", "seeds=[1]")
    assert not (parts / "README.md").exists() and not (parts / "random").exists()
    run(monkeypatch, folder, *TWO)
    assert numbers_of(parts) == numbers_of(once)
    done = [*parts.rglob("*.jsonl"), *(parts / "measured").rglob("run.json")]
    kept = {path: path.stat().st_mtime_ns for path in done}
    run(monkeypatch, folder, *FOUR)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "what was done is not done again"
    numbers = numbers_of(parts)
    assert numbers["seeds"] == [0, 1] and list(numbers["arms"]) == ["mixed", "wim", "random", "wim_moving"]
    assert {each["measure"] for each in numbers["cells"]} >= {"rating", "moved", "words"}
    assert all(each["updates"] > 0 for each in numbers["learned"] if each["arm"] != "random")
    first = {
        arm: [
            (row["id"], row["ids"])
            for row in map(json.loads, (parts / arm / "seed-0" / "turns.jsonl").read_text().splitlines())
            if row["step"] == 0
        ]
        for arm in numbers["arms"]
    }
    assert len(first["mixed"]) == 8 and all(own == first["mixed"] for own in first.values())
    report = (parts / "README.md").read_text()
    assert "Alarms of the 8 trainings: " in report
    assert "## What it shows" in report and "| `wim` | `judge.zeta=1" in report


@pytest.mark.slow
def test_an_arm_that_diverges_is_left_out_and_told(
    checkpoint: Callable[..., Path], smollm2: str, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are measured and reported all the same."""
    broken = [
        "~arms.mixed", "drafts_of=random",
        '+arms.broken=["train.lr=1e30","judge=length"]',
    ]  # fmt: skip
    run(monkeypatch, checkpoint(families.SMOLLM), *TWO[1:], *broken, "seeds=[0]")
    report = (runs / "wim_study-tiny" / "README.md").read_text()
    assert "Left out: broken, seed 0: training diverged" in report
    assert list(numbers_of(runs / "wim_study-tiny")["arms"]) == ["random"]
