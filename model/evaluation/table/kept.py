"""Measures as small JSON files: each is taken once, and again when something it depends on has changed.

Knows nothing of what is measured.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model.evaluation.writing import say

FORMAT = 1
"""Counts up when a measure is taken in another way, so that older ones are taken again."""

Values = dict[str, Any]


class Kept:
    """The measures in a folder. seconds: that those asked for so far took when they were taken."""

    def __init__(self, folder: Path, *, quiet: bool = False) -> None:
        self.seconds = 0.0
        self._folder, self._quiet = folder, quiet

    def get(self, name: str, depends: Mapping[str, Any], take: Callable[[], Values]) -> Values:
        """The measure of that name, JSON values. Raises OSError, and what `take` raises."""
        file = self._folder / f"{name}.json"
        facts = json.loads(json.dumps({"format": FORMAT, **depends}))
        kept = _read(file)
        if kept is None or kept["depends"] != facts:
            if not self._quiet:
                say(f"measuring {name}")
            began = time.perf_counter()
            values = take()
            kept = {"depends": facts, "seconds": round(time.perf_counter() - began, 2), "values": values}
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(f".part{os.getpid()}")
            part.write_text(json.dumps(kept) + "\n", encoding="utf-8")
            part.replace(file)
        self.seconds += kept["seconds"]
        found: Values = json.loads(json.dumps(kept["values"]))  # the same whether just taken or read
        return found


def _read(file: Path) -> dict[str, Any] | None:
    """What a file holds; None where there is none, or none that is whole."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    whole = isinstance(kept, dict) and {"depends", "seconds", "values"} <= kept.keys()
    return kept if whole else None
