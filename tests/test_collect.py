"""`arena.collect` from its command line: real prompts and weights, a teacher on a server, kills, faults."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import families
import pytest
from chat_server import Chats, Endpoint, completion, serve
from trainers import one_step

from arena.collect import main
from arena.feedback.rows import COLLECT_TABLES
from arena.records import Row
from arena.rundir import rows

DATA = Path(os.environ.get("ARENA_DATA", Path(__file__).parents[1] / "../shared/data")).resolve()
SEATS = ("ada", "bob")


def environment(**more: str) -> dict[str, str]:
    """Offline; one thread where texts are compared."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200", **more}


def run(
    verb: str, *arguments: str, cwd: Path, code: int = 0, **env: str
) -> "subprocess.CompletedProcess[str]":
    """The command, which must end as said."""
    line = [sys.executable, "-m", f"arena.{verb}", *arguments]
    done = subprocess.run(
        line, cwd=cwd, env=environment(**env), capture_output=True, text=True, check=False, timeout=1500
    )
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def tables(folder: Path, names: Sequence[str] = COLLECT_TABLES) -> dict[str, list[Row]]:
    """The rows of a run folder."""
    return {name: list(rows(folder / f"{name}.jsonl")) for name in names}


def timeless(found: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """Rows in the order of their ids, without the clock."""
    return {
        name: sorted(
            ({k: v for k, v in row.items() if k != "ts"} for row in own), key=lambda row: str(row["id"])
        )
        for name, own in found.items()
    }


@pytest.fixture
def small(checkpoint: Callable[..., Path]) -> list[str]:
    """Settings of a quick collection on tiny random weights."""
    folder = checkpoint(families.SMOLLM)
    seats = [f"{place}.checkpoint={folder}" for place in ("agents.ada", "agents.bob", "teacher")]
    limits = [f"{place}.max_new_tokens=12" for place in ("agents.ada", "agents.bob", "teacher")]
    return [
        *seats, *limits, "count=9", "pair_truncated=true", "precision=fp32", "device=cpu", "display=plain",
        "agents.bob.decoding.min_p=0.0", "teacher.decoding.min_p=0.0",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_collection_writes_pairs_a_split_and_a_report(small: list[str], tmp_path: Path) -> None:
    """All kinds for all: counts agree with one another, and the same command adds nothing."""
    done = run("collect", *small, "assignment=all", cwd=tmp_path, OMP_NUM_THREADS="1")
    folder = tmp_path / "runs/by_difficulty"
    found = tables(folder)
    assert Counter(row["kind"] for row in found["feedback"]) == {
        "critique": 18, "refinement": 18, "preference": 9,
    }  # fmt: skip
    pairs = [row for row in found["feedback"] if row["outcome"] == "pair"]
    assert len(found["preferences"]) == len(pairs) > 0
    assert {row["task"] for row in found["preferences"]} <= {"dialogue", "qa", "summary"}
    split = tables(folder, ("train", "valid"))
    ids = {name: {row["id"] for row in own} for name, own in split.items()}
    assert ids["train"] | ids["valid"] == {row["id"] for row in found["preferences"]}
    problems = {name: {row["dialogue"] for row in own} for name, own in split.items()}
    assert not problems["train"] & problems["valid"] and problems["valid"]
    report = (folder / "README.md").read_text(encoding="utf-8")
    assert "nats" in report and "critique" in report
    assert "answers 18 of 18" in done.stdout and "by_difficulty in runs/by_difficulty" in done.stdout
    again = run("collect", *small, "assignment=all", cwd=tmp_path, OMP_NUM_THREADS="1")
    assert "continued from its record" in again.stdout and tables(folder) == found
    shown = run("show", "by_difficulty", "d0000", cwd=tmp_path).stdout
    assert "answer" in shown and "teacher" in shown


@pytest.mark.slow
def test_a_collection_that_is_killed_again_and_again_ends_like_one_that_was_not(
    small: list[str], tmp_path: Path
) -> None:
    """SIGKILL whenever some rows have been added; no row twice, none lost, the same in the end."""
    arguments = [*small, "assignment=all", "chunk=4", "count=6"]
    run("collect", *arguments, "hydra.run.dir=runs/whole", cwd=tmp_path, OMP_NUM_THREADS="1")
    killed, kills = tmp_path / "runs/killed", 0
    line = [sys.executable, "-m", "arena.collect", *arguments, "hydra.run.dir=runs/killed"]
    for more in (1, 9, 20, 14, 30):
        process = subprocess.Popen(
            line, cwd=tmp_path, env=environment(OMP_NUM_THREADS="1"), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        before = written(killed)
        while process.poll() is None and written(killed) < before + more:
            time.sleep(0.02)
        process.kill()
        kills += process.wait(timeout=60) == -signal.SIGKILL
    assert kills >= 3
    run("collect", *arguments, "hydra.run.dir=runs/killed", cwd=tmp_path, OMP_NUM_THREADS="1")
    found = tables(killed)
    assert all(len({row["id"] for row in own}) == len(own) for own in found.values())
    assert timeless(found) == timeless(tables(tmp_path / "runs/whole"))


def written(folder: Path) -> int:
    """Lines in the tables."""
    files = [folder / f"{name}.jsonl" for name in COLLECT_TABLES]
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A server on the loopback."""
    with serve() as server:
        yield server


def remote(server: Endpoint, *more: str) -> list[str]:
    """Settings of a teacher behind a server."""
    return ["agent@teacher=remote", f"teacher.url={server.url}", "teacher.model=tiny", *more]


def local(settings: Sequence[str]) -> list[str]:
    """Settings without those of a local teacher."""
    return [setting for setting in settings if not setting.startswith("teacher.")]


@pytest.mark.slow
def test_a_teacher_that_is_down_ends_the_run_and_the_same_command_goes_on(
    small: list[str], endpoint: Endpoint, tmp_path: Path
) -> None:
    """One line says how often it failed; what was written is kept, and not written again."""
    endpoint.answer = lambda body: (400, {"error": {"message": "no such model"}})
    settings = [*local(small), *remote(endpoint), "assignment=crr", "patience=3", "count=6"]
    cache = {"ARENA_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = run("collect", *settings, cwd=tmp_path, code=1, **cache)
    assert done.stderr.count("\n") == 1 and "teacher gave no reply 3 times in a row" in done.stderr
    assert "what was written is kept" in done.stderr and "no such model" in done.stderr
    folder = tmp_path / "runs/by_difficulty"
    kept = tables(folder)
    assert len(kept["turns"]) == 12 and len(kept["failures"]) >= 3
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"
    endpoint.answer = lambda body: completion(f"words {body['seed']}")
    run("collect", *settings, cwd=tmp_path, **cache)
    after = tables(folder)
    assert after["turns"][:12] == kept["turns"] and len(after["preferences"]) > 0
    assert all(len({row["id"] for row in own}) == len(own) for own in after.values())


@pytest.mark.slow
def test_a_second_collection_elsewhere_costs_no_calls(
    small: list[str], endpoint: Endpoint, tmp_path: Path
) -> None:
    """The teacher's replies are kept by content: another folder, the same replies."""
    endpoint.answer = lambda body: completion(f"[[A]] words {body['seed']}")
    settings = [*local(small), *remote(endpoint), "assignment=all", "count=6"]
    env = {"ARENA_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    run("collect", *settings, "hydra.run.dir=runs/one", cwd=tmp_path, **env)
    calls = len(endpoint.asked)
    assert calls >= 6 * (2 + 2 + 2)
    run("collect", *settings, "hydra.run.dir=runs/two", cwd=tmp_path, **env)
    assert len(endpoint.asked) == calls
    assert timeless(tables(tmp_path / "runs/one")) == timeless(tables(tmp_path / "runs/two"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("assignment=cxp", "assignment='cxp' is not known; give a letter for each group"),
        ("valid=1.5", "valid is the share that is held out"),
        ("problems=file problems.path=broken.jsonl", "broken.jsonl', line 2"),
        ("problems=file problems.path=gone.jsonl", "cannot read the file of problems 'gone.jsonl'"),
        ("~agents.bob", "set samples=2"),
        (
            "agent@agents.bob=remote agents.bob.url=http://127.0.0.1:9/v1 agents.bob.model=m",
            "bob gives no log-probabilities",
        ),
        ("asignment=crp", "unknown key 'asignment', did you mean 'assignment'?"),
        ("conf=self_feedback", "is for another command: python -m arena.revise conf=self_feedback"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    arguments: str, told: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was found, what is allowed; exit code 2 and nothing on record."""
    Path("broken.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"\n', encoding="utf-8")
    refused(main, arguments, told, capsys)
    assert written(runs / "by_difficulty") == 0


def refused(
    command: Callable[[list[str]], None], arguments: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says one line that holds `told`, and exits with 2."""
    with pytest.raises(SystemExit) as ended:
        command(arguments.split())
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1, said
    assert told in said


REAL = [
    "{_target_:arena.problems.Mixed,sources:["
    "{_target_:arena.problems.File,path:DATA/prompts/vicuna_bench.jsonl,column:turns,task:dialogue},"
    "{_target_:arena.problems.File,path:DATA/pairs/oasst_human_ranks.jsonl,column:messages,task:dialogue}]}",
    "{_target_:arena.problems.File,path:DATA/prompts/expertqa_questions.jsonl,column:turns,task:qa}",
    "{_target_:arena.problems.File,path:DATA/scores/summeval_human.jsonl,column:article,task:summary,"
    "form:'Summarise this article in two sentences.\\n\\n{}'}",
]
"""Sixty real prompts: twenty of each task."""


@pytest.fixture
def problems() -> list[str]:
    """Settings that name the real prompts."""
    if not (DATA / "prompts/vicuna_bench.jsonl").exists():
        pytest.skip(f"no real prompts below {DATA}: set ARENA_DATA")
    sources = ",".join(REAL).replace("DATA", str(DATA))
    return ["problems=mixed", f"problems.sources=[{sources}]", "count=60"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL's own
def test_sixty_real_prompts_on_real_weights_with_a_teacher_on_a_server(
    smollm2: str, problems: list[str], endpoint: Endpoint, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """End to end: what comes out is read by arena.show, by datasets and by TRL's DPOTrainer unchanged."""
    from agents.families import SmolLM

    chats = Chats(SmolLM(max_new_tokens=40))
    endpoint.answer = chats
    limits = [f"agents.{seat}.max_new_tokens=48" for seat in SEATS]
    settings = [
        *problems, *remote(endpoint, "teacher.max_new_tokens=40", "teacher.in_flight=32"), *limits,
        "pair_truncated=true", "display=plain", f"teacher.cache={tmp_path / 'replies'}",
    ]  # fmt: skip
    done = run("collect", *settings, cwd=tmp_path)
    folder = tmp_path / "runs/by_difficulty"
    found = tables(folder)
    assert Counter(row["task"] for row in found["problems"]) == {"dialogue": 20, "qa": 20, "summary": 20}
    assert Counter(row["group"] for row in found["problems"]) == {"easy": 20, "medium": 20, "hard": 20}
    assert len(found["difficulties"]) == 120 and all(row["nll"] > 0 for row in found["difficulties"])
    asked = Counter(row["kind"] for row in found["feedback"])
    assert asked["preference"] <= 20 and asked["critique"] >= 38 and asked["refinement"] >= 38
    pairs = Counter(row["kind"] for row in found["preferences"])
    assert pairs["critique"] >= 10 and pairs["refinement"] >= 10
    assert max(chats.batches) > 1, "requests were in flight together"
    print(done.stdout[-2500:], pairs)
    trains(folder / "train.jsonl", checkpoint(families.SMOLLM), tmp_path)
    shown = run("show", "by_difficulty", "all", "--no-pager", cwd=tmp_path).stdout
    assert "easy" in shown and "critique" in shown


def trains(file: Path, model: Path, folder: Path) -> None:
    """One step of TRL's DPOTrainer on a file of pairs."""
    from trl import DPOConfig, DPOTrainer

    one_step(DPOTrainer, DPOConfig, file, model, folder)
