"""Packed linear layers: the same products and gradients as plain ones, and no second copy of the weights."""

import platform
import weakref
from collections.abc import Callable
from pathlib import Path

import families
import pytest
import torch
import transformers
from torch import nn

from agents import packing
from agents.backbone import Backbone, Lora, load_folder
from agents.decoding import Sampling
from agents.engine import Engine
from agents.flight import Ask
from agents.loading import load_model
from agents.packing import Block, Embedding, Packed, PackedHead
from agents.reader import Prompt
from agents.scoring import Pack, completion_logps
from agents.weights import Weights

Checkpoint = Callable[..., Path]
TYPES = [torch.float32, torch.bfloat16]

pytestmark = pytest.mark.skipif(
    not packing.can_pack(torch.zeros(1)), reason="this processor or this PyTorch packs no weights"
)


@pytest.fixture(params=TYPES, ids=["fp32", "bf16"])
def plain(request: pytest.FixtureRequest) -> nn.Linear:
    """A frozen layer with a bias, of a size that no block of a layout divides."""
    if not packing.can_pack(torch.zeros(1, dtype=request.param)):
        pytest.skip("this processor has no products of bf16")
    torch.manual_seed(0)
    return nn.Linear(70, 37).to(request.param).requires_grad_(False)


def alone(layer: nn.Linear) -> Packed:
    """The layer as a block of its own."""
    return Packed(Block([layer]), 0, layer)


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether they are equal: in bf16 to the last bit, in fp32 to what another order of sums does."""
    if one.dtype == torch.bfloat16:
        return torch.equal(one, other)
    return torch.allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 3, 16, 200])
def test_products_are_those_of_the_plain_layer(plain: nn.Linear, rows: int) -> None:
    """Also of states with more dimensions."""
    inputs = torch.randn(1, rows, 70).to(plain.weight.dtype)
    found = alone(plain)(inputs)
    assert found.shape == (1, rows, 37)
    assert close(found, plain(inputs))


@pytest.mark.parametrize("kind", TYPES, ids=["fp32", "bf16"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "plain"])
def test_layers_that_read_the_same_input_are_one_product(kind: torch.dtype, bias: bool) -> None:
    """In any order, asked again, and for their gradients, they give what each of them gives alone."""
    torch.manual_seed(0)
    sizes = {"q_proj": 24, "k_proj": 8, "v_proj": 8, "o_proj": 5}
    layers = {n: nn.Linear(70, size, bias).to(kind).requires_grad_(False) for n, size in sizes.items()}
    parent = nn.ModuleDict(layers)
    packing.pack_children(parent)
    assert len({id(parent[name].block) for name in ("q_proj", "k_proj", "v_proj")}) == 1
    assert parent["o_proj"].block is not parent["q_proj"].block
    one, other = (torch.randn(1, 9, 70).to(kind) for _ in range(2))
    for name, inputs in [
        ("v_proj", one),
        ("k_proj", one),
        ("k_proj", other),
        ("k_proj", other),
        ("q_proj", one),
    ]:
        assert close(parent[name](inputs), layers[name](inputs))
        bias_here = parent[name].bias
        assert bias_here is None if not bias else torch.equal(bias_here, layers[name].bias)
        assert torch.equal(parent[name].weight, layers[name].weight)
    gradients = []
    for model in (layers, parent):
        inputs = one.clone().requires_grad_()
        sum((model[name](inputs).float() ** 2).sum() for name in ("q_proj", "k_proj", "v_proj")).backward()
        gradients.append(inputs.grad.float())
    room = 2e-2 if kind == torch.bfloat16 else 1e-5  # what rounding three summands in another order does
    torch.testing.assert_close(gradients[1], gradients[0], rtol=room, atol=room)


def siblings() -> nn.ModuleDict:
    """Two packed layers that read the same input."""
    torch.manual_seed(0)
    parent = nn.ModuleDict({name: nn.Linear(8, 4).requires_grad_(False) for name in ("gate_proj", "up_proj")})
    packing.pack_children(parent)
    return parent


def test_what_was_not_asked_for_goes_with_its_input() -> None:
    """A pass that ends with an error between two layers leaves nothing behind."""
    layers = siblings()
    inputs = torch.randn(3, 8, requires_grad=True) * 2
    seen = weakref.ref(inputs)
    layers["gate_proj"](inputs)
    del inputs
    assert seen() is None


@pytest.mark.parametrize("change", ["in place", "gradients"])
def test_an_input_that_has_changed_since_is_read_anew(change: str) -> None:
    """Or one whose gradient was not wanted before."""
    layers = siblings()
    inputs = torch.randn(3, 8, requires_grad=True) * 2
    with torch.no_grad():
        layers["gate_proj"](inputs)
        if change == "in place":
            inputs += 1
            assert close(
                layers["up_proj"](inputs),
                nn.functional.linear(inputs, layers["up_proj"].weight, layers["up_proj"].bias),
            )
    if change == "gradients":
        assert layers["up_proj"](inputs).requires_grad


def test_what_a_layer_gives_may_be_changed_in_place() -> None:
    """As models that clip their queries, keys and values do; gradients are those of plain layers."""
    layers = siblings()
    plain = {name: nn.Linear(8, 4).requires_grad_(False) for name in layers}
    for name, layer in plain.items():
        layer.load_state_dict({"weight": layers[name].weight, "bias": layers[name].bias})
    found = []
    for model in (plain, layers):
        torch.manual_seed(1)
        inputs = torch.randn(3, 8, requires_grad=True)
        parts = [model[name](inputs).clamp_(-0.5, 0.5) for name in ("gate_proj", "up_proj")]
        (parts[0] * parts[1]).sum().backward()
        found.append(inputs.grad)
    torch.testing.assert_close(found[1], found[0])


def test_an_adapter_reads_each_block_once(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """PEFT asks each layer for its weights many times."""
    backbone = load_folder(Weights("tiny", checkpoint(families.SMOLLM), "a test"), "fp32", "cpu")
    made = []
    plainly = torch.Tensor.to_dense
    monkeypatch.setattr(torch.Tensor, "to_dense", lambda tensor: made.append(id(tensor)) or plainly(tensor))
    backbone.add_adapter("ada", Lora(rank=2))
    blocks = {id(layer.block.packed) for layer in backbone.model.modules() if isinstance(layer, Packed)}
    assert sorted(made) == sorted(blocks)
    layer = next(layer for layer in backbone.model.modules() if isinstance(layer, Packed))
    one, other = layer.weight, layer.weight
    assert one.data_ptr() != other.data_ptr(), "nothing is kept afterwards"


def test_a_layer_with_a_bias_beside_one_without_stays_alone() -> None:
    """They cannot lie as one."""
    parent = nn.ModuleDict({"gate_proj": nn.Linear(8, 4), "up_proj": nn.Linear(8, 4, bias=False)})
    packing.pack_children(parent)
    assert parent["gate_proj"].block is not parent["up_proj"].block
    assert torch.equal(parent["gate_proj"](torch.zeros(1, 8))[0], parent["gate_proj"].bias)


def test_gradients_are_those_of_the_plain_layer(plain: nn.Linear) -> None:
    """Of what goes in; the weights are frozen."""
    gradients = []
    for layer in (plain, alone(plain)):
        torch.manual_seed(1)
        inputs = torch.randn(1, 9, 70).to(plain.weight.dtype).requires_grad_()
        (layer(inputs) * torch.randn(1, 9, 37).to(plain.weight.dtype)).sum().backward()
        assert inputs.grad is not None
        gradients.append(inputs.grad)
    assert float(gradients[0].abs().sum()) > 0
    assert close(gradients[1], gradients[0])


def test_the_weights_can_be_read_as_they_were(plain: nn.Linear) -> None:
    """To the last bit; and they are no parameter."""
    packed = alone(plain)
    assert torch.equal(packed.weight, plain.weight)
    assert packed.weight.dtype == plain.weight.dtype
    assert [name for name, _ in packed.named_parameters()] == []


def test_of_a_model_all_but_the_head_is_packed_and_nothing_lies_twice(checkpoint: Checkpoint) -> None:
    """What is left of plain weights is embeddings, norms and the head."""
    folder = checkpoint(families.SMOLLM)  # of a vocabulary that is no multiple of a block
    model = load_model(folder, "fp32", "cpu")
    linear = {name for name, layer in model.named_modules() if type(layer) is nn.Linear}
    inner = {name for name in linear if model.get_submodule(name) is not model.lm_head}
    before = {name for name, _ in model.named_parameters()}
    packing.pack(model)
    gone = {f"{name}.weight" for name in inner}
    assert gone
    assert {name for name, _ in model.named_parameters()} == before - gone
    assert type(model.lm_head) is nn.Linear
    assert all(isinstance(model.get_submodule(name), Packed) for name in inner)


def small(tied: bool, kind: torch.dtype, vocabulary: int = 256) -> transformers.LlamaForCausalLM:
    """A Llama with random weights."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=1,
        num_attention_heads=4,
        tie_word_embeddings=tied,
    )
    return transformers.LlamaForCausalLM(config).to(kind).eval().requires_grad_(False)


@pytest.mark.parametrize("kind", TYPES, ids=["fp32", "bf16"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_the_head_is_packed_where_its_rows_can_be_read(tied: bool, kind: torch.dtype) -> None:
    """The embedding reads them there if they are its own; nothing lies twice."""
    plain, packed = small(tied, kind), small(tied, kind)
    packing.pack(packed)
    head, embedding = packed.get_output_embeddings(), packed.get_input_embeddings()
    assert isinstance(head, PackedHead)
    assert isinstance(embedding, Embedding) == tied
    ids = torch.tensor([[0, 63, 64, 255, 7, 7]])
    assert torch.equal(embedding(ids), plain.get_input_embeddings()(ids))
    assert torch.equal(embedding.weight, plain.get_input_embeddings().weight)
    assert torch.equal(head.rows(ids), plain.lm_head.weight[ids])
    states = torch.randn(5, 64).to(kind)
    assert close(head(states), plain.lm_head(states))
    assert close(packed(ids).logits, plain(ids).logits)
    stored = sum(t.numel() for t in [*packed.parameters(), *packed.buffers()])
    assert stored == sum(t.numel() for t in [*plain.parameters(), *plain.buffers()])


def test_a_head_of_an_unknown_layout_stays_plain() -> None:
    """As of a vocabulary that is no multiple of a block, to which oneDNN adds rows."""
    model = small(True, torch.float32, vocabulary=250)
    packing.pack(model)
    assert type(model.lm_head) is nn.Linear
    assert model.lm_head.weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.name)
def test_models_say_and_learn_the_same(checkpoint: Checkpoint, family: families.Family) -> None:
    """Greedy texts, log-probabilities and the gradient of an adapter, in fp32, of all families."""
    folder = checkpoint(family)
    packed = load_folder(Weights("tiny", folder, "a test"), "fp32", "cpu")
    plain = Backbone(load_model(folder, "fp32", "cpu"), packed.tokenizer, packed.weights, "fp32")
    rows = families.rows(3, 21, 9)
    said, gradients = [], []
    for backbone in (plain, packed):
        asks = [Ask(Prompt(tuple(row)), Sampling(temperature=0), 1, 6, frozenset(), 0) for row in rows]
        said.append([reply.ids for [reply] in Engine(backbone).write(asks)])
        backbone.add_adapter("ada", Lora(rank=2, targets=family.agent.lora_targets))
        for number, parameter in enumerate(backbone.adapter_parameters("ada")):
            torch.manual_seed(number)
            parameter.data.normal_(std=0.1)
        with backbone.speaking_as("ada"):
            pack = Pack.of([(rows[1], [rows[0], rows[2]])], backbone.device)
            logps = completion_logps(backbone, pack)
        logps.sum().backward()
        found = [parameter.grad for parameter in backbone.adapter_parameters("ada")]
        gradients.append(torch.cat([logps.detach(), *(g.flatten() for g in found if g is not None)]))
    assert said[0] == said[1]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-4)


def test_on_another_processor_nothing_is_changed(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In four bits nothing is either but the head, which bitsandbytes leaves as it is."""
    folder = Weights("tiny", checkpoint(families.MISTRAL), "a test")
    quantised = load_folder(folder, "nf4", "cpu").model
    head = [quantised.lm_head] if packing.can_pack(quantised.get_input_embeddings().weight) else []
    assert [layer for layer in quantised.modules() if isinstance(layer, Packed)] == head
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert not any(isinstance(layer, Packed) for layer in load_folder(folder, "fp32", "cpu").model.modules())
