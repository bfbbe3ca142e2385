"""Reading a checkpoint folder into a model: in 16, 32 or 4 bits, and whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from agents.attention import NAME
from agents.errors import Unavailable
from agents.quiet import quiet


def load_model(folder: Path, precision: str, device: str, attention: str = NAME) -> Any:
    """The causal language model of a folder.

    Args:
        folder: with config.json and *.safetensors.
        precision: `nf4`, `bf16` or `fp32`.
        device: `cpu`, `cuda` (all GPUs) or `cuda:N`.
        attention: our own, which goes by plans, or one of transformers', such as `sdpa`, which goes by masks.

    Raises:
        Unavailable: the folder lacks some of the weights.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    options: dict[str, Any] = {
        "dtype": torch.float32 if precision == "fp32" else torch.bfloat16,
        "device_map": "auto" if device == "cuda" and torch.cuda.device_count() > 1 else device,
        "attn_implementation": attention,
        "use_safetensors": True,
        "local_files_only": True,
    }
    if precision == "nf4":
        options["quantization_config"] = _nf4()
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    model_class: Any = AutoModelForCausalLM
    if config.model_type == "mixtral":
        from agents.experts import CHECKPOINT_NAMES, LinearMixtral, LinearMixtralConfig

        model_class = LinearMixtral
        options["config"] = LinearMixtralConfig.of(config)
        options["key_mapping"] = CHECKPOINT_NAMES
    with quiet():
        model, report = model_class.from_pretrained(folder, output_loading_info=True, **options)
    missing = report["missing_keys"]
    if missing:  # transformers would go on with random numbers
        raise Unavailable(
            f"{folder} lacks {len(missing)} weights of a {config.model_type} model, such as {min(missing)}: "
            "fetch the checkpoint again"
        )
    if precision == "nf4":
        _keep_unpacked(model)
    return model


def _nf4() -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _keep_unpacked(model: nn.Module) -> None:
    """Keep 4-bit weights in the layout that has a gradient.

    On a CPU with AVX512-bf16, bitsandbytes 0.50 repacks a Linear4bit at its first no-grad forward;
    from then on training runs without an error on wrong gradients, and log-probabilities shift.
    """
    import bitsandbytes

    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False
