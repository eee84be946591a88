"""Picks the system for a network's configuration. Knows nothing of how it is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from model.backbones.dit import DiTConfig
from model.training.systems.autoregressive import Autoregressive
from model.training.systems.base import System
from model.training.systems.block_diffusion import BlockDiffusion
from model.training.systems.score_entropy import ScoreEntropy
from model.training.systems.simplex import SimplexDiffusion

SYSTEMS = ("bd3lm", "mdlm", "sedd", "ar", "ssd")
"""Names, as in a config.json."""


def shaped(config: DiTConfig, name: str) -> DiTConfig:
    """The configuration for the system of that name. Raises ValueError."""
    whole = config.model_length
    shapes: dict[str, dict[str, Any]] = {
        "bd3lm": {"cross_attn": True, "adaln": True, "causal": False, "time_conditioning": False},
        "mdlm": {"block_size": whole, "cross_attn": False, "adaln": True, "causal": False, "time_conditioning": False},
        "sedd": {"block_size": whole, "cross_attn": False, "adaln": True, "causal": False, "time_conditioning": True},
        "ar": {"block_size": 1, "cross_attn": False, "adaln": False, "causal": True, "time_conditioning": False},
        "ssd": {"cross_attn": False, "adaln": True, "causal": False, "time_conditioning": True},
    }
    if name not in shapes:
        raise ValueError(f"There is no system {name!r}; choose one of {', '.join(SYSTEMS)}.")
    return replace(config, simplex=name == "ssd", **shapes[name])


def system_for(config: DiTConfig, schedule: str = "linear") -> System:
    """The system that a network of this configuration is trained as."""
    if config.causal:
        return Autoregressive(config)
    if config.simplex:
        return SimplexDiffusion(config)
    return ScoreEntropy(config) if config.time_conditioning else BlockDiffusion(config, schedule)
