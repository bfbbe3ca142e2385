"""A throw-away SLURM for tests, and a checkout to submit from."""

import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SCRIPT = "jobs/arena.sh"
PATIENCE = 120.0
"""Seconds after which something that has not happened will not happen."""


@dataclass
class Cluster:
    """A SLURM, and a checkout to submit from: links to the real one, with its own logs and runs."""

    checkout: Path
    environment: Mapping[str, str]
    jobs: list[str] = field(default_factory=list)

    def run(self, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """A command at the root of the checkout."""
        environment = {**self.environment, **variables}
        return subprocess.run(
            command, cwd=self.checkout, env=environment, text=True, capture_output=True, timeout=PATIENCE
        )

    def submit(self, *arguments: str, options: str = "", **variables: str) -> str:
        """The number of a new job of jobs/arena.sh."""
        command = (
            "sbatch",
            "--parsable",
            "--cpus-per-task=1",
            "--mem=2G",
            *options.split(),
            SCRIPT,
            *arguments,
        )
        done = self.run(*command, **variables)
        assert done.returncode == 0, done.stderr
        self.jobs.append(done.stdout.strip())
        return self.jobs[-1]

    def show(self, job: str) -> dict[str, str]:
        """What SLURM says of a job."""
        text = self.run("scontrol", "show", "job", "--oneliner", job).stdout
        return dict(re.findall(r"(\w+)=(\S*)", text))

    def log(self, job: str) -> str:
        """What a job has printed so far."""
        path = self.checkout / "logs" / f"arena-{job}.out"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def state(self, job: str) -> str:
        """The state in which a job ended."""
        going = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED")
        self.await_(lambda: self.show(job)["JobState"] not in going)
        return self.show(job)["JobState"]

    def await_(self, happened: Callable[[], bool]) -> None:
        """Wait until something has happened."""
        end = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.1)

    def describe(self) -> None:
        """Print all there is to know about the jobs so far."""
        for job in self.jobs:
            print(self.run("scontrol", "show", "job", job).stdout, self.log(job), sep="\n")
        self.jobs.clear()
