"""How far off predictions of seconds were, learned from finished jobs, and kept for the next start.

What is kept belongs to the speeds that were measured of this machine and model: with other ones it is forgotten.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from model.contract import Dial, Ready

MEMORY = 0.75
"""Weight of a job when one more is finished: of many as long as each other the newest one counts a quarter."""

WIDEST, LEAST = 4.0, 0.25
"""A single job moves a prediction by no more than these factors: the machine may have been asleep in between."""

FARTHEST = 64.0
"""A correction is no larger, nor smaller than its inverse. A machine that was busy while it was measured may be ten
times as fast as it seemed."""

FOLDER = "speed"
"""Of the cache folder; the model process keeps there what it measured."""

Key = str | Dial
"""What a correction belongs to: a named stop, or a hand-made setting."""

Part = Literal["text", "ending"]
"""Blocks one after the other, and the tries at the last sentences: other forwards, which are off in other ways."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """Of one job: reading the prompt, writing block after block, trying the last sentences."""

    reading: float
    text: float
    ending: float

    @property
    def total(self) -> float:
        return self.reading + self.text + self.ending


@dataclass(frozen=True, slots=True)
class Factor:
    """Measured seconds over predicted seconds. weight: the predicted seconds that it rests on, older ones less; 0 for
    one that the next job replaces."""

    value: float
    weight: float

    def __post_init__(self) -> None:
        if not (1 / FARTHEST <= self.value <= FARTHEST and 0.0 <= self.weight < math.inf):
            raise ValueError(f"{self} is no correction")

    def moved(self, ratio: float, seconds: float) -> Factor:
        """With a job of so many predicted seconds, which took `ratio` times as long."""
        before = MEMORY * self.weight
        share = seconds / (before + seconds)
        value = self.value * (ratio / self.value) ** share
        return Factor(min(max(value, 1 / FARTHEST), FARTHEST), before + seconds)


@dataclass(frozen=True, slots=True)
class Corrections:
    """What is known, per stop and part.

    Moving geometric means: a job whose end was hard to find takes three times as long, none takes a third. A job counts
    by its length, since the few words of a short one may take more forwards or fewer by chance.
    """

    factors: Mapping[tuple[Key, Part], Factor] = field(default_factory=dict)

    def factor(self, key: Key, part: Part) -> float:
        """1 where nothing is known yet; what the other stops are off by, where this one has not written."""
        known = self.factors.get((key, part))
        if known is not None:
            return known.value
        others = [math.log(factor.value) for (_, of), factor in self.factors.items() if of == part]
        return math.exp(sum(others) / len(others)) if others else 1.0

    def corrected(self, key: Key, predicted: Seconds) -> float:
        """Seconds of the whole job. How long a prompt takes is not learned, since how much of it is known already is
        not foreseen; but a machine that is faster than it was measured reads faster, too."""
        text, ending = self.factor(key, "text"), self.factor(key, "ending")
        return text * (predicted.reading + predicted.text) + ending * predicted.ending

    def learned(self, key: Key, *, predicted: Seconds, measured: Seconds) -> Corrections:
        """With one more finished job; predicted: without any correction. A part of 0 seconds teaches nothing.

        After a job that is too far off to be believed the next one decides: either that was odd, or all before it.
        """
        factors = dict(self.factors)
        for part in get_args(Part):
            expected, took = getattr(predicted, part), getattr(measured, part)
            if expected <= 0.0 or took <= 0.0:
                continue
            before, off = self.factor(key, part), took / expected / self.factor(key, part)
            known = self.factors.get((key, part), Factor(before, 0.0))
            moved = known.moved(before * min(max(off, LEAST), WIDEST), expected)
            factors[key, part] = moved if LEAST <= off <= WIDEST else Factor(moved.value, 0.0)
        return Corrections(factors)


class Learning:
    """The corrections of the model that is there, in a file of the folder; without a folder nothing is kept.

    Not to be used by two threads at once.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / FOLDER
        self._measured: Any = None
        self._file: Path | None = None
        self.corrections = Corrections()

    def begin(self, ready: Ready) -> None:
        """A model is there: what is known of it. A file that cannot be read is none."""
        measured = {"precision": ready.precision, "threads": ready.threads, "speeds": [asdict(s) for s in ready.speeds]}
        if measured == self._measured:
            return
        self._measured, self.corrections = measured, Corrections()
        name = "".join(character if character.isalnum() else "-" for character in ready.model)
        self._file = None if self._folder is None else self._folder / f"corrections-{name}.json"
        if self._file is not None:
            self.corrections = _read(self._file, measured)

    def learn(self, key: Key, *, predicted: Seconds, measured: Seconds) -> None:
        """One more job is over. A folder that cannot be written to keeps nothing; hand-made settings are not kept."""
        self.corrections = self.corrections.learned(key, predicted=predicted, measured=measured)
        if self._file is None:
            return
        known = self.corrections.factors.items()
        named = [(key, part, factor.value, factor.weight) for (key, part), factor in known if isinstance(key, str)]
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new = self._file.with_suffix(f".part{os.getpid()}")
            new.write_text(json.dumps({"of": self._measured, "factors": named}, indent=1) + "\n", encoding="utf-8")
            new.replace(self._file)


def _read(file: Path, measured: Any) -> Corrections:
    """What was kept of a machine that was measured so; nothing where the file is of another one or cannot be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["of"] != measured:
            return Corrections()
        return Corrections(
            {(str(stop), part): Factor(float(value), float(weight)) for stop, part, value, weight in found["factors"]}
        )
    except (OSError, ValueError, TypeError, KeyError):
        return Corrections()
