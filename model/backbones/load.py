"""Picks the network for a model folder and loads it, with its block adapter where it has one.

Reads config.json and safetensors files only. Knows nothing of where the folder came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from model.backbones import published
from model.backbones.dit_config import WrongConfig
from model.backbones.dit_denoiser import DiTDenoiser
from model.backbones.fit import WrongWeights
from model.backbones.llama import Adapter, Llama, LlamaConfig, SamplerHead, layers_of, projections
from model.catalog import CHAT_ARCHITECTURES, COMMON, QWEN2, QWEN3, Entry
from model.compiled.build import compiled
from model.compiled.kernels import Kernels
from model.denoiser import Denoiser
from model.linear import has_fbgemm, multiplies_bfloat16
from model.shards import BadIndex, weight_files
from model.tokenizer import ChatTokenizer, PlainTokenizer, TextTokenizer, UnusableTokenizer

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets"
"""Where adapters and sampler heads of the catalogue lie; those of a folder have whole paths."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How weights are kept and multiplied: dtype of the activations, 16-bit packed weights or not, and where.

    kernels  compiled ones, for weights that were published on levels.
    """

    name: str
    dtype: torch.dtype
    packed: bool
    device: torch.device
    kernels: Kernels | None = None


def fastest_precision(cache_dir: Path | None = None) -> Precision:
    """What this machine is fastest in: bfloat16 where it multiplies it, else packed float16, else float32; and with the
    kernels that are compiled into a cache folder (the user's own, if none is given), where it can have them."""
    if torch.cuda.is_available():
        return Precision("bfloat16", torch.bfloat16, False, torch.device("cuda"))
    if not has_fbgemm() and not multiplies_bfloat16():
        return FULL
    name = "bfloat16" if multiplies_bfloat16() else "float16"
    library = compiled(cache_dir or user_cache_path("galley", appauthor=False))
    kernels = None if library is None else Kernels(library)
    named = name if kernels is None else f"{name}, compiled"
    return Precision(named, torch.float32, True, torch.device("cpu"), kernels)


FULL = Precision("float32", torch.float32, False, torch.device("cpu"))
"""The plain one, on any machine."""


def open_any(entry: Entry, folder: Path, tokenizer: Path, precision: Precision) -> tuple[Denoiser, TextTokenizer]:
    """Network and tokenizer of a model of either kind; the network is the one that config.json describes.

    Raises WrongWeights, UnusableTokenizer.
    """
    if entry.instructs:
        return open_model(entry, folder, precision)
    return open_published(folder, tokenizer, precision)


def open_published(folder: Path, tokenizer_file: Path, precision: Precision) -> tuple[DiTDenoiser, PlainTokenizer]:
    """One of the paper's networks and GPT-2's tokenizer, or its own. Raises WrongWeights, UnusableTokenizer."""
    tokenizer = PlainTokenizer(tokenizer_file)
    try:
        network = published.load(folder).network
    except WrongConfig as error:
        raise WrongWeights(str(error)) from error
    known = network.config.vocab_size - 1
    if tokenizer.size != known:
        raise UnusableTokenizer(
            f"The network in {folder} knows {known} tokens and the mask, but {tokenizer_file.name} has "
            f"{tokenizer.size} tokens; give it the tokenizer it was trained with."
        )
    denoiser = DiTDenoiser(
        network,
        end=tokenizer.end,
        banned=tokenizer.banned,
        inner=tokenizer.inner,
        dtype=precision.dtype,
        packed=precision.packed,
        device=precision.device,
    )
    return denoiser, tokenizer


def open_model(entry: Entry, folder: Path, precision: Precision) -> tuple[Llama, ChatTokenizer]:
    """A chat model's network and tokenizer from its model folder. Raises WrongWeights, UnusableTokenizer."""
    tokenizer = ChatTokenizer(folder / "tokenizer.json")
    network = load_llama(
        folder,
        tokenizer,
        adapter=None if entry.adapter is None else ASSETS / entry.adapter,
        head=None if entry.head is None else ASSETS / entry.head,
        block_sizes=entry.block_sizes,
        precision=precision,
    )
    return network, tokenizer


def load_llama(
    folder: Path,
    tokenizer: ChatTokenizer,
    *,
    adapter: Path | None = None,
    head: Path | None = None,
    block_sizes: tuple[int, ...] = (1,),
    precision: Precision = FULL,
) -> Llama:
    """The causal model in a model folder, as a block diffusion model where `adapter` is given.

    Raises WrongWeights for a damaged file and for tensors that do not fit.
    """
    config = read_config(folder / "config.json")
    return Llama(
        config,
        read_weights(folder),
        end=tokenizer.end,
        banned=(*tokenizer.banned, *range(tokenizer.size, config.vocab_size)),  # the rest of a table is never trained
        inner=tokenizer.inner,
        block_sizes=block_sizes,
        adapter=None if adapter is None else _adapter(adapter, config),
        head=None if head is None else _head(head, config),
        dtype=precision.dtype,
        packed=precision.packed,
        device=precision.device,
        kernels=precision.kernels,
    )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a model folder, from one file or several. Raises WrongWeights."""
    try:
        files = weight_files(folder)
    except BadIndex as error:
        raise WrongWeights(str(error)) from error
    return {name: tensor for file in files for name, tensor in read_tensors(file).items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Raises WrongWeights where the file is damaged or cut off."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WrongWeights(f"{path} is damaged or cut off ({error}); fetch it again.") from error


def read_config(path: Path) -> LlamaConfig:
    """The shape that a config.json describes. Raises WrongWeights where it is of a kind that is not computed here."""
    try:
        published: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        architectures = published["architectures"]
        if not any(kind in architectures for kind in CHAT_ARCHITECTURES):
            raise WrongWeights(f"{path} describes {architectures}; Galley runs {', '.join(CHAT_ARCHITECTURES)}.")
        if unknown := _not_computed(published):
            raise WrongWeights(f"{path} describes a network with {unknown}, which Galley does not compute.")
        heads = published["num_attention_heads"]
        return LlamaConfig(
            hidden_size=published["hidden_size"],
            intermediate_size=published["intermediate_size"],
            num_hidden_layers=published["num_hidden_layers"],
            num_attention_heads=heads,
            num_key_value_heads=published.get("num_key_value_heads") or heads,
            head_dim=published.get("head_dim") or published["hidden_size"] // heads,
            vocab_size=published["vocab_size"],
            rope_theta=float(_rope(published)["rope_theta"]),
            rms_norm_eps=published["rms_norm_eps"],
            max_position_embeddings=published["max_position_embeddings"],
            qkv_bias=QWEN2 in architectures,
            qk_norm=QWEN3 in architectures,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, WrongWeights):
            raise
        raise WrongWeights(f"{path} does not describe a network ({error}).") from error


def _rope(published: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of positions: transformers 5 writes it one level deeper than earlier versions did."""
    said = {**(published.get("rope_scaling") or {}), **(published.get("rope_parameters") or {})}
    return {"rope_theta": published.get("rope_theta"), **said}


def _not_computed(published: Mapping[str, Any]) -> str | None:
    """What else some networks of these architectures do: loaded without it they would write nonsense."""
    rope = _rope(published)
    positions = rope.get("rope_type") or rope.get("type") or "default"
    if positions != "default":
        return f"positions of type {positions!r}"
    if (activation := published.get("hidden_act") or "silu") != "silu":
        return f"the activation {activation!r}"
    if published.get("attention_bias") or published.get("mlp_bias"):
        return "a bias where the others have none"
    return "a sliding window" if published.get("use_sliding_window") else None


def _adapter(path: Path, config: LlamaConfig) -> Adapter:
    """Raises WrongWeights where it is not an adapter for this network."""
    tensors = read_tensors(path)
    with safe_open(path, framework="pt") as file:
        scale = (file.metadata() or {}).get("scale")
    outs = projections(config)
    layers = layers_of(tensors)
    names = [f"layers.{layer}.{name}" for layer in layers for name in outs]
    common = tensors.pop(COMMON, None)
    wanted = {f"{name}.{side}" for name in names for side in "AB"} | {"mask_embedding"}
    if scale is None or not layers or layers[-1] >= config.num_hidden_layers or set(tensors) != wanted:
        raise WrongWeights(f"{path.name} is not a block adapter for a network of {config.num_hidden_layers} layers.")
    for name in names:
        a, b = tensors[f"{name}.A"], tensors[f"{name}.B"]
        if (b.shape[0], a.shape[1]) != outs[name.split(".")[2]] or a.shape[0] != b.shape[1]:
            raise WrongWeights(f"{path.name} does not fit this network: {name} has another shape.")
    if common is not None and not is_selection(common, config.vocab_size):
        raise WrongWeights(f"{path.name} does not fit this network: it proposes tokens that are not in its vocabulary.")
    pairs = {name: (tensors[f"{name}.A"], tensors[f"{name}.B"]) for name in names}
    return Adapter(pairs, tensors["mask_embedding"], float(scale), common)


def is_selection(tokens: Tensor, vocabulary: int) -> bool:
    """Whether these are token ids of a vocabulary, in order and each once."""
    whole = not tokens.dtype.is_floating_point and tokens.ndim == 1 and len(tokens) > 0
    return whole and bool((tokens.diff() > 0).all()) and int(tokens[0]) >= 0 and int(tokens[-1]) < vocabulary


def _head(path: Path, config: LlamaConfig) -> SamplerHead:
    """Raises WrongWeights where it is not a sampler head for this network."""
    tensors, width = read_tensors(path), config.hidden_size
    shapes = {
        "W1.weight": (2 * width, 2 * width),
        "W1.bias": (2 * width,),
        "W2.weight": (width, 2 * width),
        "W2.bias": (width,),
    }
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes:
        raise WrongWeights(f"{path.name} is not a sampler head for a network of width {width}.")
    return SamplerHead(tensors["W1.weight"], tensors["W1.bias"], tensors["W2.weight"], tensors["W2.bias"])
