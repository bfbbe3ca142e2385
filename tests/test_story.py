"""The story of the critic and the king, from top to bottom on real weights, as small as it goes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from arena.rundir import rows

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("ARENA_DATA", ROOT.parent / "shared" / "data"))


def told(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The story in a folder of its own, with this environment's python."""
    for name in ("agents", "rewards", "arena", "conf", "jobs"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "ARENA_VENV"))}
    return subprocess.run(
        ["jobs/story.sh", *arguments],
        cwd=tmp_path,
        env={**kept, "PATH": path, "ARENA_DATA": str(DATA.resolve()), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_a_size_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """Before anything is loaded."""
    done = told(tmp_path, "small")
    assert done.returncode == 2
    assert "the first word is the size, full or tiny, got 'small'" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "papers").is_dir(), reason=f"no papers in {DATA}: set ARENA_DATA")
def test_the_tiny_story_runs_from_start_to_end(smollm2: str, tmp_path: Path) -> None:
    """Critic, server, king, and both measured: every table has rows, every reward came from the server."""
    done = told(tmp_path, "tiny", "display=plain", ARENA_PORT=str(free_port()))
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
    story = tmp_path / "runs" / "story-tiny"
    for name in ("critic", "king", "evaluate-critic", "evaluate-king"):
        assert json.loads((story / name / "run.json").read_text())["status"] == "done", name
        assert (story / name / "README.md").stat().st_size > 200, name
    verdicts = list(rows(story / "king" / "verdicts.jsonl"))
    assert len(verdicts) > 12 and {row["scale"] for row in verdicts} == {"score"}
    assert len(list(rows(story / "king" / "metrics.jsonl"))) == 3
    results = json.loads((story / "evaluate-king" / "results.json").read_text())
    assert results
    again = subprocess.run(
        ["grep", "-rn", "Traceback", str(story)], capture_output=True, text=True, check=False
    )
    assert again.stdout == "" and "Traceback" not in done.stderr
