"""Local agents: replies, log-probabilities, label probabilities, and adapters on shared weights."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import families
import peft
import pytest
import torch
import transformers

from agents import backbone as backbones
from agents.backbone import Lora
from agents.base import Call, reply_together
from agents.contrastive import Contrastive
from agents.decoding import Sampling
from agents.dialogue import Message, Reply
from agents.errors import ConfigError
from agents.families import Llama
from agents.local import Local
from agents.scripted import Scripted

Checkpoint = Callable[..., Path]
LABELS = [str(number) for number in range(1, 11)]
DIGITS = (*families.WORDS, "10")
"""Words of a tokenizer in which "10" is one token."""


def asked(*texts: str) -> list[list[Message]]:
    """One prompt per text."""
    return [[Message(role="user", content=text)] for text in texts]


PROMPTS = asked("Hi", "What does the model say in answer to the user's long question?", "And then?")
IDS = ((5, 9, 77, 3), (200,), (45, 46, 47, 48, 49, 50, 51, 52, 53))
REPLIES = [Reply("", ids=ids) for ids in IDS]


@pytest.fixture(params=families.FAMILIES, ids=lambda family: family.name)
def agent(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> Local:
    """An agent of each family."""
    return make(checkpoint, request.param)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Backbones without the adapters of other tests."""
    backbones.load.cache_clear()
    yield
    backbones.load.cache_clear()


@pytest.fixture
def pair(checkpoint: Checkpoint, fresh: None) -> tuple[Local, Local]:
    """Two seats of one checkpoint, each with an adapter that has moved."""
    seats = make(checkpoint), make(checkpoint)
    for seat, name in zip(seats, ("ada", "bob"), strict=True):
        seat.learn_as(name, Lora(rank=4))
        move(seat, name)
    return seats


def make(
    checkpoint: Checkpoint,
    family: families.Family = families.LLAMA,
    words: tuple[str, ...] = families.WORDS,
    precision: str = "fp32",
    **options: Any,
) -> Local:
    """An agent on a tiny checkpoint."""
    folder = str(checkpoint(family, words))
    return family.agent(checkpoint=folder, precision=precision, device="cpu", **options)


def move(agent: Local, adapter: str) -> None:
    """Give an adapter weights that matter."""
    draw = torch.Generator().manual_seed(sum(map(ord, adapter)))
    for parameter in agent.backbone.adapter_parameters(adapter):
        parameter.data = torch.randn(parameter.shape, generator=draw) * 0.1


def naive_logps(agent: Local, prompt: Sequence[Message], ids: Sequence[int]) -> list[float]:
    """Log-probabilities of `ids` from one forward pass of transformers' own model."""
    row = agent.template.ids(prompt)
    logits = families.read(Path(agent.source[0]), [*row, *ids])[0][len(row) - 1 : -1]
    return logits.log_softmax(-1)[range(len(ids)), list(ids)].tolist()


def flat(rows: Sequence[Sequence[float]]) -> list[float]:
    """All numbers of `rows`."""
    return [value for row in rows for value in row]


def test_log_probabilities_equal_those_of_single_rows(agent: Local) -> None:
    """Ragged prompts and replies in one batch, against transformers' logits."""
    expected = [naive_logps(agent, prompt, ids) for prompt, ids in zip(PROMPTS, IDS, strict=True)]
    found = agent.logps(PROMPTS, REPLIES)
    assert [len(row) for row in found] == [len(ids) for ids in IDS]
    assert flat(found) == pytest.approx(flat(expected), abs=1e-4)


def test_log_probabilities_do_not_depend_on_the_budget(checkpoint: Checkpoint) -> None:
    """Row by row gives what one pass gives."""
    one, all_ = (make(checkpoint, batch_tokens=tokens) for tokens in (1, 10_000))
    assert flat(one.logps(PROMPTS, REPLIES)) == pytest.approx(flat(all_.logps(PROMPTS, REPLIES)), abs=1e-4)


def test_perplexity_is_the_exponential_of_the_mean_negative_log_probability(checkpoint: Checkpoint) -> None:
    """One number per reply, at least 1."""
    agent = make(checkpoint)
    expected = [
        math.exp(-sum(row) / len(row))
        for row in (naive_logps(agent, prompt, ids) for prompt, ids in zip(PROMPTS, IDS, strict=True))
    ]
    found = agent.perplexity(PROMPTS, REPLIES)
    assert found == pytest.approx(expected, rel=1e-4)
    assert min(found) >= 1


@pytest.mark.parametrize(
    ("family", "end"),
    [
        (families.MIXTRAL, "</s>"),
        (families.MISTRAL, "</s>"),
        (families.LLAMA, "<|eot_id|>"),
        (families.QWEN, "<|im_end|>"),
        (families.GEMMA, "<end_of_turn>"),
        (families.SMOLLM, "<|im_end|>"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_reply_without_tokens_is_its_text_and_the_end_of_a_turn(
    checkpoint: Checkpoint, family: families.Family, end: str
) -> None:
    """What another agent or a human said is scored as a reply that ended."""
    agent = make(checkpoint, family)
    assert agent.backbone.tokenizer.decode(agent.completion_ids(Reply("I say."))) == f"I say.{end}"


def test_a_reply_that_spells_an_end_has_only_its_own(checkpoint: Checkpoint) -> None:
    """The text of a foreign reply cannot end its turn early."""
    agent = make(checkpoint)
    ids = agent.completion_ids(Reply("a<|eot_id|>b"))
    assert [place for place, token in enumerate(ids) if token in agent.ends] == [len(ids) - 1]


def test_sampled_tokens_are_scored_as_they_were_sampled(checkpoint: Checkpoint) -> None:
    """Text is not tokenised again, and a cut reply gets no end."""
    reply = Reply("ab", finish="length", ids=(5, 6))
    assert make(checkpoint).completion_ids(reply) == [5, 6]


@pytest.mark.parametrize(
    ("family", "ends"),
    [
        (families.LLAMA, {"<|end_of_text|>", "<|eot_id|>"}),
        (families.GEMMA, {"<eos>", "<end_of_turn>"}),
        (families.MIXTRAL, {"</s>"}),
        (families.SMOLLM, {"<|im_end|>"}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_turn_ends_where_the_family_ends_it(
    checkpoint: Checkpoint, family: families.Family, ends: set[str]
) -> None:
    """The end of a sequence, and the family's end of a turn."""
    agent = make(checkpoint, family)
    assert set(agent.backbone.tokenizer.convert_ids_to_tokens(sorted(agent.ends))) == ends


def test_replies_say_how_they_ended(checkpoint: Checkpoint) -> None:
    """Of many random replies some stop, with their end token in `ids` only; the others are cut."""
    agent = make(checkpoint, max_new_tokens=40)
    drafts = [reply for row in agent.reply(PROMPTS, n=16) for reply in row]
    assert {reply.finish for reply in drafts} == {"stop", "length"}
    for reply in drafts:
        ended = [token in agent.ends for token in reply.ids]
        assert any(ended) is (reply.finish == "stop")
        assert not any(ended[:-1])
        assert len(reply.ids) == 40 or reply.finish == "stop"
        assert "<|eot_id|>" not in reply.text


def test_a_reply_counts_the_tokens_that_it_answers(checkpoint: Checkpoint) -> None:
    """`tokens_in` is the length of the prompt."""
    agent = make(checkpoint, max_new_tokens=2)
    counts = [row[0].tokens_in for row in agent.reply(PROMPTS)]
    assert counts == [len(agent.template.ids(prompt)) for prompt in PROMPTS]


def test_the_smallest_budget_on_the_weights_counts_and_changes_no_reply(
    checkpoint: Checkpoint, fresh: None
) -> None:
    """Draft by draft gives what one batch gives; the other agent on these weights is then as careful."""
    large, small = (make(checkpoint, max_new_tokens=8, batch_tokens=tokens) for tokens in (5000, 10))
    together = large.reply(PROMPTS, n=2, seeds=[5, 6, 7])
    assert small.reply(PROMPTS, n=2, seeds=[5, 6, 7]) == together
    assert large.engine.tokens == 10


def test_a_budget_may_be_as_large_as_an_agent_wants(checkpoint: Checkpoint, fresh: None) -> None:
    """What is asked for is what the engine has, above the defaults too."""
    agent = make(checkpoint, batch_tokens=100_000, kept_gb=4.0)
    assert (agent.engine.tokens, agent.engine.prefixes.limit) == (100_000, 4_000_000_000)


def test_kept_keys_and_values_stay_within_their_limit(checkpoint: Checkpoint, fresh: None) -> None:
    """In gigabytes; with none, nothing is kept."""
    some, none = make(checkpoint, kept_gb=1.0), make(checkpoint, kept_gb=0.0)
    some.reply(PROMPTS, max_new_tokens=3)
    assert some.engine.prefixes.bytes > 0
    none.reply(PROMPTS, max_new_tokens=3)
    assert none.engine.prefixes.limit == 0


@pytest.mark.parametrize("options", [{"batch_tokens": 0}, {"kept_gb": -1.0}], ids=str)
def test_budgets_out_of_range_are_refused(checkpoint: Checkpoint, options: dict[str, Any]) -> None:
    """The message names both."""
    with pytest.raises(ConfigError, match="batch_tokens must be at least 1 and kept_gb at least 0"):
        make(checkpoint, **options)


def test_agents_on_the_same_weights_reply_in_one_batch(pair: tuple[Local, Local]) -> None:
    """Each with its own adapter, drafts, seeds and limit, as if it were alone."""
    ada, bob = pair
    calls = [
        Call(ada, PROMPTS, 2, (5, 6, 7), 6),
        Call(bob, PROMPTS[:1], 1, (), 4),
        Call(ada.fixed(), PROMPTS[1:], 3, (1, 2), 5),
    ]
    alone = [c.agent.reply(c.prompts, c.n, seeds=c.seeds, max_new_tokens=c.max_new_tokens) for c in calls]
    assert reply_together(calls) == alone


def test_agents_of_no_common_weights_reply_one_after_the_other(checkpoint: Checkpoint) -> None:
    """Two checkpoints, or a script: the replies come in the order of the calls."""
    local, script = make(checkpoint, max_new_tokens=4), Scripted(["so"])
    found = reply_together([Call(script, PROMPTS[:1]), Call(local, PROMPTS), Call(script, PROMPTS[:1])])
    assert found == [script.reply(PROMPTS[:1]), local.reply(PROMPTS), script.reply(PROMPTS[:1])]


def test_a_question_that_follows_a_rating_reads_only_what_is_new(
    checkpoint: Checkpoint, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing goes on from where the rating was read."""
    agent = make(checkpoint, max_new_tokens=1)
    read: list[int] = []
    plain = agent.backbone.read
    monkeypatch.setattr(agent.backbone, "read", lambda ids, plan: read.append(len(ids)) or plain(ids, plan))
    prompt = [Message(role="user", content="How good is this answer? " * 4)]
    agent.rate([prompt], LABELS, "Rating: ")
    del read[:]
    agent.reply([[*prompt, Message(role="assistant", content="Rating: 7")]])
    assert sum(read) == len(agent.template.text_ids("7"))


def test_the_default_seed_of_a_prompt_is_its_position(checkpoint: Checkpoint) -> None:
    """Also where the prompts are written one by one."""
    agent = make(checkpoint, max_new_tokens=8, batch_tokens=1)
    assert agent.reply(PROMPTS) == agent.reply(PROMPTS, seeds=[0, 1, 2])


def test_a_call_can_have_its_own_limit(checkpoint: Checkpoint) -> None:
    """`max_new_tokens` of the call goes before that of the agent."""
    agent = make(checkpoint, max_new_tokens=8)
    assert {len(row[0].ids) for row in agent.reply(PROMPTS, max_new_tokens=3)} == {3}


def test_an_agent_decodes_as_it_is_told(checkpoint: Checkpoint) -> None:
    """Contrastive search without a penalty is greedy sampling."""
    contrastive = make(checkpoint, max_new_tokens=6, decoding=Contrastive(alpha=0.0))
    greedy = make(checkpoint, max_new_tokens=6, decoding=Sampling(temperature=0))
    assert contrastive.reply(PROMPTS) == greedy.reply(PROMPTS)


def test_no_prompts_get_no_replies(checkpoint: Checkpoint) -> None:
    """An empty batch is a batch."""
    agent = make(checkpoint)
    assert agent.reply([]) == agent.logps([], []) == agent.rate([], LABELS) == []


def naive_rates(agent: Local, prompt: Sequence[Message], lead: str) -> list[float]:
    """Probabilities of whole labels after `lead`; "1" is what of it does not go on to "10"."""

    def probability(text: str) -> float:
        ids = agent.template.text_ids(lead + text)
        return math.exp(sum(naive_logps(agent, prompt, ids)))

    start = agent.template.text_ids(lead + "1")
    apart = len(agent.template.text_ids(lead + "10")) > len(start)
    raw = [probability(label) for label in LABELS]
    if apart:
        raw[0] -= raw[-1]
    return [value / sum(raw) for value in raw]


@pytest.mark.parametrize("words", [families.WORDS, DIGITS], ids=["two tokens", "one token"])
@pytest.mark.parametrize("lead", ["", "Rating: "])
def test_label_probabilities_equal_those_of_whole_labels(
    agent: Local, checkpoint: Checkpoint, words: tuple[str, ...], lead: str
) -> None:
    """Whether "10" is one token of the tokenizer or two."""
    family = next(family for family in families.FAMILIES if isinstance(agent, family.agent))
    judge = make(checkpoint, family, words)
    prompts = PROMPTS[:2]
    for prompt, (rates, _) in zip(prompts, judge.rate(prompts, LABELS, lead), strict=True):
        assert rates == pytest.approx(naive_rates(judge, prompt, lead), abs=1e-5)


def test_the_mass_is_what_all_labels_have_of_the_vocabulary(checkpoint: Checkpoint) -> None:
    """The sum of the probabilities of the tokens with which labels begin."""
    judge = make(checkpoint)
    lead = judge.template.text_ids("Rating:")
    first = {judge.template.text_ids(f"Rating:{label}")[len(lead)] for label in LABELS}
    for prompt, (_, mass) in zip(PROMPTS, judge.rate(PROMPTS, LABELS, "Rating:"), strict=True):
        logits = families.read(Path(judge.source[0]), [*judge.template.ids(prompt), *lead])[0]
        assert mass == pytest.approx(float(logits[-1].softmax(-1)[sorted(first)].sum()), abs=1e-5)


def test_label_probabilities_do_not_depend_on_the_budget(checkpoint: Checkpoint, fresh: None) -> None:
    """Judging one by one gives what judging together gives."""
    all_ = make(checkpoint).rate(PROMPTS, LABELS)
    one = make(checkpoint, batch_tokens=1, kept_gb=0.0).rate(PROMPTS, LABELS)
    assert flat([rates for rates, _ in one]) == pytest.approx(flat([rates for rates, _ in all_]), abs=1e-5)


def test_long_labels_are_refused(checkpoint: Checkpoint) -> None:
    """A label has at most two tokens of its own."""
    with pytest.raises(ConfigError, match="choose shorter labels"):
        make(checkpoint).rate(PROMPTS, ["abc", "xyz"])


def test_constructing_an_agent_touches_no_weights() -> None:
    """A checkpoint that nobody has is missed only when it is used."""
    assert Llama(checkpoint="nobody/nothing").name == "nothing"


def test_the_name_of_an_agent_is_the_last_part_of_its_checkpoint() -> None:
    """Also with a slash at the end."""
    assert Llama(checkpoint="models/tiny-llama/").name == "tiny-llama"


def test_an_agent_without_a_family_needs_a_checkpoint() -> None:
    """The message names the setting."""
    with pytest.raises(ConfigError, match="checkpoint="):
        Local()


def test_agents_of_one_checkpoint_share_its_weights(checkpoint: Checkpoint, fresh: None) -> None:
    """Two seats hold one backbone, and adapters add only themselves."""
    ada, bob = make(checkpoint), make(checkpoint)
    ada.learn_as("ada", Lora(rank=4))
    bob.learn_as("bob", Lora(rank=4))
    assert ada.backbone is bob.backbone
    model = ada.backbone.model
    stored = {p.data_ptr(): p.numel() for p in model.parameters()}
    packed = sum(buffer.numel() for name, buffer in model.named_buffers() if ".packed_" in name)
    bare = families.plain(Path(ada.source[0])).num_parameters()
    adapters = [p for name in ("ada", "bob") for p in ada.backbone.adapter_parameters(name)]
    assert sum(stored.values()) + packed == bare + sum(p.numel() for p in adapters)


def test_a_fresh_adapter_changes_nothing(agent: Local, fresh: None) -> None:
    """Learning starts from the checkpoint itself."""
    before = agent.logps(PROMPTS, REPLIES)
    agent.learn_as("ada", Lora(rank=4, targets=agent.lora_targets))
    assert agent.logps(PROMPTS, REPLIES) == before


def test_adapters_sit_where_the_family_wants_them(agent: Local, fresh: None) -> None:
    """Each target of each layer has a pair of matrices, and nothing else has."""
    agent.learn_as("ada", Lora(rank=4, targets=agent.lora_targets))
    assert not isinstance(agent.lora_targets, str)
    count = 2 * families.SIZES["num_hidden_layers"] * len(agent.lora_targets)
    assert len(agent.backbone.adapter_parameters("ada")) == count


def test_an_adapter_that_moved_is_heard(pair: tuple[Local, Local]) -> None:
    """Each seat speaks with its own adapter, and neither as the bare checkpoint."""
    ada, bob = pair
    spoken = [seat.logps(PROMPTS, REPLIES) for seat in (ada, bob, ada.fixed())]
    assert spoken[0] != spoken[1] != spoken[2] != spoken[0]


def test_adapters_of_two_seats_are_independent(pair: tuple[Local, Local]) -> None:
    """Moving one changes nothing that the other says."""
    ada, bob = pair
    before = bob.logps(PROMPTS, REPLIES), bob.reply(PROMPTS, max_new_tokens=5)
    for parameter in ada.backbone.adapter_parameters("ada"):
        parameter.data *= 3
    assert (bob.logps(PROMPTS, REPLIES), bob.reply(PROMPTS, max_new_tokens=5)) == before


def test_a_fixed_agent_ignores_the_adapter(pair: tuple[Local, Local], checkpoint: Checkpoint) -> None:
    """It is the bare checkpoint, whoever spoke before."""
    ada, _ = pair
    expected = [naive_logps(ada, prompt, ids) for prompt, ids in zip(PROMPTS, IDS, strict=True)]
    fixed = ada.fixed()
    assert flat(fixed.logps(PROMPTS, REPLIES)) == pytest.approx(flat(expected), abs=1e-4)
    assert (fixed.version, ada.version) == ("", "ada@0")


def test_who_speaks_is_restored(pair: tuple[Local, Local]) -> None:
    """A speaker inside another's turn, also a bare one, leaves the outer one as it was."""
    ada, bob = pair
    backbone = ada.backbone
    alone = [seat.logps(PROMPTS, REPLIES) for seat in (ada, bob, ada.fixed())]
    with backbone.speaking_as(""):
        assert ada.logps(PROMPTS, REPLIES) == alone[0]
        with backbone.speaking_as("bob"):
            assert ada.fixed().logps(PROMPTS, REPLIES) == alone[2]
            assert hidden(ada) == hidden(bob, "bob") != hidden(ada, "ada")
        assert hidden(ada) == hidden(ada, "")
    assert hidden(ada) == hidden(ada, "")


def hidden(agent: Local, adapter: str | None = None) -> list[float]:
    """The last states of a row by whoever speaks, or by `adapter`."""
    if adapter is None:
        with torch.no_grad():
            return flat(families.states(agent.backbone, IDS[2]).tolist())
    with agent.backbone.speaking_as(adapter):
        return hidden(agent)


def test_a_backward_pass_reaches_the_adapter_after_another_has_spoken(pair: tuple[Local, Local]) -> None:
    """PEFT freezes an adapter that is not active; a gradient would be lost without a word."""
    ada, bob = pair
    with ada.backbone.speaking_as("ada"):
        loss = families.states(ada.backbone, IDS[2]).sum()
    bob.reply(PROMPTS, max_new_tokens=2)
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in ada.backbone.adapter_parameters("ada"))
    assert all(p.grad is None for p in bob.backbone.adapter_parameters("bob"))


def test_two_seats_cannot_have_one_adapter(pair: tuple[Local, Local]) -> None:
    """The message asks for other names."""
    with pytest.raises(ConfigError, match="'ada'.*name seats apart"):
        pair[1].learn_as("ada", Lora())


def test_an_unknown_adapter_is_refused(pair: tuple[Local, Local], checkpoint: Checkpoint) -> None:
    """With adapters on the weights and without."""
    with pytest.raises(ConfigError, match="no adapter 'eve'"), pair[0].backbone.speaking_as("eve"):
        pass
    backbones.load.cache_clear()
    with pytest.raises(ConfigError, match="no adapter 'eve'"), make(checkpoint).backbone.speaking_as("eve"):
        pass


def test_a_seat_may_be_named_like_a_part_of_the_model(checkpoint: Checkpoint, fresh: None) -> None:
    """The parameters of a seat named `model` are its own only."""
    ada, model = make(checkpoint), make(checkpoint)
    ada.learn_as("ada", Lora(rank=4))
    model.learn_as("model", Lora(rank=4))
    own = {id(p) for p in model.backbone.adapter_parameters("model")}
    assert len(own) == len(ada.backbone.adapter_parameters("ada"))
    assert not own & {id(p) for p in ada.backbone.adapter_parameters("ada")}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "nf4"])
def test_adapters_are_fp32_on_every_base(checkpoint: Checkpoint, fresh: None, precision: str) -> None:
    """The optimiser would lose small updates in bf16; also for the second adapter."""
    for name in ("ada", "bob"):
        agent = make(checkpoint, precision=precision)
        agent.learn_as(name, Lora(rank=4))
    for name in ("ada", "bob"):
        assert {p.dtype for p in agent.backbone.adapter_parameters(name)} == {torch.float32}


def test_the_same_seed_is_the_same_start(checkpoint: Checkpoint, fresh: None) -> None:
    """The start of an adapter depends on seed and name, not on what was drawn or added before."""
    first = make(checkpoint)
    first.learn_as("ada", Lora(rank=4, seed=3))
    state = first.backbone.adapter_state("ada")
    backbones.load.cache_clear()
    torch.rand(5)
    again = make(checkpoint)
    again.learn_as("bob", Lora(rank=4, seed=3))
    again.learn_as("ada", Lora(rank=4, seed=3))
    found = again.backbone.adapter_state("ada")
    assert state.keys() == found.keys()
    assert all(state[key].equal(found[key]) for key in state)


@pytest.mark.parametrize(("name", "seed"), [("ada", 4), ("bob", 3)])
def test_another_seed_or_name_is_another_start(
    checkpoint: Checkpoint, fresh: None, name: str, seed: int
) -> None:
    """Two seats do not start with equal matrices."""
    agent = make(checkpoint)
    agent.learn_as("ada", Lora(rank=4, seed=3))
    first = list(agent.backbone.adapter_state("ada").values())
    backbones.load.cache_clear()
    other = make(checkpoint)
    other.learn_as(name, Lora(rank=4, seed=seed))
    second = list(other.backbone.adapter_state(name).values())
    assert any(not a.equal(b) for a, b in zip(first, second, strict=True))


def test_adding_an_adapter_leaves_the_random_state_alone(checkpoint: Checkpoint, fresh: None) -> None:
    """Other draws of the program do not depend on when an adapter was added."""
    agent = make(checkpoint)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    agent.learn_as("ada", Lora(rank=4))
    assert torch.rand(3).equal(expected)


def test_a_saved_adapter_loads_in_peft(pair: tuple[Local, Local], tmp_path: Path) -> None:
    """PEFT's own classes read the folder and say the same."""
    ada, _ = pair
    ada.backbone.save_adapter("ada", tmp_path)
    base = transformers.AutoModelForCausalLM.from_pretrained(ada.source[0], dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    row = ada.template.ids(PROMPTS[0])
    with torch.no_grad():
        logits = model(torch.tensor([[*row, *IDS[0]]])).logits[0, len(row) - 1 : -1]
    expected = logits.log_softmax(-1)[range(len(IDS[0])), list(IDS[0])].tolist()
    assert ada.logps(PROMPTS[:1], REPLIES[:1])[0] == pytest.approx(expected, abs=1e-4)


def test_the_state_of_an_adapter_can_be_set_again(pair: tuple[Local, Local]) -> None:
    """What was kept is heard again after other updates."""
    ada, _ = pair
    before = ada.logps(PROMPTS, REPLIES)
    state = ada.backbone.adapter_state("ada")
    for parameter in ada.backbone.adapter_parameters("ada"):
        parameter.data += 1
    assert ada.logps(PROMPTS, REPLIES) != before
    ada.backbone.load_adapter_state("ada", state)
    assert ada.logps(PROMPTS, REPLIES) == before
