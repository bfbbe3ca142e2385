"""The plan of a run: memory counted from published sizes, work counted as the loop will do it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import families
import pytest

from agents import Agent, ArenaError, Dialogue, Scripted
from agents.families import Gemma, Llama, Mistral, Mixtral, Qwen, SmolLM
from agents.local import Local
from arena import plan
from arena.loop import Drafted, Exchanged, Performed, Table, converse
from arena.plan import Part, Shape, Work, available, lines, memory, work
from arena.train.online_dpo import OnlineDPO
from rewards.judge import Judge
from rewards.rating import Labels, Length
from rewards.wim import Wim

RATING = Judge(Labels())


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes come from what the family publishes, not from a checkpoint of this machine."""
    monkeypatch.setenv("ARENA_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def on_cpu(family: type[Local], **budget: float) -> Local:
    """An agent in nf4 on the CPU."""
    return family(precision="nf4", device="cpu", **budget)  # type: ignore[arg-type]


def parts(agents: Mapping[str, Agent], judge: Judge = RATING, *learners: str, rank: int = 16) -> list[Part]:
    """What lies in memory."""
    return memory(agents, judge, {seat: OnlineDPO(rank=rank) for seat in learners})


@pytest.mark.parametrize(
    ("family", "billions"),
    [(Llama, 8.030), (Mistral, 7.248), (Qwen, 4.022), (Gemma, 0.268), (SmolLM, 0.1345)],
)
def test_parameters_are_those_of_the_model_card(family: type[Local], billions: float) -> None:
    """To one in a thousand."""
    shape = Shape.of(on_cpu(family))
    assert (shape.linear + shape.other) / 1e9 == pytest.approx(billions, rel=1e-3)


def test_mixtral_in_nf4_takes_24_5_gigabytes() -> None:
    """46.7 billion parameters; four-bit experts, though transformers keeps them in one block."""
    first, *_ = parts({"mixtral": on_cpu(Mixtral)})
    assert first.gigabytes == pytest.approx(24.5, rel=0.02)
    assert first.how == "46.70 billion parameters, nf4"


def test_llama_in_nf4_takes_5_7_gigabytes() -> None:
    """6.98 billion weights at 0.516 bytes, 1.05 billion of embeddings at 2: 3.60 + 2.10."""
    first, *_ = parts({"llama": on_cpu(Llama)})
    assert first.gigabytes == pytest.approx(5.7, rel=0.02)


@pytest.mark.parametrize(("precision", "gigabytes"), [("bf16", 0.269), ("fp32", 0.538)])
def test_other_precisions_take_two_and_four_bytes(precision: str, gigabytes: float) -> None:
    """Of 134.5 million parameters."""
    first, *_ = parts({"ada": SmolLM(precision=precision, device="cpu")})
    assert first.gigabytes == pytest.approx(gigabytes, rel=1e-3)


def test_shared_weights_are_counted_once() -> None:
    """Two seats and a judge on one checkpoint; keys and values once, too."""
    seats = {"ada": on_cpu(SmolLM), "bob": on_cpu(SmolLM)}
    found = parts(seats, Judge(Labels(), agent=on_cpu(SmolLM)))
    assert [part.what for part in found] == [
        "SmolLM2-135M-Instruct (ada, bob, judge)", "SmolLM2-135M-Instruct: keys and values",
    ]  # fmt: skip


def test_other_precisions_of_a_checkpoint_are_other_weights() -> None:
    """They are loaded apart."""
    seats = {"ada": on_cpu(SmolLM), "bob": SmolLM(precision="fp32", device="cpu")}
    assert len([part for part in parts(seats) if "billion" in part.how]) == 2


def test_keys_and_values_are_counted_by_the_smallest_budget() -> None:
    """30 layers x 3 heads x 64 wide x 2 x 2 bytes = 23040 bytes a token; and what is kept."""
    seats = {
        "ada": on_cpu(SmolLM, batch_tokens=4096, kept_gb=0.5),
        "bob": on_cpu(SmolLM, batch_tokens=8192, kept_gb=0.25),
    }
    cache = parts(seats)[1]
    assert cache.gigabytes == pytest.approx(23040 * 4096 / 1e9 + 0.25)
    assert cache.how == "4096 tokens in flight, and 0.25 GB kept"


def test_an_adapter_is_counted_with_gradient_and_optimiser() -> None:
    """Rank 1 on SmolLM2: q and o 1152, k and v 768, three times 2112 a layer; 30 layers; 16 bytes."""
    found = parts({"ada": on_cpu(SmolLM), "bob": on_cpu(SmolLM)}, RATING, "bob", rank=1)
    adapter = found[-1]
    assert adapter.what == "bob: adapter, gradient, optimiser"
    assert adapter.gigabytes == pytest.approx((1152 + 768 + 768 + 1152 + 3 * 2112) * 30 * 16 / 1e9)


def test_the_plan_counts_the_adapter_that_is_trained(checkpoint: Callable[..., Path]) -> None:
    """The parameters that the learner really makes, on a small checkpoint."""
    agent = families.LLAMA.agent(checkpoint=str(checkpoint(families.LLAMA)), precision="fp32", device="cpu")
    learner = OnlineDPO(rank=3)
    counted = Shape.of(agent).adapter(3, agent)
    learner.attach(agent, "planned")
    assert counted == sum(parameter.numel() for parameter in learner.parameters)


def test_the_plan_counts_the_model_that_is_loaded(checkpoint: Callable[..., Path]) -> None:
    """The parameters of the weights themselves, also of linear experts."""
    for family in (families.MIXTRAL, families.GEMMA, families.QWEN):
        agent = family.agent(checkpoint=str(checkpoint(family)), precision="fp32", device="cpu")
        shape = Shape.of(agent)
        model = agent.backbone.model
        loaded = sum(p.numel() for n, p in model.named_parameters() if "lora_" not in n)
        loaded += sum(buffer.numel() for name, buffer in model.named_buffers() if ".packed_" in name)
        assert shape.linear + shape.other == loaded, family.name


def test_agents_elsewhere_take_no_memory() -> None:
    """They are named all the same."""
    assert parts({"ada": Scripted(["x"])}) == [Part("ada: scripted", 0.0, "elsewhere")]


def test_the_embedder_is_counted_where_it_is_used() -> None:
    """By its short name."""
    found = parts({"ada": Scripted(["x"])}, Judge(Length(), Wim(), 0.4))
    assert found[-1].what == "all-MiniLM-L6-v2"


def test_a_checkpoint_of_unknown_size_is_refused() -> None:
    """It is neither at hand nor the family's own."""
    agent = Llama(checkpoint="someone/Llama-70B", precision="nf4", device="cpu")
    with pytest.raises(ArenaError, match="size of 'someone/Llama-70B' is not known .*download it first"):
        parts({"ada": agent})


def test_work_of_two_seats_is_counted_by_hand() -> None:
    """2 dialogues of 3 turns, 3 each; Ada drafts 3: 9 + 3 drafts, and 4 performances: 16 verdicts."""
    asked = work(["ada", "bob"], ["ada"], Judge(Labels(), Wim(), 0.4), dialogues=2, turns=3, drafts=3)
    assert (asked.turns, asked.drafts, asked.ratings, asked.wims) == (6, 12, 16, 16)
    assert asked.judge_calls == 32


def test_work_of_three_seats_is_counted_by_hand() -> None:
    """One dialogue of two turns: the third seat says nothing, and judges the second twice."""
    asked = work(["ada", "bob", "cyd"], [], RATING, dialogues=1, turns=2, drafts=4)
    assert (asked.turns, asked.drafts, asked.ratings, asked.wims) == (2, 2, 4, 0)
    assert dict(asked.verdicts_of) == {"bob": 2, "cyd": 2, "ada": 0}


def test_a_third_agent_judges_all() -> None:
    """4 drafts and 4 performances."""
    asked = work(["ada", "bob"], [], Judge(Labels(), agent=Scripted(["x"])), 2, 2, 1)
    assert dict(asked.verdicts_of) == {"judge": 8}


def test_control_arms_ask_nobody() -> None:
    """Lengths are counted, not judged."""
    assert work(["ada", "bob"], ["ada"], Judge(Length()), 4, 4, 4).judge_calls == 0


@pytest.mark.parametrize("names", [["ada", "bob"], ["ada", "bob", "cyd"]])
@pytest.mark.parametrize("turns", [1, 2, 5])
def test_the_loop_does_the_work_that_was_planned(names: list[str], turns: int) -> None:
    """Drafts, turns and verdicts, counted in its events."""
    judge = Judge(Length())
    drafts = {seat: 3 if seat == "ada" else 1 for seat in names}
    dialogues = [Dialogue(f"d{i:04d}", "ice", names[i % len(names)]) for i in range(4)]
    table = Table({seat: Scripted(["x"]) for seat in names}, judge, "", turns, drafts)
    events = list(converse(table, dialogues))
    asked = work(names, ["ada"], judge, 4, turns, 3)
    exchanges = [e for event in events if isinstance(event, Exchanged) for e in event.exchanges]
    performed = sum(len(event.verdicts) for event in events if isinstance(event, Performed))
    assert asked.turns == len(exchanges)
    assert asked.drafts == sum(len(event.turns) for event in events if isinstance(event, Drafted))
    assert sum(asked.verdicts_of.values()) == sum(len(e.verdicts) for e in exchanges) + performed


WORK = Work({"ada": 4}, {"ada": 16}, {"bob": 18}, asks_ratings=True, asks_wim=False)


def test_what_does_not_fit_is_said_with_what_to_do() -> None:
    """A part as large as the machine."""
    have, _ = available()
    text = "\n".join(lines([Part("Mixtral (ada)", have, "nf4")], WORK))
    assert "DOES NOT FIT: take smaller agents" in text
    assert f"this machine has {have:.1f} GB" in text


def test_what_fits_is_said_too() -> None:
    """With the sum and the work."""
    text = lines([Part("a", 0.25, "x"), Part("b", 0.5, "y")], WORK)
    assert text[2].startswith("     0.75 GB  in all; this machine has ")
    assert text[3] == "  fits"
    assert "  4 turns, 16 drafts, 18 judge calls (18 ratings, 0 times what is missing)" in text


def test_a_tenth_of_the_memory_is_left_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """9 GB of 10 fit, 9.1 do not."""
    monkeypatch.setattr(plan, "available", lambda: (10.0, "here"))
    assert "  fits" in lines([Part("a", 9.0, "x")], WORK)
    assert "  fits" not in lines([Part("a", 9.1, "x")], WORK)
