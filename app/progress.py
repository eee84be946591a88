"""Shows on the terminal how far the model is on its way: a bar where bytes are counted, one line for other stages.

Writes to stderr, so that stdout stays what the program answers. Knows nothing of where the news comes from.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]


class Progress:
    """Draws the session's picture of its engine, each time it changes."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: Any = None

    def show(self, engine: Mapping[str, Any]) -> None:
        """engine: state, sentence, stage, done, total as `Session.engine` gives them."""
        stage = engine.get("stage") or "" if engine["state"] == "preparing" else engine["state"]
        if stage != self._stage:
            self.close()
            self._stage = stage
            if engine["sentence"]:
                print(engine["sentence"], file=sys.stderr, flush=True)
        if engine["state"] == "preparing" and engine.get("total"):
            if self._bar is None:
                # disable=None: no bar where stderr is a file
                self._bar = tqdm(total=engine["total"], unit="B", unit_scale=True, leave=True, disable=None)
            self._bar.update(engine["done"] - self._bar.n)

    def close(self) -> None:
        """Ends the bar's line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
