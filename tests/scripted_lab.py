"""A lab without networks: a folder that looks like a table run's, and a process that writes what a script lets it.

hold(cache_dir, 20)     # both sides repeat their picture once they have made 20 together, until …
release(cache_dir)
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

from app.child_process import begin_as_child
from app.lab_process import (
    Answer,
    Compare,
    Opened,
    Picture,
    Question,
    Read,
    Slot,
    Step,
    Verdict,
    answer_all,
)
from model.backbones.dit_config import DiTConfig

TEXT = (
    "It was never the storms that put it out, nor the price of oil, whatever they wrote to the Board. The geese came "
    "down to it in the fog, and my father could not bear the sound of them against the glass. So he climbed up, one "
    "night in the second week of December, and turned the valve, and sat there in the dark until the morning came."
)

WORDS = TEXT.split()

SHAPE = DiTConfig(
    vocab_size=4097, hidden_dim=256, n_blocks=6, n_heads=4, cond_dim=64, model_length=128, block_size=1, causal=True,
    cross_attn=False, adaln=False,
)  # fmt: skip

BLOCKS = replace(SHAPE, causal=False, cross_attn=True, adaln=True, block_size=16)
ONE_BLOCK = replace(BLOCKS, cross_attn=False, block_size=128)

RUNS = {
    "ar": SHAPE,
    "bd3-4": replace(BLOCKS, block_size=4),
    "bd3-16": BLOCKS,
    "mdlm": ONE_BLOCK,
    "sedd": replace(ONE_BLOCK, time_conditioning=True),
    "ssd": replace(BLOCKS, cross_attn=False, time_conditioning=True, block_size=32, simplex=True),
}

SIZES = {"ar": 1, "bd3-4": 4, "bd3-16": 16}
"""Blocks of the scripted texts; others write all at once."""

COLUMNS = [
    {"name": "Perplexity", "unit": "tokens", "better": "lower"},
    {"name": "Zero-shot: Debian changelogs", "unit": "", "better": "lower"},
    {"name": "Tokens/s", "unit": "", "better": "higher"},
    {"name": "Entropy", "unit": "nats", "better": ""},
]

VALUES = {
    "Autoregressive": [(24.31, 0.21), (88.2, 1.9), (412.0, 3.1), (4.87, 0.02)],
    "BD3-LM, L′ = 4": [(27.95, 0.24), (97.0, 2.2), (530.5, 8.0), (4.91, 0.02)],
    "BD3-LM, L′ = 16": [(30.12, 0.26), (104.9, 2.4), (611.2, 9.4), (4.95, 0.03)],
    "MDLM": [(31.87, 0.29), (110.3, 2.6), (120.9, 1.0), (5.02, 0.03)],
    "SEDD": [(32.66, 0.31), (None, None), (14.25, 0.11), (5.08, 0.03)],
}

PLOT = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 360"><rect width="720" height="360" fill="white"/>'
    '<polyline points="60,60 240,180 420,240 660,280" fill="none" stroke="#b4532a" stroke-width="2"/></svg>'
)


def table() -> dict[str, object]:
    """A table.json."""
    names = [str(column["name"]) for column in COLUMNS]
    return {
        "title": "Systems of 6M parameters on novels",
        "machine": "2 CPU cores",
        "seconds": 11_280.0,
        "command": "python -m model.evaluation.table --config lab/small.toml",
        "columns": COLUMNS,
        "rows": [
            {
                "system": system,
                "parameters": 6_100_000,
                "exact": system == "Autoregressive",
                "columns": {name: {"value": v, "error": e} for name, (v, e) in zip(names, cells, strict=True)},
            }
            for system, cells in VALUES.items()
        ],
        "plots": ["nelbo-variance.svg"],
    }


def scripted_lab(folder: Path, *runs: str, result: bool = True) -> Path:
    """The folder, with these runs, or all, and a result."""
    for run in runs or RUNS:
        step = folder / run / "step-0000100"
        step.mkdir(parents=True)
        (step / "config.json").write_text(json.dumps(RUNS[run].to_published()), encoding="utf-8")
        (step / "model.safetensors").touch()
    folder.mkdir(parents=True, exist_ok=True)
    if result:
        (folder / "table.json").write_text(json.dumps(table()), encoding="utf-8")
        (folder / "nelbo-variance.svg").write_text(PLOT, encoding="utf-8")
    return folder


def _script(cache_dir: Path) -> Path:
    return cache_dir / "lab-script"


def hold(cache_dir: Path, pictures: int) -> None:
    cache_dir.mkdir(parents=True, exist_ok=True)
    _script(cache_dir).write_text(str(pictures), encoding="ascii")


def release(cache_dir: Path) -> None:
    _script(cache_dir).unlink(missing_ok=True)


HELD_SECONDS = 0.005


@dataclass
class Text:
    """One side: words in blocks, a slot each step, in an order of chance."""

    size: int
    tokens: int
    chance: random.Random
    done: list[str] = field(default_factory=list)
    slots: list[str | None] = field(default_factory=list)
    steps: int = 0

    def step(self) -> None:
        if None not in self.slots:
            self.done += [slot or "" for slot in self.slots]
            self.slots = [None] * min(self.size, self.tokens - len(self.done))
        if masked := [at for at, slot in enumerate(self.slots) if slot is None]:
            at = self.chance.choice(masked)
            self.slots[at] = " " + WORDS[(len(self.done) + at) % len(WORDS)]
            self.steps += 1

    def picture(self) -> Picture:
        slots = tuple(Slot(text, True) for text in self.slots)
        decided = len(self.done) + sum(text is not None for text in self.slots)
        return Picture("".join(self.done), slots, decided, self.steps, self.steps * 0.02, not self.slots)


class ScriptedBench:
    """Answers as the real one does. A prompt “crash” ends the process; SEDD writes up to 64 tokens."""

    def __init__(self, cache_dir: Path) -> None:
        self._cache = cache_dir
        self._texts: list[Text] = []
        self._made = 0

    def answer(self, question: Question) -> Answer:
        match question:
            case Compare(systems, prompt, tokens, seed, _):
                prompt.encode()  # as a tokenizer does
                if prompt == "crash":
                    raise SystemExit(3)
                names = [folder.parent.name for folder, _ in systems]
                self._made = 0
                self._texts = [
                    Text(SIZES.get(name, tokens), tokens, random.Random(seed + side)) for side, name in enumerate(names)
                ]
                too_long = "This system writes at most its training length; ask for fewer."
                return Opened(tuple(too_long if name == "sedd" and tokens > 64 else None for name in names))
            case Step(side):
                if self._held():
                    time.sleep(HELD_SECONDS)
                else:
                    self._made += 1
                    self._texts[side].step()
                return self._texts[side].picture()
            case Read(side):
                return Verdict(112.5 + side, None)

    def _held(self) -> bool:
        try:
            return self._made >= int(_script(self._cache).read_text(encoding="ascii"))
        except FileNotFoundError:
            return False


def scripted_lab_child(connection: Connection, cache_dir: Path, threads: int | None) -> None:
    """The lab's process with the script."""
    begin_as_child()
    answer_all(connection, ScriptedBench(cache_dir).answer)
