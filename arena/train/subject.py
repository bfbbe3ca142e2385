"""Weights for TRL's trainers: a checkpoint with one trainable adapter, and its files."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from agents import adapters
from agents.errors import ConfigError
from rewards.reward_model import HEAD

if TYPE_CHECKING:
    import torch

    from agents.local import Local
    from agents.weights import Weights


class Shape(Protocol):
    """Of the adapter."""

    @property
    def rank(self) -> int: ...  # noqa: D102
    @property
    def alpha(self) -> float: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Subject:
    """What TRL trains."""

    model: Any
    """A PeftModel with the adapter `default`."""
    tokenizer: Any
    agent: "Local"
    """The policy on these weights, for its template and token ids; it cannot speak."""
    weights: "Weights"
    device: str
    fresh: bool
    """Whether the adapter does nothing yet: then the reference is the bare model."""
    start: Mapping[str, "torch.Tensor"]
    """The trainable weights as they began, in fp32."""

    @classmethod
    def of(cls, policy: "Local", shape: Shape, scores: bool = False) -> "Subject":
        """Load the policy's checkpoint, in its precision on its device, with a new adapter or its own.

        Args:
            policy: whose checkpoint and initial adapter are taken.
            shape: of the adapter.
            scores: whether a head for scores stands in place of the one for tokens.

        Raises:
            ConfigError: the policy's initial adapter has another shape, or it is to be one of several GPUs.
            Unavailable: the device or the checkpoint cannot be had.
        """
        import torch
        from transformers import AutoTokenizer

        from agents.backbone import pick_device, pick_precision
        from agents.loading import load_model
        from agents.weights import resolve

        checkpoint, revision, precision, device = policy.source
        device = pick_device(device)
        if device.startswith("cuda:") and torch.cuda.device_count() > 1:
            raise ConfigError(
                f"device={device!r}: TRL takes all GPUs that it sees; set CUDA_VISIBLE_DEVICES={device[5:]} "
                "and device=cuda"
            )
        weights = resolve(checkpoint, revision)
        causal = load_model(weights.folder, pick_precision(precision, device), device, attention="sdpa")
        tokenizer = AutoTokenizer.from_pretrained(weights.folder, local_files_only=True)
        agent = _spelling(policy, causal, tokenizer)
        causal.generation_config.eos_token_id = sorted(agent.ends)
        model = _adapted(scorer(causal, shape.seed) if scores else causal, policy, shape, scores)
        start = {key: p.detach().clone() for key, p in model.named_parameters() if p.requires_grad}
        return cls(model, tokenizer, agent, weights, device, not policy.initial, start)

    def restore(self) -> None:
        """Set the trainable weights to what they were before TRL cast them to bf16, in fp32."""
        import torch

        for key, parameter in self.model.named_parameters():
            parameter.requires_grad_(key in self.start)
            if key in self.start:
                parameter.data = self.start[key].clone()
        found = {p.dtype for p in self.model.parameters() if p.requires_grad}
        assert found == {torch.float32}, f"trainable weights are {found}"

    def state(self) -> dict[str, "torch.Tensor"]:
        """The adapter by PEFT's names."""
        import peft

        state: dict[str, torch.Tensor] = peft.get_peft_model_state_dict(
            self.model, adapter_name="default", save_embedding_layers=False
        )
        return {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}

    @property
    def head(self) -> Any:
        """The layer that makes scores; None for a model that speaks."""
        return getattr(self.model.get_base_model(), "score", None)


def write_adapter(subject: Subject, folder: Path) -> None:
    """Write the adapter as PEFT does, and the head beside it where there is one."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    # Written by Python, a full disk is an OSError; the library's own error is not.
    (folder / adapters.TENSORS).write_bytes(save(subject.state()))
    if subject.head is not None:
        weight = subject.head.weight.detach().cpu().contiguous()
        (folder / HEAD).write_bytes(save({"weight": weight}))
    config = copy.copy(subject.model.peft_config["default"])
    config.base_model_name_or_path, config.inference_mode = subject.weights.name, True
    config.task_type, config.exclude_modules = "CAUSAL_LM", None
    config.save_pretrained(str(folder))


def read_adapter(subject: Subject, folder: Path) -> None:
    """Set the adapter, and the head where there is one, to what `write_adapter` wrote."""
    import peft
    from safetensors.torch import load_file

    peft.set_peft_model_state_dict(
        subject.model, load_file(folder / adapters.TENSORS), adapter_name="default"
    )
    if subject.head is not None:
        subject.head.weight.data.copy_(load_file(folder / HEAD)["weight"])


def scorer(causal: Any, seed: int) -> Any:
    """The decoder of a causal model with a linear head (1, hidden) in fp32 on each row's last token.

    transformers' own classes take for the last token the last one that is no padding, which in most chat
    models is the same token as the end of a turn. The head begins as in Stiennon et al. 2020: normal
    with variance 1 / (hidden + 1).
    """
    import torch
    from transformers import PreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput

    class Scorer(PreTrainedModel):  # type: ignore[misc]
        base_model_prefix = causal.base_model_prefix
        supports_gradient_checkpointing = True
        _supports_sdpa = True

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            setattr(self, self.base_model_prefix, causal.get_decoder())
            hidden = config.get_text_config().hidden_size
            draw = torch.randn(1, hidden, generator=torch.Generator().manual_seed(seed))
            self.score = torch.nn.Linear(hidden, 1, bias=False, dtype=torch.float32)
            self.score.weight.data = (draw / (hidden + 1) ** 0.5).to(
                causal.get_output_embeddings().weight.device
            )

        def forward(self, input_ids: Any, attention_mask: Any, use_cache: bool = False, **_: Any) -> Any:
            decoder = getattr(self, self.base_model_prefix)
            states = decoder(input_ids, attention_mask=attention_mask, use_cache=use_cache).last_hidden_state
            last = attention_mask.sum(1) - 1  # padding is on the right
            states = states[torch.arange(len(states), device=states.device), last]
            return SequenceClassifierOutput(logits=self.score(states.float()))

    config = copy.deepcopy(causal.config)
    config.num_labels = 1
    config._experts_implementation = None  # the decoder has chosen its own
    model = Scorer(config)
    for name in ("is_loaded_in_4bit", "is_quantized", "hf_quantizer", "hf_device_map"):
        if hasattr(causal, name):
            setattr(model, name, getattr(causal, name))
    return model


def _adapted(model: Any, policy: "Local", shape: Shape, scores: bool) -> Any:
    """A PeftModel whose adapter `default`, and head where there is one, alone are trained."""
    import peft
    import torch

    targets, state = policy.lora_targets, None
    if policy.initial:
        stored = adapters.stored(policy.initial)
        stored.check_shape(shape.rank, shape.alpha)
        targets, state = stored.targets, stored.state()
    config = peft.LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=0.0,
        target_modules=targets if isinstance(targets, str) else list(targets),
        exclude_modules=["score"] if scores else None,
        task_type=None if scores else "CAUSAL_LM",
    )
    model.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):  # PEFT draws on the CPU, whatever the base is on
        torch.default_generator.manual_seed(shape.seed)
        adapted = peft.get_peft_model(model, config)
    if state is not None:
        _take(adapted, state, policy)
    for key, parameter in adapted.named_parameters():
        parameter.requires_grad_(".lora_" in key or key.endswith(".score.weight"))
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return adapted


def _take(adapted: Any, state: dict[str, "torch.Tensor"], policy: "Local") -> None:
    import peft

    own = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
    if {key: tensor.shape for key, tensor in own.items()} != {key: t.shape for key, t in state.items()}:
        raise ConfigError(f"{policy.initial} is no adapter for {policy.name}: its layers are others")
    peft.set_peft_model_state_dict(adapted, state)


def _spelling(policy: "Local", model: Any, tokenizer: Any) -> "Local":
    """The policy with its template and token ids alone, without a second copy of the weights."""
    held = SimpleNamespace(model=model, tokenizer=tokenizer)
    kind: Any = type(type(policy).__name__, (type(policy),), {"backbone": property(lambda _: held)})
    twin: Local = kind.__new__(kind)
    twin.__dict__.update(policy.__dict__, _template=None)
    return twin
