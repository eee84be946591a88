"""GGUF files of the Llama family as the files of a published checkpoint: tensors, config.json, tokenizer.json.

Knows nothing of where the file came from. Reads with the `gguf` package, which executes nothing of what is in a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import torch
from torch import Tensor

from model.tokenizer import byte_level_bpe

CONTROL = gguf.TokenType.CONTROL

NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""GGUF's names inside a layer, and those of the published checkpoints."""


class UnreadableGGUF(ValueError):
    """The file is not a GGUF file of the Llama family, or a damaged one."""


@dataclass(frozen=True, slots=True)
class Converted:
    """config.json, tokenizer.json (as text) and the tensors in float16 under their published names."""

    config: dict[str, Any]
    tokenizer: str
    tensors: dict[str, Tensor]


def convert(path: Path) -> Converted:
    """Reads the whole file. Raises UnreadableGGUF, OSError.

    float16 keeps a dequantised weight to 2⁻¹¹ of itself, eight times closer than bfloat16 does.
    """
    try:
        reader = gguf.GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items() if name.startswith(("llama.", "tok"))}
        config = _config(fields)
        heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
        tensors = {}
        for tensor in reader.tensors:
            weight = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
            kind = tensor.name.split(".")[-2]
            if kind in heads:
                weight = half_split(weight, heads[kind])
            tensors[_published_name(tensor.name)] = weight.half().contiguous()
    except (KeyError, ValueError, IndexError) as error:
        raise UnreadableGGUF(f"{path.name} cannot be read as a GGUF file of the Llama family ({error}).") from error
    controls = [
        token
        for token, kind in zip(fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"], strict=True)
        if kind == CONTROL
    ]
    tokenizer = byte_level_bpe(fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.merges"], controls)
    return Converted(config, tokenizer.to_str(), tensors)


def half_split(weight: Tensor, heads: int) -> Tensor:
    """Query or key rows [heads · d, in], from GGUF's order to that of the published checkpoints.

    GGUF has the two numbers of a rotated pair side by side, the checkpoints have first all firsts, then all seconds.
    """
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def _config(fields: dict[str, Any]) -> dict[str, Any]:
    if fields["tokenizer.ggml.model"] != "gpt2":
        raise ValueError("its tokenizer is not a byte-level BPE")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "vocab_size": fields["llama.vocab_size"],
        "rope_theta": fields["llama.rope.freq_base"],
        "rms_norm_eps": fields["llama.attention.layer_norm_rms_epsilon"],
        "max_position_embeddings": fields["llama.context_length"],
        "tie_word_embeddings": True,
        "hidden_act": "silu",
    }


def _published_name(name: str) -> str:
    match name.split("."):
        case ["token_embd", "weight"]:
            return "model.embed_tokens.weight"
        case ["output_norm", "weight"]:
            return "model.norm.weight"
        case ["output", "weight"]:
            return "lm_head.weight"
        case ["blk", layer, kind, "weight"] if kind in NAMES:
            return f"model.layers.{layer}.{NAMES[kind]}.weight"
    raise ValueError(f"tensor {name} is not known")
