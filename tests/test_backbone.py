"""Weights in each precision: generating leaves gradients as they were, and 4 bits are really 4 bits."""

import shutil
from collections.abc import Callable
from pathlib import Path

import bitsandbytes
import families
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from agents import backbone as backbones
from agents.backbone import Backbone, Lora, load_folder, pick_device, pick_precision
from agents.decoding import Sampling
from agents.errors import ConfigError, Unavailable
from agents.flight import Ask
from agents.loading import load_model
from agents.reader import Prompt
from agents.scoring import Pack, completion_logps
from agents.weights import Weights, resolve

Checkpoint = Callable[..., Path]
PRECISIONS = ["nf4", "bf16", "fp32"]
DEVICE = pick_device("auto")


def load(folder: Path, precision: str) -> Backbone:
    """A checkpoint on this machine's device, with an adapter `ada` that matters."""
    backbone = load_folder(Weights("tiny", folder, "a test"), precision, DEVICE)
    return with_adapter(backbone)


def with_adapter(backbone: Backbone) -> Backbone:
    """`backbone` with an adapter on attention; its weights depend on their shapes only."""
    backbone.add_adapter("ada", Lora(rank=4, targets=("q_proj", "k_proj", "v_proj", "o_proj")))
    draw = torch.Generator().manual_seed(1)
    for parameter in backbone.adapter_parameters("ada"):
        parameter.data.copy_(torch.randn(parameter.shape, generator=draw) * 0.05)
    return backbone


def packed(backbone: Backbone) -> Pack:
    """Two prompts, each with a completion."""
    prompts, completions = families.rows(20, 33), families.rows(9, 15)
    groups = [(prompt, [completion]) for prompt, completion in zip(prompts, completions, strict=True)]
    return Pack.of(groups, backbone.device)


def learn(backbone: Backbone) -> tuple[torch.Tensor, torch.Tensor]:
    """(gradient of the adapter, log-probabilities without it) on one batch, as a learner computes them."""
    pack = packed(backbone)
    with backbone.speaking_as("ada"):
        loss = -completion_logps(backbone, pack).sum()
        gradient = torch.autograd.grad(loss, backbone.adapter_parameters("ada"))
    with backbone.speaking_as(""), torch.no_grad():
        logps = completion_logps(backbone, pack)
    return torch.cat([part.flatten() for part in gradient]).cpu(), logps.cpu()


def talk(backbone: Backbone, adapter: str) -> None:
    """Generate a little."""
    asks = [
        Ask(Prompt(tuple(row), adapter), Sampling(), 2, 6, frozenset({-1}), 0) for row in families.rows(8, 30)
    ]
    backbone.engine.write(asks)


def dequantised(backbone: Backbone, folder: Path) -> Backbone:
    """A bf16 backbone whose plain linear layers hold the values that the 4-bit ones stand for."""
    model = load_model(folder, "bf16", DEVICE)
    plain = Backbone(model, backbone.tokenizer, backbone.weights, "bf16")
    for name, layer in backbone.model.named_modules():
        if isinstance(layer, bitsandbytes.nn.Linear4bit):
            values = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
            model.get_submodule(name.replace(".base_layer", "")).weight.data = values
    return with_adapter(plain)


def likeness(one: torch.Tensor, other: torch.Tensor) -> float:
    """The cosine between two tensors of any shape."""
    return float(torch.cosine_similarity(one.flatten().float(), other.flatten().float(), dim=0))


def generating_leaves_learning_alone(backbone: Backbone) -> None:
    """Gradient and log-probabilities are those from before the generation."""
    before = learn(backbone)
    talk(backbone, "ada")
    talk(backbone, "")
    after = learn(backbone)
    assert before[0].abs().max() > 0
    assert all(same(*pair) for pair in zip(before, after, strict=True))


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal in every bit; on a GPU, whose attention sums in any order, up to a thousandth."""
    return one.equal(other) if DEVICE == "cpu" else float((one - other).norm() / one.norm()) < 1e-3


def four_bits_learn_as_their_values_do(folder: Path) -> None:
    """After a generation, nf4 has the gradient and log-probabilities of its own dequantised weights.

    PEFT rounds what an adapter adds once more on 4-bit layers than on plain ones, so gradients are
    not equal; with the fault their cosine is below 0.5 and their norm a tenth.
    """
    quantised = load(folder, "nf4")
    reference = dequantised(quantised, folder)
    talk(quantised, "ada")
    (gradient, logps), (expected, wanted) = learn(quantised), learn(reference)
    assert likeness(gradient, expected) > 0.998
    assert float(gradient.norm() / expected.norm()) == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(logps, wanted, atol=0.0 if DEVICE == "cpu" else 0.1, rtol=0)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", [families.LLAMA, families.MIXTRAL], ids=lambda family: family.name)
def test_generating_leaves_gradients_as_they_were(
    checkpoint: Checkpoint, family: families.Family, precision: str
) -> None:
    """On CPUs with AVX512-bf16, bitsandbytes repacks 4-bit weights so that gradients are wrong."""
    generating_leaves_learning_alone(load(checkpoint(family), precision))


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.name)
def test_four_bits_learn_as_the_values_that_they_stand_for(
    checkpoint: Checkpoint, family: families.Family
) -> None:
    """Quantised weights and their dequantised values have one gradient."""
    four_bits_learn_as_their_values_do(checkpoint(family))


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
def test_generating_leaves_the_gradients_of_real_weights_as_they_were(smollm2: str, precision: str) -> None:
    """The same on SmolLM2-135M-Instruct."""
    generating_leaves_learning_alone(load(resolve(smollm2).folder, precision))


@pytest.mark.slow
def test_four_bits_of_real_weights_learn_as_the_values_that_they_stand_for(smollm2: str) -> None:
    """The same on SmolLM2-135M-Instruct."""
    four_bits_learn_as_their_values_do(resolve(smollm2).folder)


def test_mixtral_says_what_transformers_own_mixtral_says(checkpoint: Checkpoint) -> None:
    """Experts as linear layers compute what experts in one tensor compute."""
    folder = checkpoint(families.MIXTRAL)
    (row,) = families.rows(40)
    model = load_folder(Weights("tiny", folder, "a test"), "fp32", "cpu")
    with torch.no_grad():
        logits = model.logits(families.states(model, row))
    plain = families.plain(folder)
    assert type(plain) is transformers.MixtralForCausalLM
    torch.testing.assert_close(logits, families.read(folder, row)[0], atol=1e-5, rtol=0)


def test_a_mixtral_checkpoint_has_the_published_names(checkpoint: Checkpoint) -> None:
    """Else loading it here would say nothing about loading the published one."""
    names = load_file(checkpoint(families.MIXTRAL) / "model.safetensors").keys()
    assert "model.layers.1.block_sparse_moe.experts.3.w2.weight" in names
    assert "model.layers.1.block_sparse_moe.gate.weight" in names


def test_the_experts_of_mixtral_are_quantised(checkpoint: Checkpoint) -> None:
    """All linear layers but the head take about a quarter of their bytes in bf16."""
    model = load_folder(Weights("tiny", checkpoint(families.MIXTRAL), "a test"), "nf4", DEVICE).model
    layers = [layer for layer in model.model.modules() if isinstance(layer, torch.nn.Linear)]
    assert len(layers) == 2 * (4 + 4 * 3)
    assert all(isinstance(layer, bitsandbytes.nn.Linear4bit) for layer in layers)
    stored = sum(
        tensor.numel() * tensor.element_size()
        for layer in layers
        for tensor in (layer.weight, layer.weight.quant_state.absmax)
    )
    bf16 = sum(layer.in_features * layer.out_features * 2 for layer in layers)
    assert 0.25 <= stored / bf16 < 0.27


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.name)
def test_four_bits_say_about_what_sixteen_say(checkpoint: Checkpoint, family: families.Family) -> None:
    """Random wide weights magnify every error, so logits are alike; those of other weights have cosine 0."""
    (row,) = families.rows(40)
    logits = []
    for precision in ("nf4", "bf16"):
        model = load_folder(Weights("tiny", checkpoint(family), "a test"), precision, DEVICE)
        with torch.no_grad():
            logits.append(model.logits(families.states(model, row)))
    assert likeness(*logits) > 0.75


def test_gradients_reach_adapters_through_four_bit_experts(checkpoint: Checkpoint) -> None:
    """Every matrix of every adapter learns, those below the last layer's experts too."""
    backbone = load(checkpoint(families.MIXTRAL), "nf4")
    with backbone.speaking_as("ada"):
        pack = packed(backbone)
        completion_logps(backbone, pack).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in backbone.adapter_parameters("ada"))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", [families.LLAMA, families.MIXTRAL], ids=lambda family: family.name)
def test_recomputed_activations_give_the_same_gradient(
    checkpoint: Checkpoint, family: families.Family, precision: str
) -> None:
    """Gradient checkpointing saves memory, changes no number, and leaves the model as it was."""
    backbone = load(checkpoint(family), precision)
    pack = packed(backbone)
    gradients = []
    for checkpointing in (False, True):
        with backbone.training(checkpointing), backbone.speaking_as("ada"):
            loss = -completion_logps(backbone, pack).sum()
            parts = torch.autograd.grad(loss, backbone.adapter_parameters("ada"))
        gradients.append(torch.cat([part.flatten() for part in parts]).cpu())
        talk(backbone, "ada")
    assert same(*gradients)
    assert not any(module.training or module._forward_hooks for module in backbone.model.modules())


def test_label_logits_are_logits_of_fewer_tokens(checkpoint: Checkpoint) -> None:
    """The short way to a few tokens gives what the long way gives."""
    backbone = load_folder(Weights("tiny", checkpoint(families.SMOLLM), "a test"), "fp32", DEVICE)
    states = torch.randn(2, 64, device=backbone.device)
    with torch.no_grad():
        torch.testing.assert_close(backbone.label_logits(states, [7, 3]), backbone.logits(states)[:, [7, 3]])


def test_a_checkpoint_that_lacks_weights_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Else transformers would draw them at random and go on."""
    folder = shutil.copytree(checkpoint(families.LLAMA), tmp_path / "torn")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(Unavailable, match=r"lacks 1 weights of a llama model.*layers\.1\.mlp\.up_proj"):
        load_folder(Weights("torn", folder, "a test"), "fp32", "cpu")


def test_the_same_settings_are_loaded_once(checkpoint: Checkpoint) -> None:
    """Another precision is another backbone."""
    name = str(checkpoint(families.LLAMA))
    assert backbones.load(name, "main", "fp32", "cpu") is backbones.load(name, "main", "fp32", "cpu")
    assert backbones.load(name, "main", "fp32", "cpu") is not backbones.load(name, "main", "bf16", "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_named_with_the_alternative() -> None:
    """The message says what was asked and what to take instead."""
    with pytest.raises(Unavailable, match="device='cuda' .* use device=auto or device=cpu"):
        pick_device("cuda")


def test_a_gpu_beyond_the_last_is_missing() -> None:
    """The number of the device is checked too."""
    with pytest.raises(Unavailable, match="device='cuda:99'"):
        pick_device("cuda:99")


@pytest.mark.parametrize("device", ["gpu", "cuda0", "cuda:first", "", "mps"])
def test_an_unknown_device_lists_those_allowed(device: str) -> None:
    """A typo is a wrong setting, not a missing machine."""
    with pytest.raises(ConfigError, match="allowed are auto, cpu, cuda, cuda:N"):
        pick_device(device)


def test_an_unknown_precision_lists_those_allowed() -> None:
    """All four names."""
    with pytest.raises(ConfigError, match="'int8' is not known; allowed are auto, nf4, bf16, fp32"):
        pick_precision("int8", "cpu")


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp32")])
def test_the_precision_of_a_cpu_is_what_it_multiplies(
    monkeypatch: pytest.MonkeyPatch, native: bool, precision: str
) -> None:
    """bf16 where the processor has it, else fp32."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    assert pick_precision("auto", "cpu") == precision


def test_a_version_of_torch_that_cannot_tell_means_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older versions have no list of capabilities."""
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert pick_precision("auto", "cpu") == "fp32"


def test_the_precision_of_a_gpu_is_four_bits() -> None:
    """The smallest one."""
    assert pick_precision("auto", "cuda:1") == "nf4"
