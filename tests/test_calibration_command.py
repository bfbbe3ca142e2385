"""The command that measures a judge, and the runs that ask for what it has found."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import planted_judges as planted
import pytest
from families import LLAMA
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from agents import ConfigError, Scripted
from arena import config, judge, run
from arena.calibration.gate import Start
from arena.calibration.standing import APART
from arena.rundir import rows
from arena.train import __main__ as training

PERFECT = ["judge=random", "judge.rater._target_=planted_judges.Perfect"]
FOLDER = Path("runs/judge-smollm_duo-random")


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power fails here: rows need not wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def composed(*words: str, verb: str = "calibration") -> DictConfig:
    """The settings that a command line means."""
    config.register()
    with initialize_config_dir(str(config.CONF), version_base="1.3"):
        return compose(verb, overrides=list(words))


@pytest.fixture(scope="module")
def perfect() -> DictConfig:
    """The settings of `PERFECT`, composed once: the function of the command takes them."""
    return composed(*PERFECT, "display=quiet")


def measured(settings: DictConfig, folder: Path = FOLDER, **changed: Any) -> int:
    """The exit code of a measurement with other settings."""
    cfg = OmegaConf.merge(settings, changed)
    assert isinstance(cfg, DictConfig)
    return judge.calibrate(cfg, "smollm_duo", folder)


def ran(*arguments: str) -> int:
    """The exit code of the command."""
    with pytest.raises(SystemExit) as ended:
        judge.main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def labelled(path: str = "p.jsonl", count: int = 12, ties: int = 2) -> list[str]:
    """A file of planted pairs, as the setting `pairs`."""
    told = [
        {"prompt": pair.cluster, "a": pair.first.reply.text, "b": pair.second.reply.text, "label": pair.label}
        for pair in planted.pairs(count, ties=ties)
    ]
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    return [path]


def argument(pairs: list[str]) -> str:
    """The same on a command line."""
    return f"pairs=[{','.join(pairs)}]"


def read(path: str) -> dict[str, Any]:
    """A JSON file."""
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def test_a_judge_is_measured_and_leaves_its_verdict(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report of 80 columns, its numbers, a verdict file; again, nothing is asked anew."""
    assert ran(*PERFECT, argument(labelled()), "--plain") == 0
    said = capsys.readouterr().out
    table = said[said.index("labelled pairs of p") :]
    shown = table[: table.index("hint")].splitlines()[:-1]
    assert max(len(line) for line in shown if " done " not in line) <= 80
    assert "Better than the longest-answer judge: yes" in said
    folder = "runs/judge-smollm_duo-random"
    verdict = read(f"{folder}/verdict.json")
    assert verdict["better_than_longer"] is True and verdict["sets"] == {"p": 14}
    assert verdict["agreement"]["value"] == 1.0 and verdict["way"] == "pointwise"
    agreement = [one for one in read(f"{folder}/results.json")["findings"] if one["measure"] == "agreement"]
    assert [one["arm"] for one in agreement] == ["judge", "longer", "first", "random"]
    assert [one["against"] for one in agreement] == ["", "judge", "judge", "judge"]
    report = Path(folder, "README.md").read_text(encoding="utf-8")
    assert "config_name: verdicts" in report and "labelled pairs of p" in report
    before = list(rows(Path(folder, "verdicts.jsonl")))
    assert ran(*PERFECT, argument(labelled()), "-q") == 0
    assert list(rows(Path(folder, "verdicts.jsonl"))) == before and len(before) == 28


def test_results_are_printed_for_programs(
    runs: Path, perfect: DictConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one line at the end."""
    assert measured(perfect, pairs=labelled(), display="json") == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "results" and last["counts"]["pairs"] == 14


def test_a_judge_that_compares_has_a_folder_of_its_own(runs: Path) -> None:
    """Both orders of each pair, and its comparisons on record."""
    voice = ["pairwise=choice", "judge.agent={_target_:planted_judges.Voice,rule:first}"]
    assert ran(*voice, argument([*labelled(), *labelled("q.jsonl", 6, 0)]), "-q") == 0
    folder = "runs/judge-smollm_duo-choice"
    found = {(one["measure"], one["arm"]): one for one in read(f"{folder}/results.json")["findings"]}
    assert found["flip rate", "judge"]["found"]["value"] == 1.0
    assert found["q: first place chosen", "judge"]["found"]["value"] == 1.0
    comparisons = list(rows(Path(folder, "comparisons.jsonl")))
    assert len(comparisons) == 20 and {row["choices"] for row in comparisons} == {"A A"}
    assert read(f"{folder}/verdict.json")["way"] == "pairwise"


def test_ratings_attacks_and_omissions_stand_in_the_same_report(runs: Path, perfect: DictConfig) -> None:
    """Which label was taken is said, and the numbers go into the verdict."""
    row = {"prompt": "Q", "response": "good", "scores": {"overall": 4, "wit": 1}, "scale": [1, 5]}
    others = [
        {**row, "prompt": f"Q{i}", "response": "poor", "scores": {"overall": 1 + i, "wit": 1}}
        for i in range(3)
    ]
    Path("s.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (row, *others)), encoding="utf-8")
    assert measured(perfect, scores=["s.jsonl"], parts=["labels", "attacks", "omissions"], most=6) == 0
    folder = "runs/judge-smollm_duo-random"
    report = Path(folder, "README.md").read_text(encoding="utf-8")
    assert "The label that is taken of each file of ratings is s: overall" in report
    measures = {one["measure"] for one in read(f"{folder}/verdict.json")["results"]}
    assert {"s: Spearman's rho", "attack succeeds", "complete beats key fact removed"} <= measures
    verdict = read(f"{folder}/verdict.json")
    assert verdict["agreement"] is None and verdict["better_than_longer"] is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"pairs": ["none.jsonl"]}, "no file 'none.jsonl'"),
        ({"limit": -1}, "limit is a number of pairs"),
        ({"parts": ["label"]}, "parts=['label'] are not known; allowed are labels, attacks"),
        ({"pairs": ["p.jsonl", "p.jsonl"]}, "or one is named twice"),
        (
            {"pairwise": {"_target_": "rewards.pairwise.Pairwise"}, "scores": ["s.jsonl"]},
            "scores are of answers that are rated alone",
        ),
        ({"pairs": []}, "no labelled pairs to measure the judge on"),
        ({"judge": None}, "this conf has no judge to measure: name one by judge=NAME"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    runs: Path, perfect: DictConfig, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], told: str
) -> None:
    """Before anybody is asked."""
    monkeypatch.delenv("ARENA_DATA", raising=False)
    labelled()
    rated = {"prompt": "Q", "response": "good", "score": 4, "scale": [1, 5]}
    Path("s.jsonl").write_text(json.dumps(rated) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        measured(perfect, **({"pairs": ["p.jsonl"]} | changed))
    assert told in str(raised.value)


def test_a_refusal_is_one_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the stream of errors, with exit code 2."""
    assert ran(*PERFECT, "pairs=[none.jsonl]") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "no file 'none.jsonl'" in line


def test_without_names_the_usual_files_are_taken(
    runs: Path, perfect: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of ARENA_DATA; and a part of conf/data is known by its name."""
    Path("pairs").mkdir()
    monkeypatch.setenv("ARENA_DATA", str(Path.cwd()))
    labelled("pairs/pandalm_human.jsonl")
    labelled("pairs/oasst_human_ranks.jsonl", 4, 0)
    assert measured(perfect) == 0
    assert read("runs/judge-smollm_duo-random/verdict.json")["sets"] == {"pandalm_human": 14}
    assert measured(perfect, Path("runs/judge-named"), pairs=["oasst"]) == 0
    assert read("runs/judge-named/verdict.json")["sets"] == {"oasst_human_ranks": 4}


def test_changed_files_do_not_continue_a_measurement(runs: Path, perfect: DictConfig) -> None:
    """What is on record was said of others."""
    assert measured(perfect, pairs=labelled()) == 0
    with pytest.raises(ConfigError, match="was started with another items"):
        measured(perfect, pairs=labelled(count=10))


@pytest.mark.parametrize(
    ("verb", "words", "seat"),
    [
        ("run", ["conf=zeta_sweep", "judge=rating", "judge.tie_margin=0.3", "precision=fp32"], ""),
        ("run", ["conf=smollm_vs_qwen", "agents.qwen.checkpoint=mine", "turns=2"], "qwen"),
        ("train", ["conf=sentiment_ppo", "train.lr=0.1", "judge.agent.adapter=mine", "runs=there"], ""),
    ],
)
def test_the_command_that_a_run_names_measures_the_judge_of_that_run(
    verb: str, words: list[str], seat: str
) -> None:
    """The same settings of the judge, and the same agent, to the last one."""
    run = composed(*words, verb=verb)
    seats = {name: Scripted([""]) for name in run.agents}
    conf = words[0].removeprefix("conf=")
    command = shlex.split(Start(conf, words[1:], seats, [], Path(run.runs)).measuring(seat))
    assert command[:3] == ["python", "-m", "arena.judge"]
    judged = composed(*(word for word in command[3:] if not word.startswith("hydra.")))
    for cfg in (run, judged):
        OmegaConf.resolve(cfg)
    for key in set(run.judge) - set(APART):
        assert run.judge[key] == judged.judge[key], key
    own = run.judge.agent or run.agents[seat or next(iter(run.agents))]
    found = judged.judge.agent or next(iter(judged.agents.values()))
    assert {key: own[key] for key in own if key != "system"} == {
        key: found[key] for key in found if key != "system"
    }


@pytest.mark.slow
def test_training_says_what_is_known_of_its_judge(
    checkpoint: Any, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of the arena and a training: not measured, then measured, then refused."""
    tiny = checkpoint(LLAMA)
    agents = [f"agents.{seat}.checkpoint={tiny}" for seat in ("ada", "bob")]
    quick = ["precision=fp32", "device=cpu", "judge=rating", "+judge.rater.mass=0"]
    small = [
        "dialogues=1",
        "turns=1",
        "drafts=2",
        "agents.ada.max_new_tokens=4",
        "agents.bob.max_new_tokens=4",
    ]

    def begun(main: Any, *arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        told = capsys.readouterr()
        return int(str(ended.value.code)), told.out + told.err

    code, said = begun(run.main, *agents, *quick, *small, "--plain")
    assert code == 0 and "was never measured: python -m arena.judge conf=smollm_duo" in said
    named = said.partition("was never measured: python -m arena.judge ")[2].partition(" does it")[0]
    code, said = begun(run.main, *agents, *quick, *small, "judge.gate=require", "hydra.run.dir=runs/refused")
    assert code == 2 and "judge.gate=require" in said
    assert not list(rows(Path("runs/refused/turns.jsonl")))
    assert begun(judge.main, *shlex.split(named), argument(labelled()), "-q")[0] == 0
    code, said = begun(run.main, *agents, *quick, *small, "hydra.run.dir=runs/known", "--plain")
    assert code == 0 and "ALARM     judge_not_better" in said, said
    assert "**judge_not_better**" in Path("runs/known/README.md").read_text(encoding="utf-8")
    learner = [f"agents.policy.checkpoint={tiny}", "agents.policy.max_new_tokens=4", *quick]
    sizes = ["count=4", "batch=2", "drafts=2", "valid=0"]
    code, said = begun(training.main, *learner, *sizes, "judge.gate=require")
    assert code == 2 and "better than the longest-answer judge" in said, said
    code, said = begun(training.main, *learner, *sizes, "hydra.run.dir=runs/warned", "--plain")
    assert code == 0 and "ALARM     judge_not_better" in said, said
