"""The benchmark's arithmetic, and that both sides of a comparison do the same work."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import families
import pytest
import torch
from rich.console import Console

from agents import ArenaError, ConfigError, Message, Reply, Scripted, backbone
from agents.base import Prompt
from agents.contrastive import Contrastive
from agents.decoding import Sampling
from agents.families import SmolLM
from arena.bench import main
from arena.benchmark import engine, machine, measure, work
from arena.benchmark.engine import PHASES, Held, Speed
from arena.benchmark.machine import Limits, Need
from arena.benchmark.measure import Peak, Samples, interleaved
from arena.benchmark.report import Report, shown
from arena.benchmark.sequential import Sequential, replay, stock
from arena.benchmark.sizes import Sizes
from arena.benchmark.work import Asked, Recorded, recorded
from arena.loop import Table
from arena.train.online_dpo import OnlineDPO
from rewards.judge import Judge
from rewards.rating import Labels, Random

Checkpoint = Callable[..., Path]

ASK: Prompt = [Message(role="user", content="Why does ice float?")]
SIZES = Sizes(dialogues=4, turns=2, drafts=2, new_tokens=3, prompt_tokens=20, pairs=2, repeats=2, seed=0)


@pytest.fixture(autouse=True)
def fresh_weights() -> None:
    """No adapters of another test."""
    backbone.load.cache_clear()


def agent(checkpoint: Checkpoint, **options: Any) -> SmolLM:
    """A tiny random model that samples from all it has."""
    return SmolLM(checkpoint=str(checkpoint(families.SMOLLM)), precision="fp32", device="cpu", **options)


@contextmanager
def two(checkpoint: Checkpoint) -> Iterator[dict[str, Recorded]]:
    """Two seats on one model, on record."""
    seats = {name: agent(checkpoint, system="You know {topic}.") for name in ("ada", "bob")}
    with recorded(seats, SIZES.new_tokens) as found:
        yield found


def held(seats: dict[str, Recorded], learners: dict[str, OnlineDPO] | None = None) -> Held:
    """Four dialogues of two turns with two drafts each, rated by labels; with learners, at random."""
    judge = Judge(Random() if learners else Labels(), pair_truncated=True)
    table = Table(seats, judge, "Ask.", SIZES.turns, dict.fromkeys(seats, 2))
    talks = work.dialogues(list(seats), SIZES.dialogues, 0)
    return engine.hold(table, talks, seats["ada"].calls, learners or {}, "cpu")


def test_samples_have_a_middle_and_extremes() -> None:
    """Of an even number, the mean of the two in the middle."""
    samples = Samples((4.0, 1.0, 3.0, 2.0))
    assert (samples.median, samples.low, samples.high) == (2.5, 1.0, 4.0)


def test_a_ratio_is_taken_repeat_by_repeat() -> None:
    """A repeat in which the machine was slow for both sides says the same as the others."""
    assert Samples((10.0, 5.0, 20.0)).over(Samples((5.0, 2.5, 10.0))).values == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="shorter"):
        Samples((1.0, 2.0)).over(Samples((1.0,)))


def test_sides_take_turns() -> None:
    """A B A B, after one call of each that does not count; both are told the same repeat."""
    seen: list[tuple[str, int]] = []

    def side(name: str) -> Callable[[int], int]:
        def call(repeat: int) -> int:
            seen.append((name, repeat))
            return repeat

        return call

    said: list[str] = []
    found = interleaved({"a": side("a"), "b": side("b")}, 2, said.append, warm=True)
    assert seen == [("a", 2), ("b", 2), ("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert found == {"a": [0, 1], "b": [0, 1]}
    assert [text.partition(" in ")[0] for text in said] == [
        "a: 1 of 2",
        "b: 1 of 2",
        "a: 2 of 2",
        "b: 2 of 2",
    ]


@pytest.mark.skipif(not measure._PROC.exists(), reason="no /proc")
def test_a_peak_sees_what_was_freed_again_and_begins_anew() -> None:
    """64 MB that live inside the body only; the next body knows nothing of them."""
    with Peak("cpu") as high:
        torch.ones(16 << 20).sum()
    with Peak("cpu") as low:
        pass
    assert 60e6 < high.growth < 200e6
    assert low.growth < 20e6
    assert high.most > high.before > 0


def report() -> Report:
    """Two speeds and their ratio."""
    found = Report("smollm_duo", "trl", {"threads": 2}, {"repeats": 3})
    fast, slow = Samples((30.0, 40.0, 20.0)), Samples((10.0, 20.0, 20.0))
    found.add("part", "ours", fast, "pairs/s")
    found.ratio("part", "ours / trl", fast, slow, "a note")
    return found


def test_a_report_is_json_with_every_value(tmp_path: Path) -> None:
    """Medians, extremes and the single values; the file is named by what was compared."""
    path = report().write(tmp_path / "new")
    found = json.loads(path.read_text())
    assert path.name == "trl.json"
    assert found["schema"] == "arena.bench/1" and found["machine"] == {"threads": 2}
    assert found["quantities"][1] == {
        "part": "part",
        "what": "ours / trl",
        "unit": "x",
        "median": 2.0,
        "low": 1.0,
        "high": 3.0,
        "values": [3.0, 2.0, 1.0],
        "note": "a note",
    }
    assert "lines" not in found


def test_a_report_is_a_table() -> None:
    """Each quantity with its spread, below the name of its part."""
    out = StringIO()
    report().print(Console(file=out, width=90))
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert lines[1:4] == ["part", "ours 30 pairs/s 20 to 40", "ours / trl 2 x 1 to 3 a note"]
    assert "threads 2, repeats 3" in lines


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.1234, "%", "12.3"), (12345.6, "tokens/s", "12346"), (1.2345, "x", "1.23"), (0.01234, "s", "0.0123")],
)
def test_numbers_have_three_digits(value: float, unit: str, text: str) -> None:
    """Shares are shown in percent."""
    assert shown(value, unit) == text


def test_prompts_have_about_the_length_that_was_asked_for_and_begin_in_different_ways() -> None:
    """More than there are topics to begin with; the same seed gives the same ones."""
    prompts = work.passages(100, 130, 0)
    assert {len(prompt[0]["content"].split()) for prompt in prompts} == {100}
    assert len({prompt[0]["content"][:3] for prompt in prompts}) == 100
    assert prompts == work.passages(100, 130, 0) != work.passages(100, 130, 1)


def test_one_seat_may_open_all_dialogues() -> None:
    """So that one batch speaks in each turn."""
    assert [d.opener for d in work.dialogues(["a", "b"], 4, 0)] == ["a", "b", "a", "b"]
    assert [d.opener for d in work.dialogues(["a", "b"], 4, 0, in_turn=False)] == ["a"] * 4


def test_tokens_that_end_a_turn_do_not_come(checkpoint: Checkpoint) -> None:
    """Neither from our engine nor from transformers; afterwards everything is as it was."""
    one = agent(checkpoint, decoding=Sampling(temperature=0))
    silent = frozenset(range(200))
    before = one.reply([ASK], max_new_tokens=8)[0][0].ids
    with work.unending(one.backbone.model, silent), work.unending(stock(one.backbone), silent):
        one.backbone.engine.prefixes.clear()
        during = one.reply([ASK], max_new_tokens=8)[0][0].ids
        other = Sequential(one).reply([ASK], max_new_tokens=8)[0][0].ids
    assert silent & set(before)
    assert not silent & {*during, *other}
    one.backbone.engine.prefixes.clear()
    assert one.reply([ASK], max_new_tokens=8)[0][0].ids == before


def test_recorded_replies_have_exactly_as_many_tokens_as_they_may(checkpoint: Checkpoint) -> None:
    """Also where every token would end a turn."""

    class Brief(SmolLM):
        """Says one token."""

        ends = frozenset(range(256))

    one = Brief(checkpoint=str(checkpoint(families.SMOLLM)), precision="fp32", device="cpu")
    assert [len(reply.ids) for reply in one.reply([ASK], max_new_tokens=5)[0]] == [1]
    with recorded({"ada": one}, 5) as seats:
        ada = seats["ada"]
        replies = ada.reply([ASK, ASK], 3)
        assert {len(reply.ids) for own in replies for reply in own} == {5}
        assert {len(reply.ids) for own in ada.reply([ASK], max_new_tokens=2) for reply in own} == {2}
        first, second = ada.calls
    assert (first.drafts, first.limit, first.written) == (3, 5, (15, 15))
    assert first.read == (len(one.prompt_ids(ASK)),) * 2
    assert (second.limit, second.written) == (2, (2,))
    assert first.agent is ada
    assert ada.silenced == one.ends and ada.ends == frozenset()


def test_a_seat_without_weights_here_cannot_be_measured() -> None:
    """The error says what to do."""
    with pytest.raises(ConfigError, match="seat 'eve' has no weights here .Scripted.: .*agent@agents.SEAT"):
        with recorded({"eve": Scripted(["yes"])}, 4):
            pass


def test_a_reply_of_another_length_is_an_error(checkpoint: Checkpoint) -> None:
    """It would not be equal work."""
    with pytest.raises(ArenaError, match="2 replies of exactly 3 tokens were asked for, found"):
        call = work.Call(agent(checkpoint), [ASK], 2, (), 3)
        work.asked(call, [[Reply("a", ids=(1, 2, 3)), Reply("b", ids=(1,))]])


def test_dialogues_are_counted(checkpoint: Checkpoint) -> None:
    """Drafts, verdicts on drafts and on performances, tokens, phases."""
    with two(checkpoint) as seats:
        found = held(seats)
    replies = [call for call in found.calls if call.drafts]
    assert found.dialogues == 4 and found.pairs == 0
    assert found.written == 4 * 2 * 2 * 3 == sum(sum(call.written) for call in replies)
    assert found.judged == 4 * 2 * 2 + 4 * 2
    assert all(took >= 0 for took in found.phases.values())
    assert found.phases["missing"] == found.phases["learn"] == 0
    assert found.phases["rating"] > 0 and found.phases["draft"] > 0
    assert sum(found.phases.values()) <= found.seconds
    assert sum(found.turns) == pytest.approx(found.phases["draft"]) and all(found.turns)


def test_speeds_of_dialogues() -> None:
    """Each from the seconds of its own phases."""
    phases = dict(zip(PHASES, (4.0, 1.0, 2.0, 1.0, 5.0), strict=True))
    calls = [
        Asked((ASK,), 4.0, 2, 8, written=(16,)),
        Asked((ASK,), 1.0),
        Asked((ASK,), 2.0, 1, 8, written=(8,)),
    ]
    found = Held(2, seconds=15.0, phases=phases, judged=8, pairs=10, calls=calls)
    assert found.per_hour == 480
    assert found.writing_speed == 24 / 6
    assert found.judging_speed == 4 / 4
    assert found.learning_speed == 2


def test_the_loop_learns_as_a_run_does(checkpoint: Checkpoint) -> None:
    """A step of each learner in each turn, from pairs that were cut at the limit."""
    with two(checkpoint) as seats:
        learners = {name: OnlineDPO() for name in seats}
        for name, learner in learners.items():
            learner.attach(seats[name], name)
        found = held(seats, learners)
        assert {seat.updates for seat in seats.values()} == {SIZES.turns}
    assert 0 < found.pairs <= 8
    assert found.phases["learn"] > 0


def test_decoding_is_what_a_long_answer_takes_beyond_a_short_one() -> None:
    """Reading counts once, from the first call; a cache of either side helps both later calls alike."""
    clock = iter([0.0, 6.0, 10.0, 11.0, 20.0, 25.0])
    fake = SimpleNamespace(perf_counter=lambda: next(clock))
    asked: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "time", fake)
        found = engine.speed(lambda limit: (asked.append(limit), 40)[1], 4, 9)
    assert asked == [1, 1, 9]
    assert found == Speed(rows=4, prompt=10.0, reading=6.0, step=0.5, whole=36 / (6 - 1 + 5))


def test_the_ancestors_way_writes_what_the_model_says(checkpoint: Checkpoint) -> None:
    """Greedy, against a computation without any cleverness; each draft is a call."""
    one = agent(checkpoint, decoding=Sampling(temperature=0))
    folder = checkpoint(families.SMOLLM)
    [[first, second]] = Sequential(one).reply([ASK], 2, max_new_tokens=6)
    assert first == second and first.tokens_in == len(one.prompt_ids(ASK))
    row = one.prompt_ids(ASK)
    for place, token in enumerate(first.ids):
        logits = families.read(folder, [*row, *first.ids[:place]])[0][-1]
        logits[sorted(one.ends)] = -math.inf
        assert int(logits.argmax()) == token


def test_the_ancestors_way_rates_by_one_pass_over_the_whole_prompt(checkpoint: Checkpoint) -> None:
    """Probabilities of the first tokens of the labels."""
    one = agent(checkpoint)
    [(chances, mass)] = Sequential(one).rate([ASK], ["1", "2", "10"], "Rating: ")
    ids = one.template.ids(ASK) + one.template.text_ids("Rating: ")
    expected = families.read(checkpoint(families.SMOLLM), ids)[0][-1].softmax(-1)
    first, second = (float(expected[one.template.text_ids(label)[0]]) for label in "12")
    assert mass == pytest.approx(2 * first + second, rel=1e-4)
    assert chances == pytest.approx([first / mass, second / mass, first / mass], rel=1e-4)


def test_the_ancestors_way_samples_as_the_seat_does(checkpoint: Checkpoint) -> None:
    """Another way of decoding has no counterpart."""
    options = Sequential(agent(checkpoint, decoding=Sampling(0.8, 0.9, 0.1)))._sampling()
    assert {k: options[k] for k in ("temperature", "top_p", "min_p", "top_k")} == {
        "temperature": 0.8,
        "top_p": 0.9,
        "min_p": 0.1,
        "top_k": 0,
    }
    with pytest.raises(ConfigError, match="Contrastive decoding cannot be compared with others"):
        Sequential(agent(checkpoint, decoding=Contrastive()))


def test_both_ways_do_the_same_work(checkpoint: Checkpoint) -> None:
    """The prompts of our dialogues, half of each call: as many tokens read and written, prompt by prompt."""
    with two(checkpoint) as seats:
        ours = held(seats)
        again = [call.again(Sequential(seats["ada"]), 2) for call in ours.calls]
        found = replay(ours.calls, 4, 2)
    assert found.dialogues == 2 and found.seconds > 0
    for call, other in zip(ours.calls, again, strict=True):
        assert other.prompts == call.prompts[::2] and len(other.prompts) == len(call.prompts) / 2
        assert (other.read, other.written) == (call.read[::2], call.written[::2])


def test_unequal_work_is_an_error(checkpoint: Checkpoint) -> None:
    """Another template would read other prompts."""

    class Longer(Sequential):
        """Reads a token more."""

        def _reply(self, row: list[int], limit: int) -> Reply:
            return super()._reply([*row, row[-1]], limit)

    with two(checkpoint) as seats:
        seats["ada"].reply([ASK])
        with pytest.raises(ArenaError, match="the work is not equal: .* read and 3 written"):
            seats["ada"].calls[0].again(Longer(seats["ada"]), 1)


def test_a_part_that_is_no_whole_number_of_prompts_is_refused() -> None:
    """It would not be the same share of every call."""
    with pytest.raises(ConfigError, match="of 3 dialogues 1 prompt in 2 cannot be taken"):
        replay([Asked((ASK,) * 3, 1.0)], 3, 2)


def test_what_a_model_needs_is_counted_from_its_shapes(checkpoint: Checkpoint) -> None:
    """Two layers of 64 x 128, 4 heads of 16 with 2 for keys, tied embeddings."""
    one = agent(checkpoint)
    need = Need.of(one)
    layer = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128
    head = 64 * one.backbone.model.config.vocab_size
    assert (need.linear, need.head, need.attention) == (2 * layer, head, 4 * 2 * 64)
    assert need.weight_bytes == 4 * (2 * layer + head)
    assert need.cache_bytes == 2 * 2 * 2 * 16 * 4
    operations, moved = need.step(3, 10)
    assert operations == 3 * (2 * (2 * layer + head) + 512 * 10)
    assert moved == need.weight_bytes + 30 * need.cache_bytes
    assert need.reading(2, 10) == 2 * 2 * (10 * 2 * layer + head) + 512 * 2 * 50
    tokens, seen = 10 + 2 * 4, 50 + 8 * 12
    assert need.learning(5, 10, 4) == 15 * (2 * (tokens * 2 * layer + 8 * head) + 512 * seen)


def test_a_share_of_the_limit_is_of_what_is_scarcer() -> None:
    """Operations or bytes; the rate is that of at least as many rows."""
    matrix = {(kind, rows): Samples((100.0 * rows,)) for kind in ("bf16", "fp32") for rows in machine.ROWS}
    limits = Limits(matrix, read=Samples((50.0,)), copy=Samples((40.0,)))
    assert limits.rate("nf4", 16) == 1600 and limits.rate("fp32", 17) == 6400
    assert limits.rate("bf16", 5000) == 102400
    assert limits.share(2.0, operations=1600.0, moved=25.0, precision="bf16", rows=10) == 0.5
    assert limits.share(2.0, operations=160.0, moved=75.0, precision="bf16", rows=10) == 0.75


def test_the_machine_is_measured(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every precision at every number of rows, and memory."""
    monkeypatch.setattr(machine, "footprint", lambda: 1 << 20)
    monkeypatch.setattr(machine, "LONG_ENOUGH", 1e-4)
    found = machine.measure(agent(checkpoint), 2, lambda _: None)
    assert set(found.matrix) == {(kind, rows) for kind in ("bf16", "fp32") for rows in machine.ROWS}
    assert all(
        rate.low > 0 and len(rate.values) == 2 for rate in (*found.matrix.values(), found.read, found.copy)
    )


def test_buffers_are_larger_than_any_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """And never small."""
    assert machine.footprint() >= max([machine.LEAST, *(4 * size for size in machine._cache_sizes())])
    monkeypatch.setattr(machine, "_cache_sizes", lambda: iter([1 << 30]))
    assert machine.footprint() == 4 << 30


TINY = (
    "judge=rating",
    "precision=fp32",
    "device=cpu",
    "turns=1",
    "new_tokens=2",
    "prompt_tokens=8",
    "pairs=1",
)


def bench(capsys: pytest.CaptureFixture[str], checkpoint: Checkpoint, *arguments: str) -> dict[str, Any]:
    """The JSON of a small benchmark of a tiny model; standard output holds nothing else."""
    folder = checkpoint(families.SMOLLM)
    seats = [f"agents.{name}.checkpoint={folder}" for name in ("ada", "bob")]
    with pytest.raises(SystemExit) as done:
        main([*seats, *TINY, "--json", *arguments])
    out, told = capsys.readouterr()
    assert done.value.code == 0, told
    found: dict[str, Any] = json.loads(out)
    return found


def medians(found: dict[str, Any]) -> dict[tuple[str, str], float]:
    """(part, quantity) -> median."""
    return {(q["part"], q["what"]): q["median"] for q in found["quantities"]}


def test_the_verb_measures_its_parts(
    capsys: pytest.CaptureFixture[str], checkpoint: Checkpoint, runs: Path
) -> None:
    """In the order in which adapters come last; the file holds what was printed."""
    parts = "parts=[learning,speeds,loop,turns]"
    found = bench(capsys, checkpoint, parts, "dialogues=2", "repeats=1", "judge=random")
    names = list(dict.fromkeys(q["part"] for q in found["quantities"]))
    [speeds] = [name for name in names if "2 rows" in name]
    assert names == ["dialogues", "cost per turn", speeds, "with learning"]
    assert json.loads((runs / "bench-smollm_duo" / "bench.json").read_text()) == found
    assert (found["sizes"]["dialogues"], found["sizes"]["drafts"], found["vs"]) == (2, 2, "")
    values = medians(found)
    shares = sum(
        v for (part, what), v in values.items() if part == "with learning" and what.startswith("time")
    )
    assert 0 < shares <= 1
    assert values["with learning", "learned"] > 0 and values[speeds, "learner"] > 0
    assert ("dialogues", "learned") not in values
    early, late = values["cost per turn", "turn 2"], values["cost per turn", "turn 12"]
    assert values["cost per turn", "turn 12 / turn 2"] == pytest.approx(late / early)


def test_the_verb_compares_with_one_prompt_at_a_time(
    capsys: pytest.CaptureFixture[str], checkpoint: Checkpoint, runs: Path
) -> None:
    """Many dialogues, and a single one; a ratio for each repeat."""
    found = bench(capsys, checkpoint, "--vs", "sequential", "dialogues=4", "repeats=2")
    quantities = {(q["part"], q["what"]): q["values"] for q in found["quantities"]}
    for part in ("4 dialogues", "one dialogue"):
        ours, theirs = quantities[part, "ours"], quantities[part, "sequential"]
        assert quantities[part, "ours / sequential"] == [a / b for a, b in zip(ours, theirs, strict=True)]
    assert (runs / "bench-smollm_duo" / "sequential.json").exists()
    assert any("equally many tokens" in note for note in found["notes"])


def test_the_verb_compares_precisions(
    capsys: pytest.CaptureFixture[str], checkpoint: Checkpoint, runs: Path
) -> None:
    """Each in a seat of its own, reading, writing and learning."""
    values = medians(bench(capsys, checkpoint, "--vs=precision", "dialogues=2", "repeats=1"))
    assert {part for part, _ in values} == {"nf4", "bf16", "fp32", "nf4 / bf16", "fp32 / bf16"}
    ratio = values["fp32", "decode"] / values["bf16", "decode"]
    assert values["fp32 / bf16", "decode"] == pytest.approx(ratio)
    assert ("nf4 / bf16", "learner") in values


@pytest.mark.slow
def test_the_real_model_is_measured(capsys: pytest.CaptureFixture[str], smollm2: str, runs: Path) -> None:
    """SmolLM2 with both questions of its judge, at a small size: no phase is missing, all did equal work."""
    sizes = ("turns=1", "new_tokens=4", "judge.wim.max_new_tokens=4", "dialogues=2", "repeats=1", "pairs=1")
    found = {}
    for arguments in (("parts=[limits,speeds,learning]",), ("--vs", "sequential")):
        with pytest.raises(SystemExit) as done:
            main([*sizes, *arguments, f"agents.ada.checkpoint={smollm2}", "--json"])
        assert done.value.code == 0
        found |= {(q["part"], q["what"]): q for q in json.loads(capsys.readouterr().out)["quantities"]}
    assert all(found["with learning", f"time: {phase}"]["low"] > 0 for phase in PHASES)
    shares = [q for (_, what), q in found.items() if what.endswith("share of the machine's limit")]
    assert len(shares) == 3 and all(q["low"] > 0 for q in shares)
    assert found["2 dialogues", "ours / sequential"]["low"] > 0
