"""What was measured of a machine's speed, kept beside the weights: measuring anew would be a third of every start.

Knows nothing of how it is measured.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from model.catalog import Entry
from model.contract import StopSpeed
from model.machine import machine

FORMAT = 3
"""Counts up when something is measured in another way or the engine got faster, so that it is measured again."""

FOLDER = "speed"


@dataclass(frozen=True, slots=True)
class Speed:
    """stops: one for each named stop. prefill: tokens a second that are read."""

    stops: tuple[StopSpeed, ...]
    prefill: float


def known_or(measured: Callable[[], Speed], model: str, entry: Entry, precision: str, cache_dir: Path) -> Speed:
    """The speed that was measured once for this model, machine, precision and number of threads; else `measured`'s,
    which is kept. A file that cannot be read is written anew; a folder that cannot be written to keeps nothing."""
    facts = {
        "format": FORMAT, "model": model, "stops": [asdict(stop.dial) for stop in entry.stops],
        "precision": precision, "machine": machine(), "name": platform.node(),
    }  # fmt: skip
    said = json.dumps(facts, sort_keys=True)
    file = cache_dir / FOLDER / f"{hashlib.sha256(said.encode()).hexdigest()[:16]}.json"
    if (known := _read(file)) is not None:
        return known
    speed = measured()
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".part{os.getpid()}")
        part.write_text(json.dumps({"of": facts, **asdict(speed)}, indent=1) + "\n", encoding="utf-8")
        part.replace(file)
    return speed


def _read(file: Path) -> Speed | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        stops = [
            StopSpeed(str(stop["stop"]), float(stop["seconds_per_forward"]), float(stop["ending_seconds"]))
            for stop in found["stops"]
        ]
        return Speed(tuple(stops), float(found["prefill"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
