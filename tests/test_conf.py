"""Every conf builds without weights or network, and every mistake is answered in one line."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from agents import Agent, ConfigError
from agents.contrastive import Contrastive
from agents.decoding import Sampling
from arena import run
from arena.config import CONF, check_names, confs, explain, read_text, register, settings, unknown, verb_of
from arena.corpus.reading import Corpus
from arena.train.online_dpo import OnlineDPO
from rewards.judge import Judge
from rewards.pairwise import Pairwise

PARTS = sorted(path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.glob("*/*.yaml"))
"""`agent/smollm`, `judge/wim` and so on."""

REQUIRED = {
    "agent/remote": {"url": "http://127.0.0.1:9/v1", "model": "m"},
    "data/files": {"paths": "[x]"},
    "judge/reward_model": {"agent.adapter": "x"},
    "problems/file": {"path": "x"},
    "problems/questions": {"path": "x"},
    "problems/mixed": {"sources": "[{_target_:arena.problems.Shipped}]"},
    "topics/file": {"path": "x", "column": "y"},
}
"""What a part leaves to the user."""

WEIGHTS = (".safetensors", ".gguf", ".bin", "tokenizer.json")
EVALUATED = [name for name in confs("evaluate") if verb_of(name) == "evaluate"]
"""Confs for evaluations alone."""
FEEDBACK = ("collect", "revise")
"""Commands with confs of their own."""
SCHEMA_OF = {"problems": "collect", "pairwise": "collect", "data": "train", "evaluation": "evaluate"}
"""The command that has a group of parts, if it is not `run`."""

_seen: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event.startswith("socket.") and event != "socket.__new__":
        _seen.append(event)
    elif event == "open":
        path, mode = str(arguments[0]), str(arguments[1] or "r")
        if path.endswith(WEIGHTS) or (set(mode) & set("wax+") and "__pycache__" not in path):
            _seen.append(f"open {path} {mode}")


sys.addaudithook(_watch)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What the body does with sockets and weights, and what it writes."""
    global _seen
    _seen = []
    try:
        yield _seen
    finally:
        _seen = None


def composed(*overrides: str, schema: str = "run") -> DictConfig:
    """The settings of a command, resolved."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(schema, overrides=list(overrides))
    OmegaConf.resolve(cfg)
    return cfg


@pytest.mark.parametrize("name", confs("run"))
def test_a_conf_builds_without_touching_weights_or_network(name: str) -> None:
    """Seats, judge, learner and topics, as the run makes them."""
    cfg = composed(f"conf={name}")
    with watched() as touched:
        seats = {seat: instantiate(part) for seat, part in cfg.agents.items()}
        judge, learners = instantiate(cfg.judge), [instantiate(cfg.train) for _ in cfg.learners]
        topics = instantiate(cfg.topics)
    assert touched == []
    assert len(seats) >= 2 and all(isinstance(agent, Agent) for agent in seats.values())
    assert isinstance(judge, Judge)
    assert learners and all(isinstance(learner, OnlineDPO) for learner in learners)
    assert set(cfg.learners) <= set(seats)
    assert callable(topics)


@pytest.mark.parametrize(("schema", "name"), [(verb, name) for verb in FEEDBACK for name in confs(verb)])
def test_a_conf_of_feedback_builds_without_touching_weights_or_network(schema: str, name: str) -> None:
    """Seats, teacher, judge, problems and comparisons, as the commands make them."""
    cfg = composed(f"conf={name}", schema=schema)
    with watched() as touched:
        seats = [instantiate(part) for part in cfg.agents.values()]
        teacher, judge = instantiate(cfg.teacher), instantiate(cfg.judge)
        problems, pairwise = instantiate(cfg.problems), instantiate(cfg.pairwise)
    assert touched == []
    assert seats and all(isinstance(agent, Agent) for agent in seats)
    assert isinstance(teacher, Agent) if schema == "collect" else teacher is None
    assert isinstance(judge, Judge) if schema == "revise" else judge is None
    assert callable(problems) and isinstance(pairwise, Pairwise)


@pytest.mark.parametrize("name", confs("train"))
def test_a_conf_of_training_builds_without_touching_weights_or_network(name: str) -> None:
    """The agent, its learner, the judge, and where records come from."""
    cfg = composed(f"conf={name}", *(["data.paths=[x]"] if name == "learn" else []), schema="train")
    with watched() as touched:
        [policy] = [instantiate(part) for part in cfg.agents.values()]
        learner, judge = instantiate(cfg.train), instantiate(cfg.judge)
        sources = [instantiate(cfg[key]) for key in ("data", "heldout", "problems")]
    assert touched == []
    assert isinstance(policy, Agent)
    assert hasattr(learner, "fit") != hasattr(learner, "attach")
    assert judge is None or isinstance(judge, Judge)
    assert any(source is not None for source in sources)
    assert all(stage in confs("train") for stage in cfg.stages)


@pytest.mark.parametrize("name", ["critic", "king", "summarize", "sentiment", *EVALUATED])
def test_a_conf_that_is_measured_builds_its_evaluation(name: str) -> None:
    """Without touching weights or network."""
    cfg = composed(f"conf={name}", schema="evaluate")
    with watched() as touched:
        built = instantiate(cfg.evaluation)
    assert touched == [] and callable(built)


def test_every_conf_belongs_to_one_command() -> None:
    """And another command names the one that it is for."""
    by_verb = [name for schema in ("run", *FEEDBACK, "train", "serve", "study") for name in confs(schema)]
    assert sorted([*by_verb, *EVALUATED, "talk"]) == confs() and confs("bench") == confs("run")
    assert confs("evaluate") == sorted([*confs("train"), *EVALUATED])
    assert confs("chat") == sorted([*confs("train"), "talk"])
    with pytest.raises(ConfigError, match="'panel' is for another command: python -m arena.revise"):
        check_names("run", ["conf=panel"])


@pytest.mark.parametrize("part", PARTS)
def test_a_part_builds_in_its_place(part: str) -> None:
    """Every option of every group, under the default conf of a command that has it."""
    group, _, name = part.partition("/")
    place = {"agent": "agents.ada", "decoding": "agents.ada.decoding"}.get(group, group)
    at = f"{group}@{place}" if place != group else group
    overrides = [f"{place}.{key}={value}" for key, value in REQUIRED.get(part, {}).items()]
    schema = SCHEMA_OF.get(group, "run")
    conf = ["conf=learn"] if group == "data" else []
    built = instantiate(OmegaConf.select(composed(*conf, f"{at}={name}", *overrides, schema=schema), place))
    kinds: dict[str, Any] = {
        "agent": Agent,
        "decoding": (Sampling, Contrastive),
        "judge": Judge,
        "data": Corpus,
    }
    if group == "train":
        assert hasattr(built, "fit") != hasattr(built, "attach")
    else:
        assert isinstance(built, kinds[group]) if group in kinds else callable(built)


@pytest.mark.parametrize("name", confs())
def test_a_conf_says_first_what_it_is_needs_and_takes(name: str) -> None:
    """`# what | needs | time`: the table of the README is made of these lines."""
    head = (CONF / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert head.startswith("# ")
    assert [bool(part.strip()) for part in head[2:].split("|")] == [True, True, True]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_says_first_what_it_is(part: str) -> None:
    """In a sentence."""
    head = (CONF / f"{part}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert head.startswith("# ") and head.endswith(".")


def test_the_control_arms_differ_from_the_default_in_the_judge_alone() -> None:
    """Else they would control nothing."""
    default = settings(composed())
    for name in ("random_judge", "length_judge"):
        arm = settings(composed(f"conf={name}"))
        differing = {key for key in {*default, *arm} if default.get(key) != arm.get(key)}
        assert differing and all(key.startswith("judge.") for key in differing), name


def test_settings_are_flat_and_leave_out_what_changes_no_result() -> None:
    """Display and saving may differ when a run goes on."""
    flat = settings(composed("judge.zeta=0.25", "display=quiet"))
    assert flat["judge.zeta"] == 0.25
    assert not {"display", "dry_run", "save_every"} & set(flat)
    assert not any(isinstance(value, dict) for value in flat.values())


def test_a_prompt_is_found_by_name_or_path(tmp_path: Path) -> None:
    """Without the end of its last line."""
    own = tmp_path / "mine.txt"
    own.write_text("Speak of {topic}.\n", encoding="utf-8")
    assert read_text(str(own)) == "Speak of {topic}."
    assert "{topic}" in read_text("expert")


def test_an_unknown_prompt_is_refused_with_those_that_there_are() -> None:
    """As rubrics are."""
    with pytest.raises(ConfigError, match="no text 'export'; shipped are brief, expert, .* or give the path"):
        read_text("export")


def test_an_unknown_name_is_answered_with_what_was_meant() -> None:
    """And with all that is allowed."""
    assert unknown("conf", "duo_", ["duo", "trio"]) == (
        "unknown conf 'duo_', did you mean 'duo'?; allowed are duo, trio"
    )


def test_an_error_without_words_is_still_explained() -> None:
    """By the words of what caused it."""
    try:
        try:
            raise ConfigError("zeta must be in [0, 1]")
        except ConfigError as cause:
            raise RuntimeError("Error in call to target\nfull_key: judge") from cause
    except RuntimeError as error:
        assert explain(error, "run", []) == "zeta must be in [0, 1]"


def ran(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with these arguments, in an empty folder."""
    return subprocess.run(
        [sys.executable, "-m", "arena.run", *arguments],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("conf=mixtral_vs_lama", "unknown conf 'mixtral_vs_lama', did you mean 'mixtral_vs_llama'?"),
        ("topicz=3", "unknown key 'topicz', did you mean 'topics'?"),
        ("judge.zetta=1", "unknown key 'judge.zetta', did you mean 'judge.zeta'?"),
        ("agents.ada.chekpoint=x", "did you mean 'agents.ada.checkpoint'?; allowed are agents.ada."),
        ("train.optim=adam", "unknown key 'train.optim'"),
        ("turns=six", "turns=six"),
        ("turnz=six judge.zetta=1", "unknown key 'turnz', did you mean 'turns'?"),
        ("judge=wimm", "did you mean 'wim'?"),
        ("agent@agents.ada=smolm", "did you mean 'smollm'?"),
        ("train=null", "Config group override must be a string or a list"),
        ("nonsense", "nonsense"),
        ("judge.zeta=2", "zeta weighs WIM against the rating and must be in [0, 1], got 2"),
        ("learners=[eve]", "unknown seat in learners 'eve'; allowed are ada, bob"),
        ("topics=file", "topics.path"),
        ("topics=file topics.path=gone.jsonl topics.column=a", "cannot read the topic file 'gone.jsonl'"),
        ("persona=${text:gone}", "no text 'gone'; shipped are brief, expert"),
    ],
)
def test_a_mistake_is_answered_in_one_line_and_with_exit_code_2(
    arguments: str,
    told: str,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was found, and what is allowed; no traceback, nothing on standard output."""
    monkeypatch.setattr(sys, "argv", ["arena.run"])
    with pytest.raises(SystemExit) as ended:
        run.main(arguments.split())
    done = capsys.readouterr()
    assert done.err.startswith("error: ")
    assert told in done.err
    assert done.err.count("\n") == 1
    assert (done.out, ended.value.code) == ("", 2)


@pytest.mark.parametrize("arguments", ["conf=mixtral_vs_lama", "judge.zeta=2"])
def test_a_process_says_no_more_than_that(arguments: str, tmp_path: Path) -> None:
    """Nor do the libraries that it loads."""
    done = ran(tmp_path, arguments)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert (done.stdout, done.returncode) == ("", 2)


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["conf=nope"], ["turnz=1"]])
def test_what_needs_no_weights_imports_no_torch(arguments: list[str], tmp_path: Path) -> None:
    """Help, the settings, and the answer to a typo come at once."""
    code = (
        "import sys\nfrom arena.run import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "arena.run" in loaded
    assert not {"torch", "transformers", "peft", "datasets", "numpy"} & loaded


def test_the_default_settings_are_shown_without_a_run(tmp_path: Path) -> None:
    """The folder stays empty."""
    done = ran(tmp_path, "--cfg", "job")
    assert "dialogues:" in done.stdout and "_target_: rewards.judge.Judge" in done.stdout
    assert list(tmp_path.iterdir()) == []
