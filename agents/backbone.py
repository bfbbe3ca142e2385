"""One set of weights under many seats: loading in a precision, adapters, and the plain forward pass."""

import functools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agents.adapters import Stored
from agents.attention import Plan
from agents.engine import Engine
from agents.errors import ConfigError, Unavailable
from agents.loading import load_model
from agents.packing import Block, PackedHead, pack
from agents.quiet import quiet
from agents.voices import Voices
from agents.weights import Weights, resolve

PRECISIONS = ("auto", "nf4", "bf16", "fp32")


@dataclass(frozen=True)
class Lora:
    """The shape of a low-rank adapter (Hu et al. 2021). Its weights are fp32 whatever the base is."""

    rank: int = 16
    alpha: float = 16.0
    targets: str | tuple[str, ...] = "all-linear"
    """Names of linear layers, or `all-linear`: all but the output head."""
    seed: int = 0


class Backbone:
    """A causal language model, its tokenizer, and the adapters on it. Always in eval mode.

    Policy, reference, judge and several seats share one backbone: `speaking_as` chooses whose
    adapter is on.
    """

    def __init__(self, model: Any, tokenizer: Any, weights: Weights, precision: str) -> None:
        """Freeze the weights; adapters come later."""
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.weights = weights
        self.precision = precision
        self.decoder = model.get_decoder()
        self.device: torch.device = model.get_input_embeddings().weight.device
        """Where token ids go."""
        self.engine = Engine(self)
        self.voices = Voices()
        self._peft: Any = None

    def read(self, ids: torch.Tensor, plan: Plan) -> torch.Tensor:
        """The last layer's normalised states (tokens, hidden) of tokens (tokens,) that attend by `plan`."""
        out = self.decoder(input_ids=ids[None], position_ids=plan.positions[None], use_cache=False, plan=plan)
        states: torch.Tensor = out.last_hidden_state[0]
        return states

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Next-token logits (..., vocabulary) in fp32 of states (..., hidden)."""
        return self._cap(self.model.get_output_embeddings()(hidden).float())

    def label_logits(self, hidden: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        """Logits (..., len(ids)) of a few tokens, computed in fp32: bf16 rounds logits to about 0.1."""
        head = self.model.get_output_embeddings()
        numbers = torch.tensor(list(ids), device=hidden.device)
        rows = (head.rows(numbers) if isinstance(head, PackedHead) else head.weight[numbers]).float()
        bias = 0.0 if getattr(head, "bias", None) is None else head.bias[list(ids)].float()
        return self._cap(hidden.float() @ rows.T + bias)

    def _cap(self, logits: torch.Tensor) -> torch.Tensor:
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        return logits if not cap else torch.tanh(logits / cap) * cap

    def add_adapter(self, name: str, lora: Lora) -> None:
        """Put a fresh adapter `name` on the weights: no effect until it is trained; same seed, same start."""
        with quiet():
            import peft

        targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
        config = peft.LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=0.0,
            target_modules=targets,
            task_type="CAUSAL_LM",
        )
        # PEFT draws on the CPU, whatever the base is on.
        with quiet(), Block.reading(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(zlib.crc32(f"{lora.seed}/{name}".encode()))
            if self._peft is None:
                self._peft = peft.get_peft_model(self.model, config, adapter_name=name)
            elif name in self._peft.peft_config:
                raise ConfigError(
                    f"two seats want the adapter {name!r} on {self.weights.name}; name seats apart"
                )
            else:
                self._peft.add_adapter(name, config)
        self._peft.eval()
        self.voices.take_over(self.model)
        for parameter in self.adapter_parameters(name):
            parameter.data = parameter.data.float()
        # PEFT freezes all but the newest adapter; here any of them may learn.
        for key, parameter in self.model.named_parameters():
            parameter.requires_grad_(".lora_" in key)

    def take_adapter(self, adapter: Stored) -> str:
        """Put an adapter from the disk on the weights, if it is not there yet; returns its name here.

        Raises:
            ConfigError: it was made for other weights.
        """
        if self._peft is None or adapter.name not in self._peft.peft_config:
            state = adapter.state()
            self.add_adapter(adapter.name, Lora(adapter.rank, adapter.alpha, adapter.targets))
            own = self.adapter_state(adapter.name)
            shapes = [{key: tuple(t.shape) for key, t in tensors.items()} for tensors in (state, own)]
            if shapes[0] != shapes[1]:
                self._peft.delete_adapter(adapter.name)
                odd = sorted(shapes[0].items() ^ shapes[1].items())[:1]
                raise ConfigError(f"{adapter.folder} is no adapter for {self.weights.name}: {odd} differs")
            self.load_adapter_state(adapter.name, state)
        return adapter.name

    def adapter_parameters(self, name: str) -> list[nn.Parameter]:
        """The trainable parameters of adapter `name`, in a fixed order."""
        ends = (f".lora_A.{name}.weight", f".lora_B.{name}.weight")
        return [parameter for key, parameter in sorted(self.model.named_parameters()) if key.endswith(ends)]

    def adapter_state(self, name: str) -> dict[str, torch.Tensor]:
        """The weights of adapter `name`, as PEFT stores them."""
        import peft

        # Told of embeddings, PEFT need not ask the hub whether the vocabulary has changed.
        state: dict[str, torch.Tensor] = peft.get_peft_model_state_dict(
            self._peft, adapter_name=name, save_embedding_layers=False
        )
        return {key: tensor.detach().cpu().contiguous().clone() for key, tensor in state.items()}

    def load_adapter_state(self, name: str, state: dict[str, torch.Tensor]) -> None:
        """Set the weights of adapter `name`."""
        import peft

        peft.set_peft_model_state_dict(self._peft, state, adapter_name=name)
        self.engine.forget(name)

    def save_adapter(self, name: str, folder: Path) -> None:
        """Write adapter `name` to `folder` as PEFT does (adapter_model.safetensors, adapter_config.json)."""
        from safetensors.torch import save

        folder.mkdir(parents=True, exist_ok=True)
        # Written by Python, a full disk is an OSError; the library's own error is not.
        (folder / "adapter_model.safetensors").write_bytes(save(self.adapter_state(name)))
        config = self._peft.peft_config[name]
        config.base_model_name_or_path = self.weights.name
        config.save_pretrained(str(folder))

    @contextmanager
    def speaking_as(self, adapter: str) -> Iterator[None]:
        """Run the body with adapter `adapter` on, `""` for the bare checkpoint; then as before.

        Outside of every such body the bare checkpoint speaks.
        """
        known = [] if self._peft is None else list(self._peft.peft_config)
        if adapter and adapter not in known:
            raise ConfigError(f"{self.weights.name} has no adapter {adapter!r}; it has {known}")
        with self.voices.speaking([(adapter, None)] if adapter else []):
            yield

    @contextmanager
    def training(self, checkpointing: bool) -> Iterator[None]:
        """Run the body ready for a backward pass, with or without recomputed activations."""
        if not checkpointing:
            yield
            return
        # Older versions of transformers call it gradient checkpointing.
        kind = "activation" if hasattr(self.model, "activation_checkpointing_enable") else "gradient"
        getattr(self.model, f"{kind}_checkpointing_enable")({"use_reentrant": False})
        self.model.train()
        try:
            yield
        finally:
            self.model.eval()
            getattr(self.model, f"{kind}_checkpointing_disable")()
            self.model.disable_input_require_grads()  # enabling adds a hook each time, disabling leaves it


def pick_device(device: str) -> str:
    """The device that `auto` means here; another name is checked.

    Raises:
        Unavailable: this machine has no such device.
    """
    kind, _, number = device.partition(":")
    if device != "auto" and (kind not in ("cpu", "cuda") or not (number or "0").isdecimal()):
        raise ConfigError(f"device={device!r} is not known; allowed are auto, cpu, cuda, cuda:N")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if found else "cpu"
    if kind == "cuda" and int(number or 0) >= found:
        raise Unavailable(
            f"device={device!r} but {found or 'no'} CUDA devices are visible here: "
            "use device=auto or device=cpu"
        )
    return device


def pick_precision(precision: str, device: str) -> str:
    """The precision that `auto` means on `device`; another name is checked.

    `auto` is nf4 on a GPU; on a CPU it is bf16 where the processor multiplies bf16 matrices, else fp32.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision={precision!r} is not known; allowed are {', '.join(PRECISIONS)}")
    if precision == "auto":
        if device.startswith("cuda"):
            return "nf4"
        return "bf16" if _cpu_has_bf16() else "fp32"
    if precision == "bf16" and device.startswith("cuda") and not torch.cuda.is_bf16_supported():
        raise Unavailable("this GPU has no bf16: use precision=nf4 or precision=fp32")
    return precision


def _cpu_has_bf16() -> bool:
    # Older versions of torch do not tell.
    capability: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capability.get("avx512_bf16") or capability.get("amx_bf16") or capability.get("bf16"))


@functools.lru_cache(maxsize=8)
def load(checkpoint: str, revision: str, precision: str, device: str) -> Backbone:
    """The backbone of a checkpoint; seats that name the same four things share it.

    Args:
        checkpoint: a name for `agents.weights.resolve`.
        revision: of the hub repository.
        precision: `auto`, `nf4`, `bf16`, `fp32`.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
    """
    device = pick_device(device)
    precision = pick_precision(precision, device)
    weights = resolve(checkpoint, revision)
    return load_folder(weights, precision, device)


def load_folder(weights: Weights, precision: str, device: str) -> Backbone:
    """Load weights that lie on this machine, in a definite precision on a definite device."""
    from transformers import AutoTokenizer

    model = load_model(weights.folder, precision, device)
    pack(model)
    tokenizer = AutoTokenizer.from_pretrained(weights.folder, local_files_only=True)
    return Backbone(model, tokenizer, weights, precision)
