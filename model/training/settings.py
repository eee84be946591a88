"""What a training run is: one frozen dataclass, checked when made, from the command line or a TOML file.

Knows nothing of how training works. Standard library and the network's configuration only.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from model.backbones.dit import DiTConfig
from model.noise import schedule
from model.training.optimiser import KINDS
from model.training.systems.choice import shaped


class InvalidSetting(ValueError):
    """A setting is not possible, or does not fit the others; the message says which and what is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One training run. Rows, tokens and steps are counted; the rest is as the optimiser takes it.

    data, validation  files or hub:NAME; no validation text: the last rows of the data.
    start             a checkpoint whose weights to begin with; "" for new ones.
    batch             rows of one step, over all processes; micro_batch: rows of one pass of one process.
    interval          the noise levels to begin with; searched for every `search_every` steps, 0: never.
    """

    out: str
    data: tuple[str, ...]
    validation: tuple[str, ...] = ()
    column: str = "text"
    tokenizer: str = "gpt2"
    cache: str = ""
    start: str = ""
    system: str = "bd3lm"
    block_size: int = 16
    length: int = 1024
    hidden_dim: int = 768
    n_blocks: int = 12
    n_heads: int = 12
    cond_dim: int = 128
    dropout: float = 0.1
    schedule: str = "linear"
    steps: int = 1_000_000
    batch: int = 512
    micro_batch: int = 16
    optimiser: str = "adamw"
    learning_rate: float = 3e-4
    warmup: int = 2500
    clip: float = 1.0
    average: float = 0.9999
    precision: str = "bf16"
    seed: int = 1
    interval: tuple[float, ...] = (0.001, 1.0)
    search_every: int = 0
    search_rows: int = 256
    evaluate_every: int = 1000
    validation_rows: int = 256
    log_every: int = 10
    save_every: int = 1000
    keep: int = 1

    def __post_init__(self) -> None:
        positive = ("block_size", "length", "steps", "batch", "micro_batch", "log_every", "save_every", "keep")
        for name in (*positive, "evaluate_every", "validation_rows", "search_rows"):
            if getattr(self, name) < 1:
                raise InvalidSetting(f"--{_option(name)} {getattr(self, name)} is not possible; give 1 or more.")
        if self.length % self.block_size:
            raise InvalidSetting(
                f"Rows of {self.length} tokens do not split into blocks of {self.block_size}; change one of them."
            )
        if self.precision not in ("bf16", "no"):
            raise InvalidSetting(f"--precision {self.precision} is not possible; choose bf16 or no.")
        if self.optimiser not in KINDS:
            raise InvalidSetting(f"--optimiser {self.optimiser} is not possible; choose {' or '.join(KINDS)}.")
        if len(self.interval) != 2:
            raise InvalidSetting("--interval takes two numbers, the lowest and the highest noise level.")
        if not self.data:
            raise InvalidSetting("There is no text to train on; give --data FILE.")
        try:
            schedule(self.schedule)
            self.network(self.length)
        except ValueError as error:
            raise InvalidSetting(str(error)) from error

    def network(self, vocabulary: int) -> DiTConfig:
        """The network for a vocabulary of that size, mask included."""
        config = DiTConfig(
            vocab_size=vocabulary,
            hidden_dim=self.hidden_dim,
            n_blocks=self.n_blocks,
            n_heads=self.n_heads,
            cond_dim=self.cond_dim,
            model_length=self.length,
            block_size=self.block_size,
            dropout=self.dropout,
        )
        return shaped(config, self.system)

    def as_json(self) -> dict[str, Any]:
        """Plain values, in the order of the fields."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


MAY_CHANGE = ("out", "cache", "steps", "micro_batch", "log_every", "evaluate_every", "save_every", "keep")
"""A run may be gone on with under other values of these."""


DEFAULTS = {
    field.name: list(field.default) if isinstance(field.default, tuple) else field.default for field in fields(Settings)
}


def changed(old: Mapping[str, Any], new: Settings) -> list[str]:
    """The settings, beside those that may, in which a run differs from what its checkpoint was trained with."""
    now, before = new.as_json(), {**DEFAULTS, **old}  # a run older than a setting was trained with its default
    return [name for name in now if name not in MAY_CHANGE and now[name] != before[name]]


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a TOML file. Raises InvalidSetting for an unknown name, OSError."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidSetting(f"{path} is not TOML ({error}).") from error
    return checked(found, str(path))


def checked(found: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values of settings by name, lists as tuples. Raises InvalidSetting for an unknown name or a wrong type."""
    known = {field.name: field for field in fields(Settings)}
    for name, value in found.items():
        if name not in known:
            raise InvalidSetting(f"{where} has a setting {name!r} that does not exist; see --help.")
        kind = str(known[name].type)
        fits = {"str": str, "int": int, "float": int | float}.get(kind, list | tuple)
        if not isinstance(value, fits) or isinstance(value, bool):
            raise InvalidSetting(f"{where}: {name} = {value!r} is not possible; it takes {_takes(kind)}.")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def _takes(kind: str) -> str:
    return {"str": "a text", "int": "a whole number", "float": "a number"}.get(kind, "a list")


def _option(name: str) -> str:
    return name.replace("_", "-")


GUIDE = """\
Trains a language model of the paper from scratch, or goes on where a stopped run of the same folder was.

A block diffusion model is made in two stages, with one tokenizer:

  python -m model.training.train --data text.txt --out runs/whole --system bd3lm --block-size 1024
  python -m model.training.train --data text.txt --out runs/four  --system bd3lm --block-size 4 \\
      --start runs/whole --search-every 5000

The first one has blocks as long as the row (MDLM). The second one begins with its weights, and looks for the interval
of noise levels with the least variance while it trains. --system is bd3lm, mdlm, sedd, ar or ssd.

The same command goes on with a run that was stopped, with the same numbers. A folder holds step-NNNNNNN (config.json,
model.safetensors, tokenizer.json: the averaged weights, as published; and what resuming needs), log.jsonl and log.svg.

Several processes: accelerate launch -m model.training.train …, or torchrun. --batch is the whole step's: one process or
eight, the gradient is the same.
"""

HELP: dict[str, str] = {
    "out": "folder of the run",
    "data": "text to train on: .txt, .md, .parquet, .jsonl, .json, .csv, or hub:NAME[:CONFIG[:SPLIT]]",
    "validation": "text to validate with (default: the last 2%% of the rows)",
    "column": "column that holds the text, where there are several",
    "tokenizer": "tokenizer.json, a folder with one, or a Hugging Face id",
    "cache": "folder for tokenised text (default: OUT/../tokens)",
    "start": "run or checkpoint whose weights to begin with",
    "system": "bd3lm, mdlm, sedd, ar or ssd",
    "block_size": "L', tokens of a block",
    "length": "L, tokens of a row",
    "hidden_dim": "width of the network",
    "n_blocks": "layers of the network",
    "n_heads": "attention heads",
    "cond_dim": "width of the vector that modulates the layer norms",
    "dropout": "share of activations dropped while training",
    "schedule": "noise schedule: linear, cosine, square, square-root or log",
    "steps": "optimiser steps in all",
    "batch": "rows of one step, over all processes",
    "micro_batch": "rows of one pass of one process; less memory, the same numbers",
    "optimiser": "adamw, or muon: for the matrices within the layers, and AdamW for the rest",
    "learning_rate": "of the optimiser, after the warm-up",
    "warmup": "steps in which the learning rate grows to that",
    "clip": "largest norm of the gradient",
    "average": "decay of the averaged weights",
    "precision": "bf16 (mixed) or no (float32)",
    "seed": "same seed, same numbers",
    "interval": "lowest and highest noise level to begin with",
    "search_every": "steps between two searches for the interval; 0: never",
    "search_rows": "validation rows of a search",
    "evaluate_every": "steps between two validations",
    "validation_rows": "rows of a validation, at most",
    "log_every": "steps between two lines of the log",
    "save_every": "steps between two checkpoints",
    "keep": "checkpoints kept",
}


def parse(arguments: Sequence[str]) -> Settings:
    """Settings from the command line; those of --config FILE stand behind them. Raises InvalidSetting, OSError."""
    parser = argparse.ArgumentParser(
        prog="python -m model.training.train",
        description=GUIDE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings: names as here, with _")
    for field in fields(Settings):
        kind = {"int": int, "float": float}.get(str(field.type), str)
        more: dict[str, Any] = {"type": kind, "metavar": kind.__name__.upper()}
        if str(field.type).startswith("tuple"):
            many = "interval" not in field.name
            more = {"type": str if many else float, "nargs": "+" if many else 2, "metavar": "FILE" if many else "T"}
        told = HELP[field.name]
        if isinstance(field.default, int | float | str) and field.default != "":
            told += f" (default: {field.default})"
        parser.add_argument(f"--{_option(field.name)}", help=told, **more)
    given = vars(parser.parse_args(arguments))
    config = given.pop("config", None)
    values = {**(read_config(config) if config else {}), **checked(given, "The command line")}
    for name in ("out", "data"):
        if name not in values:
            raise InvalidSetting(f"--{name} is missing; see --help.")
    return Settings(**values)
