"""Checkpoints of a training run: folders step-NNNNNNN, written whole before they take their name.

config.json, model.safetensors and tokenizer.json are a checkpoint in the published format, with the averaged weights;
training.safetensors and training.json are what resuming needs besides. Knows nothing of losses and data.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.backbones import published
from model.backbones.dit import DiT
from model.backbones.fit import WrongWeights
from model.backbones.published import UnknownCheckpoint
from model.noise import ClippedInterval
from model.training.average import Average
from model.training.optimiser import Optimiser
from model.training.vocabulary import FILE as TOKENIZER
from model.training.vocabulary import Vocabulary, open_vocabulary

STATE, TENSORS = "training.json", "training.safetensors"


class NotSaved(OSError):
    """A checkpoint could not be written; the one before it is as it was."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is. facts: JSON values kept with it (settings, the last search)."""

    step: int
    interval: ClippedInterval
    facts: Mapping[str, Any]


def newest(run: Path) -> Path | None:
    """The last whole checkpoint of a run's folder."""
    found = sorted(path for path in run.glob("step-*") if (path / STATE).is_file())
    return found[-1] if found else None


def locate(name: str) -> Path | str:
    """A run's folder means its newest checkpoint; a checkpoint, or a hub id, itself. Raises UnknownCheckpoint."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return name
    if (folder / published.CONFIG).is_file():
        return folder
    last = newest(folder)
    if last is None:
        raise UnknownCheckpoint(
            f"The folder {folder} holds no checkpoint; give the folder of a run or one of its steps."
        )
    return last


def tokenizer_of(where: Path | str) -> Vocabulary:
    """The tokenizer beside a checkpoint, else the one of the published checkpoints. Raises WrongVocabulary."""
    beside = isinstance(where, Path) and (where / TOKENIZER).is_file()
    return open_vocabulary(str(where) if beside else published.TOKENIZER)


def save(
    run: Path,
    progress: Progress,
    network: DiT,
    average: Average,
    optimiser: Optimiser,
    vocabulary: Vocabulary,
    *,
    keep: int,
) -> Path:
    """Writes a checkpoint, and then removes all but the last `keep`. Raises NotSaved."""
    state = {
        "step": progress.step,
        "updates": average.updates,
        "interval": [progress.interval.low, progress.interval.high],
        **progress.facts,
    }

    def fill(part: Path) -> None:
        published.save(part, average.network, progress.interval)
        vocabulary.save(part)
        save_file(_tensors(network, optimiser), part / TENSORS)
        (part / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")

    return write(run, progress.step, fill, keep=keep)


def write(run: Path, step: int, fill: Callable[[Path], None], *, keep: int) -> Path:
    """The folder of a step, filled and on the disk before it takes its name; then removes all but the last `keep`.

    Raises NotSaved.
    """
    folder = run / f"step-{step:07d}"
    part = run / f".{folder.name}.part"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        fill(part)
        _onto_the_disk(part)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        last = newest(run)
        intact = f"; {last} is intact" if last else ""
        raise NotSaved(
            f"The checkpoint of step {step} could not be written ({error}){intact}. "
            "Make room and start the same command again."
        ) from error
    for old in sorted(run.glob("step-*"))[:-keep]:
        shutil.rmtree(old)
    return folder


def resume(folder: Path, network: DiT, average: Average, optimiser: Optimiser) -> Progress:
    """Puts network, average and optimiser where they were. Raises WrongWeights for a damaged checkpoint."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
        averaged = load_file(folder / published.WEIGHTS)
        network.load_state_dict(_under("weights", tensors))
        average.network.load_state_dict(_under(published.PREFIX.removesuffix("."), averaged))
        average.updates = int(state.pop("updates"))
        step, interval = int(state.pop("step")), ClippedInterval(*state.pop("interval"))
        optimiser.resume(tensors, step)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise WrongWeights(
            f"{folder} is damaged or of another network ({error}); remove it and start the same command again."
        ) from error
    return Progress(step, interval, state)


def _tensors(network: DiT, optimiser: Optimiser) -> dict[str, Tensor]:
    weights = {f"weights.{name}": tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return weights | optimiser.tensors()


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")
    }


def _onto_the_disk(folder: Path) -> None:
    """Before the folder takes its name, its files are where a power cut cannot reach them."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
