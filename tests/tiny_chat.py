"""Folders with tiny chat models of the Llama family, as their authors publish them, with random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file

from model.catalog import ADAPTER, HEAD
from model.tokenizer import END, TEXT_END, THOUGHT, THOUGHT_END, TURN, byte_level_bpe
from model.training.adapter import files
from tests.tiny import FAMILY, Parts, common_of, parts
from tests.tiny_gguf import MERGES, vocabulary

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
MARKS = (THOUGHT, THOUGHT_END, "<tool_call>")
"""Of models that reason and call tools: published as tokens that are not special."""

UNUSED = 5
"""Rows of the embedding table past the last token."""


def write_chat_model(folder: Path, kind: str, *, adapter: bool = False, seed: int = 1) -> Path:
    """adapter: a block adapter and a sampler head lie beside the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = [*vocabulary(), *(MARKS if kind == "qwen3" else ())]
    made = parts(seed, replace(FAMILY[kind], vocab_size=len(tokens) + UNUSED))
    tokenizer = json.loads(byte_level_bpe(tokens, MERGES, (TEXT_END, TURN, END)).to_str())
    for at, mark in enumerate(tokens):
        if mark in MARKS:
            plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
            tokenizer["added_tokens"].append({"id": at, "content": mark, **plain})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(published_config(made, kind)), encoding="utf-8")
    save_file(made.weights, folder / "model.safetensors")
    if adapter:
        write_adapter(folder, made)
    return folder


def published_config(made: Parts, kind: str) -> dict[str, object]:
    """Under the names, and with the silences, of the published files."""
    shape = made.config
    told: dict[str, object] = {
        "architectures": [ARCHITECTURES[kind]],
        "hidden_act": "silu",
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "max_position_embeddings": shape.max_position_embeddings,
        "model_type": kind,
        "num_attention_heads": shape.num_attention_heads,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_key_value_heads": shape.num_key_value_heads,
        "rms_norm_eps": shape.rms_norm_eps,
        "rope_scaling": None,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": True,
        "vocab_size": shape.vocab_size,
    }
    if kind != "llama":
        told |= {"use_sliding_window": False, "sliding_window": 32768, "max_window_layers": 24}
    return told | ({"head_dim": shape.head_dim, "attention_bias": False} if kind == "qwen3" else {})


def write_adapter(folder: Path, made: Parts) -> None:
    """The adapter and the sampler head of a network, under the names by which a folder is searched for them."""
    assert made.adapter is not None
    assert made.head is not None
    pairs = made.adapter.pairs.items()
    adapter = {f"{name}.{side}": tensor for name, pair in pairs for side, tensor in zip("AB", pair, strict=True)}
    adapter["mask_embedding"] = made.adapter.mask_embedding
    head = {"W1.weight": made.head.w1, "W1.bias": made.head.b1, "W2.weight": made.head.w2, "W2.bias": made.head.b2}
    origin, scale = files.Origin("a file", "its checksum"), made.adapter.scale
    common = common_of(made.config)
    files.publish(folder, adapter, head, common=common, origin=origin, sizes=(4,), scale=scale, tokens=0, head_tokens=0)
    assert (folder / ADAPTER).is_file()
    assert (folder / HEAD).is_file()
