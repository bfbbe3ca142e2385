"""Tasks of lm-eval through our own engine: the numbers are those of the weights, adapter or not."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES, LLAMA, SMOLLM, Family, greedy, read

from agents import ConfigError, Scripted
from agents.adapters import stored
from agents.backbone import Lora, load
from agents.local import Local
from arena import evaluate
from arena.console import Quiet
from arena.evaluation.findings import Report
from arena.evaluation.harness.harness import Harness
from arena.evaluation.harness.samples import Sample, alarms, compare, samples_of
from arena.evaluation.harness.tasks import explained, load_tasks
from arena.evaluation.room import Room
from arena.rundir import opened
from arena.scribe import Scribe, Stop, Stopped

Checkpoint = Callable[[Family], Path]

WITHOUT_LIBRARY = "needs lm_eval: pip install -e '.[lm-eval]'"


def docs(path: Path, count: int) -> str:
    """Questions with four choices, one of which is right."""
    rows = [
        {"question": f"What is {i} and {i}?", "choices": ["one", "two", "three", "four"], "answer": i % 4}
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def tasks(folder: Path, count: int = 12) -> Path:
    """A folder with a task of choices, one of texts, one of whole texts, and a group of two."""
    folder.mkdir(exist_ok=True)
    data = docs(folder / "docs.jsonl", count)
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": data}},
        "test_split": "test",
        "metadata": {"version": 1.0},
    }
    mean = {"aggregation": "mean", "higher_is_better": True}
    choice = {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", **mean}, {"metric": "acc_norm", **mean}],
    }
    text = {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    whole = {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}}",
        "metric_list": [{"metric": "word_perplexity"}],
    }
    group = {
        "group": "tiny_both",
        "task": ["tiny_choice", "tiny_more"],
        "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}],
    }
    own = {"tiny_choice": choice, "tiny_more": choice, "tiny_text": text, "tiny_whole": whole}
    for name, task in own.items():
        (folder / f"{name}.yaml").write_text(json.dumps({"task": name, **common, **task}))  # JSON is YAML
    (folder / "tiny_both.yaml").write_text(json.dumps(group))
    return folder


def agent(checkpoint: Path, adapter: str = "", family: Family = LLAMA) -> Local:
    """A seat with tiny weights."""
    return family.agent(str(checkpoint), precision="fp32", device="cpu", adapter=adapter)


def learned(checkpoint: Path, folder: Path) -> Path:
    """An adapter that changes what the checkpoint says."""
    load.cache_clear()
    seat = agent(checkpoint)
    seat.learn_as("learned", Lora(seed=3))
    with torch.no_grad():
        for parameter in seat.backbone.adapter_parameters("learned"):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5)) * 0.1)
    seat.backbone.save_adapter("learned", folder / "adapter")
    load.cache_clear()
    return folder


def measured(
    path: Path, seats: Mapping[str, Any], bare: Any = None, stop: Stop | None = None, **settings: Any
) -> Report:
    """The report on seats; `bare` is the first one without its adapter."""
    evaluation = Harness(**settings)
    with ExitStack() as stack:
        run = stack.enter_context(opened(path, "", {}, evaluation.tables))
        scribe = Scribe(run, Quiet(), stop or Stop())
        room = Room(
            "harness", seats, bare is not None, lambda adapter: bare, None, lambda kind: ([], []), 0, scribe
        )
        return evaluation(room)


def answers(folder: Path) -> list[dict[str, Any]]:
    """What is on record."""
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


@pytest.fixture
def library() -> None:
    """Skip where lm-eval is not installed."""
    pytest.importorskip("lm_eval", reason=WITHOUT_LIBRARY)


def value(report: Report, measure: str, arm: str) -> float:
    """What a report says of an arm."""
    [interval] = [each.found for each in report.findings if (each.measure, each.arm) == (measure, arm)]
    assert interval is not None
    return interval.value


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_choices_are_scored_as_the_weights_score_them(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Behind the chat template, token by token, by transformers alone; and so is the accuracy."""
    weights = checkpoint(LLAMA)
    seat = agent(weights)
    report = measured(
        tmp_path / "run", {"policy": seat}, tasks=["tiny_choice"], folder=str(tasks(tmp_path / "tasks"))
    )
    hits, logps = [], {}
    for i in range(12):
        whole = seat.prompt_ids([{"role": "user", "content": f"What is {i} and {i}?"}])
        lines = seat.template.text_ids("\n\n")  # lm-eval scores white space with what follows it
        prompt, scores = whole[: -len(lines)], []
        assert whole[-len(lines) :] == lines
        for choice in ("one", "two", "three", "four"):
            ids = seat.template.text_ids(f"\n\n{choice}")
            logits, _ = read(weights, [*prompt, *ids])
            rows = logits[len(prompt) - 1 : -1].log_softmax(-1)
            scores.append(float(rows[torch.arange(len(ids)), ids].sum()))
        logps[i] = scores
        hits.append(float(scores.index(max(scores)) == i % 4))
    assert value(report, "tiny_choice acc", "policy") == pytest.approx(sum(hits) / 12)
    assert value(report, "tiny_choice acc", "guessing") == 0.25
    found = sorted(row["logp"] for row in answers(tmp_path / "run"))
    assert found == pytest.approx(sorted(s for own in logps.values() for s in own), abs=1e-3)
    assert report.counts == {"documents of policy": 12}


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_texts_are_those_of_greedy_decoding(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Up to the first stop, behind the chat template."""
    weights = checkpoint(SMOLLM)
    seat = agent(weights, family=SMOLLM)
    measured(
        tmp_path / "run", {"policy": seat}, tasks=["tiny_text"], folder=str(tasks(tmp_path / "tasks", 4))
    )
    expected = []
    for i in range(4):
        prompt = seat.prompt_ids([{"role": "user", "content": f"What is {i} and {i}?"}])
        said = greedy(weights, prompt, 6, seat.ends)
        expected.append(seat.backbone.tokenizer.decode(said, skip_special_tokens=True).strip().split("\n")[0])
    assert sorted(row["text"] for row in answers(tmp_path / "run")) == sorted(expected)


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_prompts_are_those_that_the_agent_itself_reads(checkpoint: Checkpoint, family: Family) -> None:
    """In all families: a system message, turns, and an answer that is begun."""
    from arena.evaluation.harness.model import Memory, Seat

    seat = agent(checkpoint(family), family=family)
    model = Seat(seat, True, Memory({}, lambda *_: None, lambda *_: None))
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": "That."},
        {"role": "user", "content": "Why?"},
    ]
    assert model.tok_encode(model.apply_chat_template(chat)) == seat.prompt_ids(chat)
    begun = [*chat, {"role": "assistant", "content": "Because"}]
    assert model.tok_encode(model.apply_chat_template(begun, False)) == seat.prompt_ids(begun)


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_an_adapter_is_measured_beside_the_bare_checkpoint(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Its numbers are its own, differences are paired by document; a second time nothing is computed."""
    weights = checkpoint(LLAMA)
    adapter = learned(weights, tmp_path / "trained")
    folder = str(tasks(tmp_path / "tasks"))
    asked: dict[str, Any] = {"tasks": ["tiny_choice", "tiny_text"], "folder": folder}
    report = measured(tmp_path / "run", {"policy": agent(weights, str(adapter))}, agent(weights), **asked)
    [row] = [e for e in report.findings if (e.measure, e.arm) == ("tiny_choice acc", "policy")]
    assert row.against == "untrained" and row.difference is not None and row.difference.clusters == 12
    rows = answers(tmp_path / "run")
    ours, bare = ([r["logp"] for r in rows if r["arm"] == arm] for arm in ("policy", "untrained"))
    assert len(ours) == len(bare) == 12 * 4 + 12
    assert ours != bare
    again = measured(tmp_path / "run", {"policy": agent(weights, str(adapter))}, agent(weights), **asked)
    assert again.results == report.results
    assert len(answers(tmp_path / "run")) == 120
    load.cache_clear()
    assert stored(adapter).rank == 16


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_a_stopped_measurement_goes_on(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """With the answers that it has, and to the same numbers."""
    weights, folder = checkpoint(LLAMA), str(tasks(tmp_path / "tasks"))
    asked: dict[str, Any] = {"tasks": ["tiny_choice"], "folder": folder}
    whole = measured(tmp_path / "whole", {"policy": agent(weights)}, **asked)
    stop = Stop("SIGTERM")
    with pytest.raises(Stopped):
        measured(tmp_path / "run", {"policy": agent(weights)}, stop=stop, **asked)
    measured(tmp_path / "run", {"policy": agent(weights)}, **asked)
    path = tmp_path / "run" / "answers.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:7]))
    again = measured(tmp_path / "run", {"policy": agent(weights)}, **asked)
    assert again.results == whole.results and len(answers(tmp_path / "run")) == 48


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_a_group_is_counted_as_a_whole(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """By document, as lm-eval does; what is no mean over documents is named and left out."""
    asked = {"tasks": ["tiny_both", "tiny_whole"], "folder": str(tasks(tmp_path / "tasks"))}
    report = measured(tmp_path / "run", {"policy": agent(checkpoint(LLAMA))}, limit=5, **asked)
    [row] = [e for e in report.findings if (e.measure, e.arm) == ("tiny_both acc", "policy")]
    assert row.found is not None and row.found.n == 10
    assert not [e for e in report.findings if e.measure.startswith("tiny_whole")]
    assert any("tiny_whole word_perplexity" in note for note in report.notes)
    assert any("first 5 documents" in note for note in report.notes)


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_whole_texts_are_scored_in_windows(checkpoint: Checkpoint) -> None:
    """Longer than what the model reads; each token once, and what is cut of a prompt is counted."""
    from arena.evaluation.harness.model import Memory, Seat

    weights = checkpoint(LLAMA)
    seat = agent(weights)
    model = Seat(seat, False, Memory({}, lambda *_: None, lambda *_: None))
    model.longest = 20

    class Request:
        args = ("the user said what the model said in the end of what the user said",)

    [found] = model.loglikelihood_rolling([Request()])
    ids = [model.prefix_token_id, *model.tok_encode(Request.args[0], add_special_tokens=False)]
    assert len(ids) > 30
    expected, start = 0.0, 1
    while start < len(ids):
        end = min(start + 19, len(ids))
        window = ids[max(end - 20, 0) : end] if start > 1 else ids[:end]
        logits, _ = read(weights, window)
        rows = logits.log_softmax(-1)
        fresh = range(len(window) - (end - start), len(window))
        expected += sum(float(rows[i - 1, window[i]]) for i in fresh)
        start = end
    assert found == pytest.approx(expected, abs=1e-3)
    assert model.cut == 0
    for _ in range(2):  # one request, whether it is answered now or was before
        assert model._read("a", list(range(30)), 5) == tuple(range(15, 30)) and model.cut == 1


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_the_command_measures(checkpoint: Checkpoint, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table, a report, and no noise of the library."""
    weights = checkpoint(LLAMA)
    adapter = learned(weights, runs / "trained")
    folder = tasks(Path("tasks").absolute())
    asked = [
        "conf=harness", f"agents.policy.checkpoint={weights}", "precision=fp32", "device=cpu",
        f"agents.policy.adapter={adapter}", "evaluation.tasks=[tiny_choice]", f"evaluation.folder={folder}",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        evaluate.main([*asked, "--plain"])
    assert ended.value.code == 0
    told = capsys.readouterr()
    assert "tiny_choice acc" in told.out and "guessing" in told.out
    assert told.err == ""
    assert r"| tiny\_choice acc | untrained |" in (runs / "evaluate-harness" / "README.md").read_text()


@pytest.mark.usefixtures("library")
def test_what_cannot_be_measured_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No task, no weights, no data, no folder."""
    with pytest.raises(ConfigError, match=r"evaluation\.tasks="):
        measured(tmp_path / "a", {"policy": Scripted(["x"])})
    with pytest.raises(ConfigError, match="not policy: seat a local agent"):
        measured(tmp_path / "b", {"policy": Scripted(["x"])}, tasks=["tiny_choice"])
    with pytest.raises(ConfigError, match="nobody is seated"):
        measured(tmp_path / "c", {}, tasks=["tiny_choice"])
    with pytest.raises(ConfigError, match=r"evaluation\.limit"):
        Harness(["x"], limit=-1)

    class Manager:
        all_tasks = ("mmlu", "ifeval")

        def load(self, names: Sequence[str]) -> None:
            if list(names) == ["ifeval"]:
                raise ImportError("langdetect")
            raise ConnectionError("Couldn't reach 'cais/mmlu'")

    with pytest.raises(ConfigError, match=r"of mmlu cannot.*reach 'cais/mmlu'\. Where.*HF_DATASETS_CACHE"):
        load_tasks(["mmlu"], Manager())
    with pytest.raises(ConfigError, match=r"langdetect.*pip install"):
        load_tasks(["ifeval"], Manager())
    with pytest.raises(ConfigError, match=r"no task 'mmul', did you mean 'mmlu'"):
        load_tasks(["mmul"], Manager())


def test_an_error_of_our_own_is_no_fault_of_a_task() -> None:
    """It keeps its name and its traceback; one of lm-eval is a line, also where it says nothing."""
    with pytest.raises(AttributeError), explained(["t"], "load it"):
        compare(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="^evaluation.limit is 0 or more"), explained(["t"], "load it"):
        Harness(["t"], shots=-3)
    with pytest.raises(ConfigError, match="^one, two: lm-eval could not load it: KeyError: no message. Mend"):
        with explained(["one", "two"], "load it"):
            raise KeyError
    with explained(["t"], "load it"):
        pass


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"doc_to_text": "{{question"}, "tiny_choice: lm-eval could not load it: TemplateSyntaxError"),
        (
            {"output_type": "sing"},
            "tiny_choice: lm-eval could not load it: ValueError: Got invalid output_type",
        ),
        ({"test_split": "nowhere"}, "tiny_choice: lm-eval could not load it: KeyError: 'nowhere'"),
        ({"nokey": 1}, "tiny_choice: lm-eval could not load it: TypeError"),
        (
            {"dataset_kwargs": {"data_files": {"test": "gone.jsonl"}}},
            "the data of tiny_choice cannot be had: .*gone.jsonl.*HF_DATASETS_CACHE",
        ),
        (
            {"dataset_path": "nobody/nothing", "dataset_kwargs": None},
            "the data of tiny_choice cannot be had: Couldn't reach 'nobody/nothing' on the Hub",
        ),
        ({"unsafe_code": True}, "tiny_choice: lm-eval could not measure it: ValueError: .*marked as unsafe"),
        (
            {"fewshot_split": "test", "num_fewshot": 50},
            "tiny_choice: lm-eval could not measure it: ValueError: Sample larger.*on record are kept",
        ),
    ],
)
def test_a_task_that_fails_is_told_of_in_a_line(
    change: dict[str, Any], told: str, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one, what lm-eval said, and what to do; a hub out of reach, too."""
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    file = tasks(tmp_path / "tasks", 4) / "tiny_choice.yaml"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ConfigError, match=told) as raised:
        measured(
            tmp_path / "run",
            {"policy": agent(checkpoint(LLAMA))},
            tasks=["tiny_choice", "tiny_text"],
            folder=str(file.parent),
        )
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("library")
def test_a_function_of_a_task_that_fails_is_told_of(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """It runs inside lm-eval, after the answers; these are on record."""
    folder = tasks(tmp_path / "tasks", 2)
    (folder / "utils.py").write_text("def process(doc, results):\n    return {'acc': 1 / 0}\n")
    file = folder / "tiny_choice.yaml"
    file.write_text(file.read_text()[:-1] + ', "process_results": !function utils.process}')
    with pytest.raises(ConfigError, match="tiny_choice: lm-eval could not measure it: ZeroDivisionError"):
        measured(
            tmp_path / "run",
            {"policy": agent(checkpoint(LLAMA))},
            tasks=["tiny_choice", "tiny_more"],
            folder=str(folder),
        )
    assert len(answers(tmp_path / "run")) == 8


@pytest.mark.usefixtures("library")
def test_prompts_that_were_cut_are_told_of_after_a_stop_too(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """What was answered before is counted again; so the report is the same."""
    from arena.evaluation.harness import model

    weights, folder = checkpoint(LLAMA), str(tasks(tmp_path / "tasks", 3))
    asked: dict[str, Any] = {"tasks": ["tiny_choice", "tiny_text"], "folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            model.Seat, "longest", property(lambda self: 10, lambda self, value: None), raising=False
        )
        first = measured(tmp_path / "run", {"policy": agent(weights)}, **asked)
        again = measured(tmp_path / "run", {"policy": agent(weights)}, **asked)
    assert first.alarms["cut_policy"].startswith("15 prompts")
    assert again.alarms == first.alarms and len(answers(tmp_path / "run")) == 15


@pytest.mark.usefixtures("library")
def test_sampled_texts_are_the_same_wherever_it_was_stopped(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """A seed is of the request, not of its place among those that are left."""
    weights, folder = checkpoint(LLAMA), tasks(tmp_path / "tasks", 6)
    file = folder / "tiny_text.yaml"
    kwargs = {"until": ["\n"], "max_gen_toks": 6, "do_sample": True, "temperature": 1.0}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"generation_kwargs": kwargs}))
    asked: dict[str, Any] = {"tasks": ["tiny_text"], "folder": str(folder)}
    measured(tmp_path / "run", {"policy": agent(weights)}, **asked)
    whole = {row["request"]: row["text"] for row in answers(tmp_path / "run")}
    path = tmp_path / "run" / "answers.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    measured(tmp_path / "run", {"policy": agent(weights)}, **asked)
    assert {row["request"]: row["text"] for row in answers(tmp_path / "run")} == whole
    assert len(whole) == 6 and len(set(whole.values())) > 1


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is loaded."""
    monkeypatch.setattr("arena.evaluation.harness.harness.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[lm-eval\]'"):
        measured(tmp_path / "run", {}, tasks=["mmlu"])


def results(**rows: Sequence[Any]) -> dict[str, Any]:
    """What lm-eval gives for a task with these metrics of each document."""
    count = len(next(iter(rows.values())))
    samples = [
        {"doc_id": i, "filter": "none", "arguments": [1, 2], "metrics": list(rows)}
        | {name: own[i] for name, own in rows.items()}
        for i in range(count)
    ]
    flat = {k: [x for v in own for x in (v if isinstance(v, list) else [v])] for k, own in rows.items()}
    means = {f"{k},none": sum(v) / len(v) for k, v in flat.items()}
    return {
        "results": {"t": means},
        "samples": {"t": samples},
        "configs": {"t": {"output_type": "multiple_choice"}},
        "group_subtasks": {"t": []},
    }


def test_a_metric_that_is_no_mean_is_left_out() -> None:
    """Pairs of numbers, a number that lm-eval makes otherwise, and one that is not finite."""
    given = results(acc=[1.0, 0.0, 1.0], inst=[[True, False], [True], [True, True]], f1=[1.0, 0.5, 0.0])
    given["results"]["t"]["f1,none"] = 0.7
    kept, left = samples_of(given, ["t"])
    assert {sample.metric for sample in kept} == {"acc", "inst"} and left == {"t f1"}
    inst = [f for f in compare({"a": kept}) if f.measure == "t inst"]
    assert inst[0].found is not None and (inst[0].found.value, inst[0].found.n) == (0.8, 5)


def test_no_interval_is_a_point() -> None:
    """All right, or all alike on a scale without ends; differences of arms that answer alike."""
    for value, known in ((1.0, True), (0.0, True), (0.37, False)):
        own = [Sample("t", "m", f"t-{i}", (value,)) for i in range(9)]
        one, two = compare({"a": own, "b": own})
        assert one.found is not None and one.found.known == known
        assert one.found.high - one.found.low > 0.2
        assert two.difference is not None and two.difference.high > 0 > two.difference.low
        assert two.difference.known == known


def planted(shift: int) -> list[Sample]:
    """40 documents, of which those from `shift` on are right."""
    return [Sample("t", "acc", f"t-{i}", (float(i >= shift),), 0.25) for i in range(40)]


def test_what_training_has_cost_is_an_alarm() -> None:
    """Paired by document: 12 that were right are wrong now; and one arm only guesses."""
    findings = compare({"untrained": planted(8), "policy": planted(20), "worse": planted(31)})
    told = alarms(findings, {"policy": 3})
    assert "training has cost 0.300 of t acc" in told["forgot_t_acc"]
    assert [name for name in told if name.startswith("guesses")] == ["guesses_t_acc_worse"]
    assert told["cut_policy"].startswith("3 prompts")
    [row] = [f for f in findings if f.arm == "policy"]
    assert row.difference is not None and row.difference.high < 0
    shuffled = compare({"untrained": planted(8)[::-1], "policy": planted(20)})
    assert [f.difference for f in shuffled if f.arm == "policy"] == [row.difference]
