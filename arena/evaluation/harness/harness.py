"""Tasks of lm-eval (MMLU, BBH, IFEval, GPQA, ...) with the chat template, before and after training.

EleutherAI's harness (Gao et al. 2024, https://github.com/EleutherAI/lm-evaluation-harness) makes the prompts
and counts; texts and likelihoods come from our own engine, so that an adapter is measured as it was trained.
Every answer is kept by its document, so differences are paired.
"""

import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.errors import ConfigError
from arena import jsonl, records
from arena.evaluation.findings import Report
from arena.evaluation.harness.samples import Sample, alarms, compare, samples_of
from arena.evaluation.harness.tasks import explained, hushed, load_tasks, manager_of
from arena.evaluation.inputs import digests
from arena.evaluation.room import BARE, Room

if TYPE_CHECKING:
    from agents.base import Agent
    from agents.local import Local
    from arena.evaluation.harness.model import Memory

NOTES = (
    "Each arm answers the same documents of a task, greedily where its task says nothing else. Intervals are "
    "drawn by document, and of differences paired by document. guessing: the mean of one over the number of "
    "choices.",
)


class Harness:
    """Measures seats on tasks of lm-eval; one with an adapter beside its bare checkpoint.

    Args:
        tasks: names of tasks, groups or tags of lm-eval, or of tasks in `folder`.
        limit: documents taken of each task, the first ones; 0: all.
        shots: worked examples in a prompt; -1: as the task says.
        chat: whether prompts are made by the chat template, worked examples as turns of it.
        system: a system message of each prompt; `""` for none.
        folder: a folder of tasks of your own (lm-eval's `include_path`): YAML files, which may name Python
            functions beside them that are run. `""` for none.
    """

    tables = ("answers", "samples")

    def __init__(
        self,
        tasks: Sequence[str] = (),
        limit: int = 0,
        shots: int = -1,
        chat: bool = True,
        system: str = "",
        folder: str = "",
    ) -> None:
        """Take the settings; nothing is loaded."""
        if limit < 0 or shots < -1:
            raise ConfigError(
                f"evaluation.limit is 0 or more and evaluation.shots -1 or more, got {limit}, {shots}"
            )
        self.tasks, self.limit, self.shots = list(tasks), limit, shots
        self.chat, self.system, self.folder = chat, system, folder

    def __call__(self, room: Room) -> Report:
        """Have all arms answer the tasks.

        Raises:
            ConfigError: lm-eval is missing, no task is named, one is not known, fails, or its data cannot be
                had, or a seat is no local agent.
        """
        if find_spec("lm_eval") is None:
            raise ConfigError("tasks of lm-eval need its library: pip install -e '.[lm-eval]'")
        if not self.tasks:
            raise ConfigError("name the tasks: 'evaluation.tasks=[ifeval, ...]'")
        arms = _arms(room)
        room.begin(arms, {}, f"{', '.join(self.tasks)} for {', '.join(arms)}")
        if self.folder:
            paths = sorted(path for path in self._folder().rglob("*") if path.is_file())
            room.scribe.run.agree("tasks", digests(paths))
        with hushed():
            manager = manager_of(self.tasks, self._folder() if self.folder else None)
            found = {arm: self._measured(room, arm, agent, manager) for arm, agent in arms.items()}
        taken: dict[str, list[Sample]] = {}
        left: set[str] = set()
        for arm, (results, _) in found.items():
            taken[arm], others = samples_of(results, self.tasks)
            left |= others
            for sample in taken[arm]:
                room.scribe.append("samples", _sample_row(arm, sample))
        findings = compare(taken)
        return Report(
            about=f"{', '.join(self.tasks)} by lm-eval {version('lm-eval')}, "
            f"{'with' if self.chat else 'without'} the chat template: {', '.join(arms)}.",
            findings=tuple(findings),
            less="less the\none above",
            notes=self._notes(left),
            counts={f"documents of {arm}": len({s.document for s in own}) for arm, own in taken.items()},
            alarms=alarms(findings, {arm: count for arm, (_, count) in found.items() if count}),
        )

    def _notes(self, left: set[str]) -> tuple[str, ...]:
        """How to read it, with what is not in it."""
        notes = list(NOTES)
        if left:
            notes.append(f"Left out, since they are no means over documents: {', '.join(sorted(left))}.")
        if self.limit:
            notes.append(f"Only the first {self.limit} documents of each task were asked (evaluation.limit).")
        return tuple(notes)

    def _folder(self) -> Path:
        path = jsonl.expanded(self.folder)
        if not path.is_dir():
            raise ConfigError(f"evaluation.folder={self.folder!r} is no folder (from {str(Path.cwd())!r})")
        return path

    def _loaded(self, manager: Any, seed: int) -> Any:
        """The tasks with as many worked examples as are wanted, drawn by the seed."""
        loaded = load_tasks(self.tasks, manager, seed)
        for task in loaded["tasks"].values():
            own = task.get_config("num_fewshot")
            if own is None or (own and self.shots >= 0):  # 0 by the task's own word stays
                task.set_config(key="num_fewshot", value=max(self.shots, 0))
            task.set_fewshot_seed(seed=seed)
        return loaded

    def _measured(self, room: Room, arm: str, agent: "Local", manager: Any) -> tuple[dict[str, Any], int]:
        """lm-eval's results of one arm, and how many prompts were cut."""
        from lm_eval import evaluate

        from arena.evaluation.harness.model import Seat

        seat = Seat(agent, self.chat, _memory(room, arm), room.seed)
        loaded = self._loaded(manager, room.seed)
        with explained(self.tasks, "measure it"):
            results = evaluate(
                seat,
                loaded,
                limit=self.limit or None,
                bootstrap_iters=0,
                log_samples=True,
                system_instruction=self.system or None,
                apply_chat_template=self.chat,
                fewshot_as_multiturn=self.chat,
            )
        assert results is not None  # of a process that is alone
        return results, seat.cut


def _arms(room: Room) -> "dict[str, Local]":
    """Who is measured: all seats; of one seat with an adapter first the checkpoint without it.

    Raises:
        ConfigError: there is none, or one is no local agent.
    """
    from agents.local import Local

    arms: dict[str, Agent] = dict(room.seats)
    if room.trained and len(arms) == 1:
        arms = {BARE: room.speaker(""), **arms}
    local = {name: agent for name, agent in arms.items() if isinstance(agent, Local)}
    if not arms or len(local) < len(arms):
        others = ", ".join(sorted(arms.keys() - local.keys())) or "nobody is seated"
        raise ConfigError(
            f"lm-eval's tasks need the weights on this machine, not {others}: seat a local agent"
        )
    return local


def _memory(room: Room, arm: str) -> "Memory":
    """What an arm has answered already, and a way to write more down."""
    from arena.evaluation.harness.model import Memory

    scribe, began = room.scribe, time.perf_counter()
    known = {row["request"]: row for row in scribe.run.rows("answers") if row["arm"] == arm}

    def write(key: str, text: str, logp: float, greedy: bool) -> None:
        scribe.append(
            "answers",
            {
                "schema": "arena.answer/1",
                "id": f"{arm}.{key}",
                "arm": arm,
                "request": key,
                "text": text,
                "logp": float(logp),
                "greedy": greedy,
            },
        )

    def progress(what: str, done: int, of: int) -> None:
        seconds = time.perf_counter() - began
        scribe.display.say("stage", what=f"{what} by {arm}", done=done, of=of, seconds=seconds)

    return Memory(known, write, progress)


def _sample_row(arm: str, sample: Sample) -> records.Row:
    """A row of `samples.jsonl`: one measure of one document."""
    return {
        "schema": "arena.sample/1",
        "id": f"{arm}.{sample.id}",
        "arm": arm,
        "task": sample.task,
        "document": sample.document,
        "metric": sample.metric,
        "value": float(sum(sample.values)),
        "of": len(sample.values),
        "guess": float(sample.guess or 0.0),
    }
