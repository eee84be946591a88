"""Reads and writes checkpoints in the published format: config.json and model.safetensors, from a folder or the hub.

No remote code: the configuration only picks sizes of our own network, and safetensors holds numbers only. Knows nothing
of sampling and training.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model import catalog
from model.backbones.dit import DiT, weight_shapes
from model.backbones.dit_config import DiTConfig, WrongConfig, as_the_weights_say
from model.backbones.fit import WrongWeights, check_fit
from model.noise import ClippedInterval

CONFIG, WEIGHTS = "config.json", "model.safetensors"
PREFIX = "backbone."
BOUNDS = ("sampling_eps_min", "sampling_eps_max")
"""The clipped interval that training has chosen, beside the network's tensors."""

PUBLISHED = tuple(entry.hub for entry in catalog.PUBLISHED)
"""The authors' checkpoints on Hugging Face; Apache-2.0."""

TOKENIZER = catalog.GPT2
"""Their tokenizer. The mask is one token more; text begins and ends with <|endoftext|>."""

Download = Callable[[str, str], str]
"""From a hub id and a file name to the path of the file on this machine."""


class UnknownCheckpoint(ValueError):
    """There is no checkpoint of that name, here or on the hub."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network as it was saved. interval: the noise levels it was trained on, where the checkpoint says so."""

    network: DiT
    interval: ClippedInterval | None


def load(source: str | Path, download: Download = hf_hub_download) -> Checkpoint:
    """The checkpoint in a folder or under a Hugging Face id; float32, on the CPU.

    Raises UnknownCheckpoint, WrongConfig and, naming what is missing, left over or misshapen, WrongWeights.
    """
    config_file, weights_file = find(source, download)
    try:
        published = json.loads(config_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WrongConfig(f"{config_file} is not JSON ({error}); fetch it again.") from error
    if not isinstance(published, dict):
        raise WrongConfig(f"{config_file} does not describe a network; fetch it again.")
    try:
        tensors = load_file(weights_file)
    except SafetensorError as error:
        raise WrongWeights(f"{weights_file} is damaged or cut off ({error}); fetch it again.") from error
    config = DiTConfig.from_published(as_the_weights_say(published, tensors))
    bounds = [float(tensors.pop(name)) for name in BOUNDS if name in tensors]
    check_weights(config, tensors)
    with torch.device("meta"):
        network = DiT(config)
    weights = {name.removeprefix(PREFIX): tensor.float() for name, tensor in tensors.items()}
    network.load_state_dict(weights, assign=True)
    return Checkpoint(network, ClippedInterval(*bounds) if len(bounds) == len(BOUNDS) else None)


def find(source: str | Path, download: Download = hf_hub_download) -> tuple[Path, Path]:
    """The two files of a checkpoint. Raises UnknownCheckpoint."""
    folder = Path(source)
    if folder.is_dir():
        absent = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
        if absent:
            raise UnknownCheckpoint(f"The folder {folder} holds no checkpoint: {' and '.join(absent)} is missing.")
        return folder / CONFIG, folder / WEIGHTS
    name = str(source)
    if name not in PUBLISHED:
        raise UnknownCheckpoint(f"{name} is neither a folder nor one of the checkpoints {', '.join(PUBLISHED)}.")
    try:
        return Path(download(name, CONFIG)), Path(download(name, WEIGHTS))
    except (HfHubHTTPError, EntryNotFoundError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UnknownCheckpoint(
            f"{name} could not be fetched from Hugging Face ({reason}); connect, or give a folder that holds it."
        ) from error


def save(folder: Path, network: DiT, interval: ClippedInterval | None = None) -> None:
    """Writes a checkpoint that `load` reads. A file takes its name when it is whole: a full disk leaves the old one."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    published = network.config.to_published()
    if interval is not None:
        bounds = (interval.low, interval.high)
        tensors |= {name: torch.tensor(bound) for name, bound in zip(BOUNDS, bounds, strict=True)}
        published |= {"var_min": True, **dict(zip(BOUNDS, bounds, strict=True))}
    new = folder / f".{WEIGHTS}.new"
    try:
        save_file(tensors, new)
        os.replace(new, folder / WEIGHTS)
        new.write_text(json.dumps(published, indent=1), encoding="utf-8")
        os.replace(new, folder / CONFIG)
    finally:
        new.unlink(missing_ok=True)


def check_weights(config: DiTConfig, weights: Mapping[str, Tensor]) -> None:
    """Raises WrongWeights that names what is missing, left over or misshapen. Names have the prefix `backbone.`."""
    expected = {PREFIX + name: shape for name, shape in weight_shapes(config).items()}
    check_fit(expected, weights)


def tokenizer(source: str | Path | None = None) -> Any:
    """GPT-2's tokenizer, through transformers: from a checkpoint's folder that has a tokenizer.json, else from the hub.

    Raises UnknownCheckpoint where it can be had from neither.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast  # takes seconds to import

    file = None if source is None else Path(source) / "tokenizer.json"
    if file is not None and file.is_file():
        return PreTrainedTokenizerFast(tokenizer_file=str(file))
    try:
        return AutoTokenizer.from_pretrained(TOKENIZER)
    except OSError as error:
        raise UnknownCheckpoint(
            f"The tokenizer {TOKENIZER} could not be fetched from Hugging Face; connect, or put its tokenizer.json "
            "beside the weights."
        ) from error
