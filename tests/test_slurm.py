"""The job scripts on a real SLURM of one node: jobs start, are stopped in every way there is, and go on."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cluster import PATIENCE, SCRIPT, Cluster

from arena.rundir import TABLES, rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
TALK = (
    "judge=random precision=fp32 device=cpu dialogues=4 turns=10 drafts=4 seed=1 save_every=3 display=plain "
    "agents.ada.checkpoint=tiny agents.bob.checkpoint=tiny "
    "agents.ada.max_new_tokens=48 agents.bob.max_new_tokens=48"
).split()
"""A run that trains both seats in about five seconds; its weights are below ARENA_MODELS."""

STAND_IN = r"""#!/usr/bin/env bash
[ "$RUDE" ] || trap 'exit 75' TERM
{ printf '%s\n' "$@"; env; echo ----; } >>"$NOTES"
[ "${SLURM_RESTART_COUNT-}${ARENA_RESTARTS-}" ] || while sleep 0.1; do :; done
"""
"""In place of python: notes its arguments and its environment; runs until SIGTERM unless it is a restart."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without any settings of the user or of a job that these tests may run in."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("agents", "rewards", "arena", "conf", "jobs"):
        (checkout / name).symlink_to(ROOT / name)
    (checkout / "logs").mkdir()
    folder = tempfile.mkdtemp(prefix="slurm-")  # munge wants its socket where everybody can reach it
    script = str(ROOT / "tests" / "slurm.sh")
    try:
        up = subprocess.run([script, "up", folder], text=True, capture_output=True, timeout=600)
        if up.returncode == 69:
            pytest.skip(up.stderr.strip().splitlines()[-1])
        assert up.returncode == 0, up.stderr
        ours = ("SLURM_", "SBATCH_", "ARENA_", "HF_", "OMP_", "CUDA_")
        others = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        yield Cluster(checkout, {**others, "SLURM_CONF": up.stdout.strip(), "ARENA_VENV": sys.prefix})
    finally:
        subprocess.run([script, "down", folder], check=True, timeout=PATIENCE)
        shutil.rmtree(folder)


@pytest.fixture
def cluster(slurm: Cluster) -> Iterator[Cluster]:
    """The cluster; pytest shows what its jobs did if the test fails."""
    yield slurm
    slurm.describe()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ARENA_MODELS: in it `tiny`, which ends its turns often enough to be paired."""
    import families
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("models")
    weights = families.save(families.SMOLLM, folder / "tiny") / "model.safetensors"
    state = load_file(weights)
    state["model.embed_tokens.weight"][families.tokenizer(families.SMOLLM).eos_token_id] *= 1.6
    save_file(state, weights, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def unstopped(slurm: Cluster, models: Path) -> Path:
    """The folder of a run that nobody stopped."""
    job = slurm.submit(*TALK, ARENA_MODELS=str(models))
    assert slurm.state(job) == "COMPLETED", slurm.log(job)
    return slurm.checkout / "runs" / "smollm_duo"


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """Variables that put a small script in the place of python, which takes notes."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(STAND_IN, encoding="utf-8")
    python.chmod(0o755)
    return {"ARENA_VENV": str(tmp_path), "NOTES": str(tmp_path / "notes"), "RUDE": ""}


def notes(variables: Mapping[str, str]) -> list[list[str]]:
    """What the stand-in noted at each start: its arguments, then variables."""
    path = Path(variables["NOTES"])
    starts = path.read_text(encoding="utf-8").split("----\n") if path.exists() else [""]
    return [start.splitlines() for start in starts[:-1]]


def contents(run: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of a run, without what differs between two equal runs: when it was and how long it took."""
    return {
        table: [
            {key: value for key, value in row.items() if key != "ts" and not key.startswith("seconds")}
            for row in rows(run / f"{table}.jsonl")
        ]
        for table in TABLES
    }


def adapters(run: Path) -> dict[str, bytes]:
    """The adapters of the newest checkpoint."""
    newest = max((run / "checkpoints").glob("step-*"))
    return {path.parent.name: path.read_bytes() for path in newest.glob("*/adapter_model.safetensors")}


def stopped_half_way(cluster: Cluster, name: str, models: Path, *command: str) -> str:
    """A job of the usual run in runs/NAME, which `command` stops once it has trained a little."""
    job = cluster.submit(*TALK, f"hydra.run.dir=runs/{name}", ARENA_MODELS=str(models))
    metrics = cluster.checkout / "runs" / name / "metrics.jsonl"
    cluster.await_(lambda: metrics.exists() and metrics.read_text().count("\n") >= 3)
    assert cluster.run(*command, job).returncode == 0
    return job


def test_a_job_runs_the_local_command_and_logs_below_logs(cluster: Cluster, unstopped: Path) -> None:
    """The run is done, in the folder of its conf, and the log tells its story."""
    info = json.loads((unstopped / "run.json").read_text(encoding="utf-8"))
    counts = {table: len(found) for table, found in contents(unstopped).items()}
    assert info["status"] == "done"
    assert counts["turns"] == 4 * 10 * 4
    assert counts["metrics"] >= 6
    logs = [path.read_text(encoding="utf-8") for path in (cluster.checkout / "logs").glob("arena-*.out")]
    assert any(re.search("done +runs/smollm_duo", log) for log in logs)


@pytest.mark.parametrize(
    "command",
    [("scontrol", "requeue"), ("scancel", "--signal=TERM")],
    ids=["requeued_from_outside", "warned_of_the_time_limit"],
)
def test_a_stopped_job_goes_on_to_what_an_unstopped_one_gives(
    cluster: Cluster, unstopped: Path, models: Path, command: tuple[str, ...]
) -> None:
    """The same job starts twice, continues its run, and ends with the same rows and the same adapters."""
    job = stopped_half_way(cluster, command[0], models, *command)
    assert cluster.state(job) == "COMPLETED"
    assert cluster.show(job)["Restarts"] == "1"
    run = cluster.checkout / "runs" / command[0]
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert (info["status"], info["attempt"]) == ("done", 2)
    assert contents(run) == contents(unstopped)
    assert adapters(run) == adapters(unstopped)
    assert adapters(run).keys() == {"ada", "bob"}


def test_weights_are_staged_on_the_node_and_removed_again(cluster: Cluster, models: Path) -> None:
    """The run finds its checkpoint in the copy alone."""
    few = ("dialogues=1", "turns=1", "drafts=1", "learners=[]", "hydra.run.dir=runs/staged")
    job = cluster.submit(*TALK, *few, ARENA_STAGE=str(models / "tiny"), SLURM_TMPDIR="/of/another/job")
    assert cluster.state(job) == "COMPLETED"
    [scratch] = re.findall(r"staged .* in (\S+)/models", cluster.log(job))
    assert not Path(scratch).exists()


def test_a_folder_to_stage_that_is_not_there_is_an_error(cluster: Cluster, stand_in: dict[str, str]) -> None:
    """The job fails before the run begins."""
    job = cluster.submit(ARENA_STAGE="no/such/folder", **stand_in)
    assert cluster.state(job) == "FAILED"
    assert "ARENA_STAGE names no/such/folder" in cluster.log(job)
    assert notes(stand_in) == []


def test_arguments_with_spaces_and_quotes_survive_a_restart(
    cluster: Cluster, stand_in: dict[str, str]
) -> None:
    """What the program is given is what sbatch was given, both times."""
    odd = ["persona='It''s \"so\"  said'", "opening=$HOME * \\", "-v", ""]
    job = cluster.submit(*odd, **stand_in)
    cluster.await_(lambda: len(notes(stand_in)) == 1)
    cluster.run("scancel", "--signal=TERM", job)
    assert cluster.state(job) == "COMPLETED"
    given = [start[: len(odd) + 2] for start in notes(stand_in)]
    assert given == [["-m", "arena.run", *odd]] * 2


def test_the_step_gets_the_threads_and_gpus_of_the_job_and_no_hub(
    cluster: Cluster, stand_in: dict[str, str]
) -> None:
    """The node pretends to have GPUs."""
    job = cluster.submit(options="--cpus-per-task=3 --gpus-per-node=2", **stand_in)
    cluster.await_(lambda: len(notes(stand_in)) == 1)
    cluster.run("scancel", job)
    assert {"OMP_NUM_THREADS=3", "CUDA_VISIBLE_DEVICES=0,1", "HF_HUB_OFFLINE=1"} <= {*notes(stand_in)[0]}


def test_a_signal_before_the_program_can_take_it_restarts_the_job(
    cluster: Cluster, stand_in: dict[str, str]
) -> None:
    """A program that SIGTERM kills has lost nothing."""
    job = cluster.submit(**{**stand_in, "RUDE": "yes"})
    cluster.await_(lambda: len(notes(stand_in)) == 1)
    cluster.run("scancel", "--signal=TERM", job)
    assert cluster.state(job) == "COMPLETED"
    assert len(notes(stand_in)) == 2


def test_where_requeueing_is_refused_a_new_job_goes_on(cluster: Cluster, stand_in: dict[str, str]) -> None:
    """The new job has the arguments and the resources, and ends well; the old one does not count as done."""
    options = "--no-requeue --gpus-per-node=1 --time=7 --mem=3G --cpus-per-task=2"
    job = cluster.submit("a b", options=options, **stand_in)
    cluster.await_(lambda: len(notes(stand_in)) == 1)
    cluster.run("scancel", "--signal=TERM", job)
    assert cluster.state(job) == "FAILED"
    assert cluster.show(job)["ExitCode"] == "75:0"
    successor = re.findall(r"Submitted batch job (\d+)", cluster.log(job))[0]
    assert cluster.state(successor) == "COMPLETED"
    old, new = cluster.show(job), cluster.show(successor)
    kept = ("JobName", "TimeLimit", "MinMemoryNode", "NumCPUs", "TresPerNode")
    assert {key: new[key] for key in kept} == {key: old[key] for key in kept}
    assert [start[:3] for start in notes(stand_in)] == [["-m", "arena.run", "a b"]] * 2


def test_a_job_is_not_restarted_for_ever(cluster: Cluster, stand_in: dict[str, str]) -> None:
    """ARENA_MAX_RESTARTS counts both kinds of restart."""
    job = cluster.submit(ARENA_MAX_RESTARTS="0", **stand_in)
    cluster.await_(lambda: len(notes(stand_in)) == 1)
    cluster.run("scancel", "--signal=TERM", job)
    assert cluster.state(job) == "FAILED"
    assert "ARENA_MAX_RESTARTS is 0" in cluster.log(job)


def test_a_cancelled_job_stays_cancelled(cluster: Cluster, stand_in: dict[str, str]) -> None:
    """Its scratch folder goes, too."""
    job = cluster.submit(**stand_in)
    cluster.await_(lambda: len(notes(stand_in)) == 1)
    [scratch] = [
        Path(line.partition("=")[2]) for line in notes(stand_in)[0] if line.startswith("SLURM_TMPDIR")
    ]
    assert scratch.is_dir()
    cluster.run("scancel", job)
    assert cluster.state(job) == "CANCELLED"
    cluster.await_(lambda: not scratch.exists())
    assert cluster.show(job)["Restarts"] == "0"


def test_without_slurm_the_script_is_the_local_command(cluster: Cluster, stand_in: dict[str, str]) -> None:
    """Neither threads nor the hub are restricted."""
    done = cluster.run("bash", SCRIPT, "a b", ARENA_RESTARTS="1", **stand_in)
    assert done.returncode == 0, done.stderr
    [noted] = notes(stand_in)
    assert noted[:3] == ["-m", "arena.run", "a b"]
    assert not [line for line in noted if line.startswith(("HF_", "OMP_", "SLURM_TMPDIR="))]


def test_from_another_folder_the_script_says_where_to_go(cluster: Cluster, tmp_path: Path) -> None:
    """A spool copy of the script cannot find the checkout by itself."""
    done = cluster.run("env", f"--chdir={tmp_path}", "bash", str(ROOT / SCRIPT))
    assert done.returncode == 2
    assert "is not the root of a checkout" in done.stderr


def test_slurm_takes_the_directives_without_any_option(cluster: Cluster) -> None:
    """`sbatch --test-only` reads the script and submits nothing."""
    done = cluster.run("sbatch", "--test-only", SCRIPT, "conf=mixtral_vs_llama", "judge.zeta=0.4")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", ["jobs/arena.sh", "jobs/env.sh", "jobs/story.sh", "tests/slurm.sh"])
def test_shellcheck_finds_nothing(script: str) -> None:
    """With what the scripts source."""
    found = shutil.which("shellcheck", path=f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}")
    assert found, "no shellcheck: pip install .[test]"
    done = subprocess.run([found, "--external-sources", script], cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", ["jobs/arena.sh", "jobs/env.sh", "jobs/story.sh"])
def test_job_scripts_name_nothing_of_one_site(script: str) -> None:
    """No account, partition, address or absolute path, but those that every system has."""
    text = (ROOT / script).read_text(encoding="utf-8")
    assert not re.findall(
        r"^#SBATCH\s+(-A|-p|-q|--account|--partition|--qos|--mail\S*|--chdir).*", text, re.M
    )
    assert not re.findall(r"\w@\w+\.\w+", text)
    paths = re.findall(r"(?<![\w.}\])*\"$])/[A-Za-z][\w./-]*", text)
    assert {*paths} <= {"/usr/bin/env", "/dev/null", "/tmp"}


def test_the_arguments_end_the_script() -> None:
    """Whatever follows the script's name is for the command."""
    last = (ROOT / SCRIPT).read_text(encoding="utf-8").splitlines()[-1]
    assert last.endswith('"$@"')
