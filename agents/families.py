"""One small class per model family: checkpoint, adapter targets, template policy. Nothing else differs.

`architecture` is the published `config.json` of the checkpoint, as far as sizes go: the plan of a run
counts parameters from it without having the weights.
"""

from agents.local import Local

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
INSTRUCTION = ("[INST]", "[/INST]")
DENSE = (*ATTENTION, "gate_proj", "up_proj", "down_proj")


class Mixtral(Local):
    """Mixtral-8x7B-Instruct-v0.1. The router and experts stay as they are: adapters sit on attention."""

    checkpoint = "mistralai/Mixtral-8x7B-Instruct-v0.1"
    architecture = {"model_type": "mixtral", "vocab_size": 32000, "hidden_size": 4096,
                    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
                    "num_key_value_heads": 8, "num_local_experts": 8}  # fmt: skip
    lora_targets = ATTENTION
    folds_system = True
    spelled_delimiters = INSTRUCTION


class Mistral(Local):
    """Mistral-7B-Instruct-v0.3."""

    checkpoint = "mistralai/Mistral-7B-Instruct-v0.3"
    architecture = {"model_type": "mistral", "vocab_size": 32768, "hidden_size": 4096,
                    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
                    "num_key_value_heads": 8, "sliding_window": None}  # fmt: skip
    lora_targets = DENSE
    folds_system = True
    spelled_delimiters = INSTRUCTION


class Llama(Local):
    """Meta-Llama-3-8B-Instruct."""

    checkpoint = "meta-llama/Meta-Llama-3-8B-Instruct"
    architecture = {"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096,
                    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
                    "num_key_value_heads": 8}  # fmt: skip
    lora_targets = DENSE
    turn_ends = ("<|eot_id|>",)


class Qwen(Local):
    """Qwen3-4B-Instruct-2507, and every Qwen2/3 chat model. Reasoning is switched off where it can be."""

    checkpoint = "Qwen/Qwen3-4B-Instruct-2507"
    architecture = {"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2560,
                    "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
                    "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True}  # fmt: skip
    lora_targets = DENSE
    template_options = {"enable_thinking": False}
    turn_ends = ("<|im_end|>",)


class QwenCoder(Qwen):
    """Qwen2.5-Coder-1.5B-Instruct: the largest model that the package index carries."""

    checkpoint = "Qwen/Qwen2.5-Coder-1.5B-Instruct"
    architecture = {
        "model_type": "qwen2",
        "vocab_size": 151936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    }


class Gemma(Local):
    """gemma-3-270m-it, and every text-only Gemma. Its template has no system role."""

    checkpoint = "google/gemma-3-270m-it"
    architecture = {"model_type": "gemma3_text", "vocab_size": 262144, "hidden_size": 640,
                    "intermediate_size": 2048, "num_hidden_layers": 18, "num_attention_heads": 4,
                    "num_key_value_heads": 1, "head_dim": 256, "tie_word_embeddings": True}  # fmt: skip
    lora_targets = DENSE
    folds_system = True
    turn_ends = ("<end_of_turn>",)


class SmolLM(Local):
    """SmolLM2-135M-Instruct: small enough to talk, judge and learn on two processor cores."""

    checkpoint = "HuggingFaceTB/SmolLM2-135M-Instruct"
    architecture = {"model_type": "llama", "vocab_size": 49152, "hidden_size": 576,
                    "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
                    "num_key_value_heads": 3, "tie_word_embeddings": True}  # fmt: skip
    lora_targets = DENSE
    turn_ends = ("<|im_end|>",)
