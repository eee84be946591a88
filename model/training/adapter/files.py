"""Adapter and sampler head as files, and the state of a run: safetensors and JSON only.

What is written for use is bfloat16, in the format of assets/, which `model.backbones.load` reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.backbones.fit import WrongWeights, check_fit
from model.backbones.llama import LlamaConfig, layers_of, projections
from model.catalog import ADAPTER, COMMON, HEAD
from model.training.checkpoint import STATE, TENSORS
from model.training.optimiser import Optimiser

Parameters = dict[str, torch.nn.Parameter]
"""What is trained, by the names in its file, in float32."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run began with, for the headers: the base's file and checksum, slots trained before."""

    base: str
    base_sha256: str
    tokens: int = 0
    head_tokens: int = 0


def adapter_shapes(config: LlamaConfig, rank: int, layers: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Every tensor of an adapter for these layers, in order."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        for name, (out, into) in projections(config).items():
            shapes |= {f"layers.{layer}.{name}.A": (rank, into), f"layers.{layer}.{name}.B": (out, rank)}
    return shapes | {"mask_embedding": (config.hidden_size,)}


def head_shapes(width: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of a sampler head, in order."""
    inner = 2 * width
    return {"W1.weight": (inner, inner), "W1.bias": (inner,), "W2.weight": (width, inner), "W2.bias": (width,)}


def new_adapter(
    config: LlamaConfig, rank: int, layers: Sequence[int], embedding: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """Low-rank products that are zero, and the mean of the token embeddings for the mask."""
    tensors = {
        name: torch.randn(shape, generator=generator) * shape[-1] ** -0.5 if name.endswith("A") else torch.zeros(shape)
        for name, shape in adapter_shapes(config, rank, layers).items()
    }
    return tensors | {"mask_embedding": embedding.float().mean(0)}


def new_head(width: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A head whose correction is zero."""
    return {
        name: torch.randn(shape, generator=generator) * width**-0.5 / 2**0.5
        if name == "W1.weight"
        else torch.zeros(shape)
        for name, shape in head_shapes(width).items()
    }


def read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What was trained, in float32 and in the order of `shapes`, and the header; layers that are not among the shapes
    are left out. Raises WrongWeights, OSError."""
    try:
        tensors = load_file(path)
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
    except SafetensorError as error:
        raise WrongWeights(f"{path} is damaged or cut off ({error}); give another one.") from error
    tensors.pop(COMMON, None)  # of the texts that were trained on; this run has its own
    tensors = {name: tensor for name, tensor in tensors.items() if name in shapes or not name.startswith("layers.")}
    try:
        check_fit(shapes, tensors)
    except WrongWeights as error:
        raise WrongWeights(f"{path.name} does not fit. {error}") from error
    return {name: tensors[name].float() for name in shapes}, header


def rank_and_scale(path: Path) -> tuple[int, float]:
    """From the header of an adapter. Raises WrongWeights, OSError."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        return int(header["rank"]), float(header["scale"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise WrongWeights(f"{path} is no block adapter ({error}).") from error


def layers_in(path: Path, count: int) -> tuple[int, ...]:
    """The layers that an adapter has weights for, of a network with so many. Raises WrongWeights, OSError."""
    try:
        with safe_open(path, framework="pt") as file:
            layers = layers_of(file.keys())
    except SafetensorError as error:
        raise WrongWeights(f"{path} is no block adapter ({error}).") from error
    if not layers or layers[-1] >= count:
        raise WrongWeights(f"{path} is not a block adapter for a network of {count} layers.")
    return layers


def publish(
    folder: Path,
    adapter: Mapping[str, Tensor],
    head: Mapping[str, Tensor],
    *,
    common: Tensor,
    origin: Origin,
    sizes: tuple[int, ...],
    scale: float,
    tokens: int,
    head_tokens: int,
) -> None:
    """Writes both files for use. common: see `Adapter`. tokens, head_tokens: slots trained on in this run.

    Raises OSError, SafetensorError.
    """
    header = {
        "tokens_trained": str(origin.tokens + tokens),
        "block_sizes": ",".join(map(str, sorted(set(sizes)))),
        "scale": str(scale),
        "base": origin.base,
        "base_sha256": origin.base_sha256,
        "rank": str(next(tensor for name, tensor in adapter.items() if name.endswith(".A")).shape[0]),
    }
    save_file({**_low(adapter), COMMON: common}, folder / ADAPTER, header)
    told = {"block_size": str(max(sizes)), "slots_trained": str(origin.head_tokens + head_tokens), "adapter": ADAPTER}
    save_file(_low(head), folder / HEAD, told)


def save_state(folder: Path, parameters: Parameters, optimiser: Optimiser, facts: Mapping[str, Any]) -> None:
    """Writes what resuming needs beside the published files. Raises OSError, SafetensorError."""
    weights = {f"weights.{name}": parameter.detach().contiguous() for name, parameter in parameters.items()}
    save_file(weights | optimiser.tensors(), folder / TENSORS)
    (folder / STATE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def resume(folder: Path, parameters: Parameters, optimiser: Optimiser) -> dict[str, Any]:
    """Puts parameters and optimiser where they were; the facts saved with them. Raises WrongWeights."""
    try:
        facts: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[f"weights.{name}"])
        optimiser.resume(tensors, facts["step"])
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise WrongWeights(
            f"{folder} is damaged or of another network ({error}); remove it and start the same command again."
        ) from error
    return facts


def _low(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().bfloat16().contiguous() for name, tensor in tensors.items()}
