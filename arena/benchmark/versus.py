"""This engine against others on equal work, interleaved."""

from collections.abc import Callable
from dataclasses import replace

import torch

from agents.dialogue import Message
from arena.benchmark import engine, llamacpp, online_trl
from arena.benchmark.engine import Held, Speed
from arena.benchmark.measure import Peak, Samples, interleaved, seconds
from arena.benchmark.online_trl import Step
from arena.benchmark.parts import Alone, Bench, alone, memory, show
from arena.benchmark.sequential import Replayed, replay
from arena.benchmark.work import passages

BASE = "bf16"
"""The precision that others are compared with."""


def sequential(bench: Bench, _: str, __: str) -> None:
    """Against one prompt at a time, all read anew: many dialogues, and a single one."""
    bench.warm()
    for count in sorted({bench.sizes.dialogues, 1}, reverse=True):
        _sequential(bench, count)
    bench.report.notes.append(
        "sequential: the ancestor's way on the same checkpoint, asked the very prompts of our dialogues, so "
        "that both read and wrote equally many tokens; embeddings are in our time, not in its"
    )


def _sequential(bench: Bench, count: int) -> None:
    every = max(1, count // len(bench.seats))
    sizes = replace(bench.sizes, dialogues=count)
    last: list[Held] = []

    def ours(repeat: int) -> Held:
        last[:] = [bench.hold(repeat, sizes)]
        return last[0]

    def theirs(_: int) -> Replayed:
        return replay(last[0].calls, count, every)

    part = f"{count} dialogues" if count > 1 else "one dialogue"
    sides: dict[str, Callable[[int], Held | Replayed]] = {f"{part}, ours": ours, f"{part}, theirs": theirs}
    mine, others = interleaved(sides, bench.sizes.repeats, bench.say).values()
    fast, slow = (Samples.of(found, lambda one: one.per_hour) for found in (mine, others))
    bench.report.add(part, "ours", fast, "dialogues/h")
    note = f"from 1 prompt in {every}" if every > 1 else ""
    bench.report.add(part, "sequential", slow, "dialogues/h", note)
    bench.report.ratio(part, "ours / sequential", fast, slow, "per dialogue")


def trl(bench: Bench, _: str, __: str) -> None:
    """Against TRL's trainer: two replies to each prompt, a reward, an update; then the next."""
    bench.attach([bench.seat])
    for name, checkpointing in online_trl.VARIANTS.items():
        _trl(bench, name, checkpointing)
    bench.report.notes.append(
        "trl: OnlineDPOTrainer's own loop on the same model, prompts, lengths, adapter and reward "
        "(letters). As it is: gradient checkpointing, which also takes its generation the cache. Tuned: "
        "without. Both sides' weights are in the process, so compare the growth"
    )


def _trl(bench: Bench, name: str, checkpointing: bool) -> None:
    agent, learner, sizes = bench.agent, bench.learners[bench.seat], bench.sizes
    # Other prompts for each variant, so that nothing has been read before.
    first = sizes.seed + (sizes.repeats + online_trl.WARM) * checkpointing
    steps = range(first, first + sizes.repeats + online_trl.WARM)
    prompts = [passages(sizes.pairs, sizes.prompt_tokens, step) for step in steps]

    def ours(step: int) -> Step:
        with Peak(bench.device) as peak:
            took = seconds(
                lambda: learner.step(engine.pairs(agent, prompts[step], sizes.new_tokens, steps[step]))
            )
        bench.say(f"step {step + 1} of {len(steps)}: ours in {took:.1f} s")
        return Step(sizes.pairs, took, peak.growth, peak.most)

    mine, others = online_trl.compare(agent, learner, prompts, sizes.new_tokens, checkpointing, ours)
    fast, slow = (Samples.of(found, lambda one: one.speed) for found in (mine, others))
    part = f"against {name}"
    bench.report.add(part, "ours", fast, "pairs/s")
    bench.report.add(part, name, slow, "pairs/s")
    bench.report.ratio(part, f"ours / {name}", fast, slow)
    memory(bench.report, part, mine, "ours")
    memory(bench.report, part, others, name)


def llama_cpp(bench: Bench, server: str, gguf: str) -> None:
    """Against a llama.cpp server of the same weights: decoding in one batch."""
    sizes, agent, threads = bench.sizes, bench.agent, torch.get_num_threads()
    start, file = llamacpp.command(server), llamacpp.weights(agent, gguf)
    rows, context = sizes.dialogues, 2 * sizes.prompt_tokens + sizes.new_tokens

    def prompts(repeat: int) -> list[list[Message]]:
        return passages(rows, sizes.prompt_tokens, sizes.seed + repeat)

    def ours(repeat: int) -> Speed:
        return engine.speed(engine.asking(agent, prompts(repeat)), rows, sizes.new_tokens)

    with llamacpp.serving(start, file, rows, context, threads) as address:

        def theirs(repeat: int) -> Speed:
            with llamacpp.asking(address, agent, prompts(repeat)) as ask:
                return engine.speed(ask, rows, sizes.new_tokens)

        sides = {"ours": ours, "llama.cpp": theirs}
        found = interleaved(sides, sizes.repeats, bench.say, warm=True)
    part = f"{rows} rows, {threads} threads"
    for what, quantity in (
        ("decode", lambda one: one.rows / one.step),
        ("decode per thread", lambda one: one.rows / one.step / threads),
        ("prompt and reply", lambda one: one.whole),
    ):
        fast, slow = (Samples.of(found[side], quantity) for side in sides)
        bench.report.add(part, f"{what}, ours", fast, "tokens/s")
        bench.report.add(part, f"{what}, llama.cpp", slow, "tokens/s")
        bench.report.ratio(part, f"{what}, ours / llama.cpp", fast, slow)
    bench.report.notes.append(
        f"llama.cpp: {' '.join(start)} on {file.name}, {file.stat().st_size / 1e9:.3f} GB as it is "
        f"stored; ours holds the same weights in {agent.backbone.precision}. Decode is what a long answer "
        "takes beyond one of a single token, to a prompt that has been read before"
    )


def precision(bench: Bench, _: str, __: str) -> None:
    """The precisions against each other; each has a seat of its own."""
    bench.attach(bench.learners)
    bench.report.machine = {**bench.report.machine, "precision": " ".join(bench.seats)}

    def side(seat: str) -> Callable[[int], Alone]:
        return lambda repeat: alone(bench.seats[seat], bench.learners.get(seat), bench.sizes, repeat)

    sides = {seat: side(seat) for seat in bench.seats}
    found = interleaved(sides, bench.sizes.repeats, bench.say, warm=True)
    speeds = {name: show(bench.report, name, measured, bench.sizes) for name, measured in found.items()}
    for name in speeds:
        for what, samples in speeds[name].items():
            if name != BASE:
                bench.report.ratio(f"{name} / {BASE}", what, samples, speeds[BASE][what])
