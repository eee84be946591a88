"""What an adapter's training is: one frozen dataclass, checked when made, from the command line.

Knows nothing of how training works.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from model.noise import ClippedInterval
from model.training.adapter.blocks import Noise
from model.training.adapter.loss import Objective
from model.training.settings import InvalidSetting

TRAINED = ("both", "adapter", "head")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One training run. Tokens are slots with a loss; every noisy copy of a text counts.

    model     a catalogue id, a Hugging Face id of the catalogue, or a folder with a model.
    start     an adapter file to begin with, or a folder with one; the sampler head is taken from beside it.
    layers    that noisy text goes through; none given: those of `start`, or all.
    interval  lowest and highest noise level of blocks that are not masked throughout: for all sizes, or for each.
    """

    out: str
    data: tuple[str, ...]
    model: str = "smollm2-135m"
    cache: str = ""
    start: str = ""
    train: str = "both"
    layers: tuple[int, ...] = ()
    rank: int = 64
    scale: float = 2.0
    block_sizes: tuple[int, ...] = (3, 5, 5, 8)
    masked: float = 0.9
    interval: tuple[float, ...] = (0.3, 1.0)
    decay: float = 0.8
    plain: float = 0.15
    visited: float = 0.0
    acceptance: float = 0.0
    temperature: float = 1.0
    texts: int = 2
    copies: int = 2
    length: int = 1024
    tokens: int = 1_000_000
    minutes: float = 0.0
    learning_rate: float = 1e-3
    warmup: int = 15
    anneal: float = 0.3
    clip: float = 1.0
    precision: str = "bf16"
    seed: int = 1
    held_out: float = 0.04
    validation_texts: int = 24
    validate_every: int = 50_000
    save_every: int = 25_000
    log_every: int = 10
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("rank", "texts", "copies", "tokens", "length", "validation_texts", "validate_every", "save_every",
                     "log_every", "keep"):  # fmt: skip
            if getattr(self, name) < 1:
                raise InvalidSetting(f"--{_option(name)} {getattr(self, name)} is not possible; give 1 or more.")
        for name in ("masked", "plain", "visited", "acceptance", "anneal", "held_out", "decay"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InvalidSetting(f"--{_option(name)} {getattr(self, name)} is not possible; give 0 … 1.")
        if list(self.layers) != sorted(set(self.layers)):
            raise InvalidSetting("--layers takes the numbers of layers, in order and each once.")
        if self.temperature <= 0.0 or self.learning_rate <= 0.0:
            raise InvalidSetting("--temperature and --learning-rate have to be more than 0.")
        if self.train not in TRAINED:
            raise InvalidSetting(f"--train {self.train} is not possible; choose {', '.join(TRAINED)}.")
        if self.precision not in ("bf16", "no"):
            raise InvalidSetting(f"--precision {self.precision} is not possible; choose bf16 or no.")
        if not self.block_sizes or min(self.block_sizes) < 1:
            raise InvalidSetting("--block-sizes takes one size or more, each of 1 slot or more.")
        if len(self.interval) not in (2, 2 * len(self.block_sizes)):
            raise InvalidSetting("--interval takes two numbers, or two for each of the --block-sizes.")
        try:
            self.noise()
        except ValueError as error:
            raise InvalidSetting(str(error)) from error

    def noise(self) -> Noise:
        """How copies are drawn."""
        pairs = self.interval if len(self.interval) > 2 else self.interval * len(self.block_sizes)
        intervals = tuple(ClippedInterval(*pairs[at : at + 2]) for at in range(0, len(pairs), 2))
        return Noise(self.block_sizes, intervals, self.masked, self.decay, self.plain, self.visited)

    def objective(self) -> Objective:
        """The loss."""
        return Objective(self.acceptance, self.temperature)

    def as_json(self) -> dict[str, Any]:
        """Plain values, in the order of the fields."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


MAY_CHANGE = (
    "out", "data", "cache", "start", "tokens", "minutes", "anneal", "learning_rate", "validate_every", "save_every",
    "log_every", "keep",
)  # fmt: skip
"""A run may be gone on with under other values of these; with other data or rates it has other numbers, of course."""


def changed(old: Mapping[str, Any], new: Settings) -> list[str]:
    """The settings, beside those that may, in which a run differs from what its checkpoint was trained with."""
    now = new.as_json()
    return [name for name in now if name not in MAY_CHANGE and now[name] != old.get(name, now[name])]


GUIDE = """\
Trains the block adapter and the sampler head of a model of the Llama or Qwen family, or goes on where a run stopped.

  python -m model.training.adapter --data written.jsonl --out ~/runs/adapter --from assets/block-adapter.safetensors

The model's own weights stay as they are and read clean text causally; low-rank weights are trained to read the noisy
slots of a block. Texts should be the model's own: its law of the next token is the target. A row of the data holds
prompt_tokens and tokens, or prompt and text.

Without --from it begins anew. The same command goes on with a stopped run (Ctrl+C, SIGTERM, --minutes) to the same
numbers. The rate is constant after the warm-up and falls to 0 over the last part (--anneal) of --tokens.

OUT holds step-NNNNNNN (both files for use; what resuming needs), best (both files where most tokens were expected per
cycle), log.jsonl and log.svg. OMP_NUM_THREADS sets the threads; it may run niced in the background.
"""

HELP: dict[str, str] = {
    "out": "folder of the run",
    "data": "JSON Lines files with texts",
    "model": "catalogue id, Hugging Face id of the catalogue, or a folder with a model",
    "cache": "where model files are kept (default: where the desk keeps them)",
    "start": "adapter file, or a folder with one, to begin with; the sampler head beside it too",
    "train": "both, adapter or head",
    "layers": "those that noisy text goes through, where it is not all (default: those of --from)",
    "rank": "of a new adapter's low-rank weights",
    "scale": "of a new adapter's low-rank weights",
    "block_sizes": "sizes of blocks, drawn evenly; one twice is drawn twice as often",
    "masked": "share of blocks that are masked throughout",
    "interval": "noise levels of the other blocks: low and high for all sizes, or for each",
    "decay": "weight of a slot: this to the power of the masked slots before it in its block",
    "plain": "share of slots trained without the sampler head although they could use it",
    "visited": "share of copies, of texts written with distill's --dial, whose blocks begin where cycles did",
    "acceptance": "share of the loss that is 1 − Σ min(p, q); the rest is cross-entropy",
    "temperature": "of both laws in the loss",
    "texts": "texts of one step",
    "copies": "noisy copies of each text for one clean pass",
    "length": "longest text in tokens, prompt included; the rest is cut off",
    "tokens": "slots to train on in all",
    "minutes": "stop after so many minutes of this sitting; 0: never",
    "learning_rate": "of AdamW, after the warm-up",
    "warmup": "steps in which the learning rate grows to that",
    "anneal": "share of --tokens, at the end, over which the rate falls to 0",
    "clip": "largest norm of the gradient",
    "precision": "bf16 products (sums in float32) or no (float32)",
    "seed": "same seed, same numbers",
    "held_out": "share of the prompts that validate",
    "validation_texts": "texts of a validation, at most",
    "validate_every": "slots between two validations",
    "save_every": "slots between two checkpoints",
    "log_every": "steps between two lines of the log",
    "keep": "checkpoints kept",
}


def _option(name: str) -> str:
    return "from" if name == "start" else name.replace("_", "-")


def parse(arguments: Sequence[str]) -> Settings:
    """Settings from the command line. Raises InvalidSetting."""
    parser = argparse.ArgumentParser(
        prog="python -m model.training.adapter",
        description=GUIDE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    for field in fields(Settings):
        kind = str(field.type)
        of = next((known for name, known in (("int", int), ("float", float)) if name in kind), str)
        more: dict[str, Any] = {"type": of, "metavar": of.__name__.upper(), "dest": field.name}
        if kind.startswith("tuple"):
            more |= {"nargs": "+"}
        told = HELP[field.name]
        if field.name in ("out", "data"):
            more |= {"required": True}
        elif field.default not in ("", ()):
            shown = field.default if isinstance(field.default, tuple) else (field.default,)
            told += f" (default: {' '.join(map(str, shown))})"
        parser.add_argument(f"--{_option(field.name)}", help=told, **more)
    given = vars(parser.parse_args(arguments))
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return Settings(**values)
