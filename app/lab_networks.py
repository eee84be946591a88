"""Which trained networks a folder holds for the lab: a folder for each run, with its checkpoints, as training does.

Reads configurations only, so the desk can list them without torch.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from app.environment import ROOT
from model.backbones.dit_config import DiTConfig

CONFIG, WEIGHTS = "config.json", "model.safetensors"

SHIPPED_NETWORKS = ROOT / "assets" / "lab"
"""Those that come with the repository."""

GET_SOME = "python run.py --lab FOLDER"


class NoNetworks(Exception):
    """There is nothing to write with; the message is one sentence that says how to get it."""


@dataclass(frozen=True, slots=True)
class Network:
    """One system that can write.

    id       what the page calls it: the run's folder, and how it samples where that is not the published way.
    folder   the checkpoint.
    system   as model.evaluation.writers names it.
    longest  tokens of the longest text, prompt included; None: no limit.
    """

    id: str
    title: str
    folder: Path
    system: str
    longest: int | None


def networks_in(folder: Path) -> dict[str, Network]:
    """All systems of a folder, by id, in the paper's order. Raises NoNetworks."""
    if not folder.is_dir():
        raise NoNetworks(f"The folder {folder} does not exist; start Galley again with {GET_SOME}.")
    try:
        runs = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise NoNetworks(f"The folder {folder} cannot be read ({error.strerror}); look at its permissions.") from error
    found = sorted((network for run in runs for network in _of_run(run)), key=_order)
    if not found:
        raise NoNetworks(
            f"The folder {folder} holds no trained network yet; they appear here as the table trains them."
        )
    titles = Counter(network.title for network in found)
    named = [replace(n, title=f"{n.title} ({n.id})") if titles[n.title] > 1 else n for n in found]
    return {network.id: network for network in named}


def _of_run(run: Path) -> list[Network]:
    """The run's newest checkpoint, in every way that it can write; nothing where there is none that can be read."""
    steps = sorted(path for path in run.glob("step-*") if (path / CONFIG).is_file() and (path / WEIGHTS).is_file())
    if not steps:
        return []
    try:
        config = DiTConfig.from_published(json.loads((steps[-1] / CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError):  # WrongConfig is a ValueError
        return []
    system, title = _kind(config)
    longest = config.model_length if system == "sedd" else None
    plain = Network(run.name, title, steps[-1], system, longest)
    return [plain, *(replace(plain, id=f"{run.name}+{way}", title=f"{title}, {way}", system=f"{system}-{way}")
                     for way in WAYS.get(system, ()))]  # fmt: skip


WAYS = {"mdlm": ("ancestral",), "bd3lm": ("adaptive",)}
"""Further samplers of the same network."""


def _kind(config: DiTConfig) -> tuple[str, str]:
    """The system a network was trained as, and its name for people."""
    if config.causal:
        return "ar", "Autoregressive"
    if config.simplex:
        return "ssd", f"SSD-LM, blocks of {config.block_size}"
    if config.time_conditioning:
        return "sedd", "SEDD"
    if config.cross_attn and config.block_size < config.model_length:
        return "bd3lm", f"Block diffusion, blocks of {config.block_size}"
    return ("bd3lm", f"Block diffusion, one block of {config.block_size}") if config.cross_attn else ("mdlm", "MDLM")


ORDER = ("ar", "bd3lm", "ssd", "mdlm", "sedd")


def _order(network: Network) -> tuple[int, str, str]:
    kind, _, way = network.system.partition("-")
    return ORDER.index(kind), way, network.id
