"""Trains what is not trained yet. Knows nothing of what is measured."""

from __future__ import annotations

import json
from pathlib import Path

from model.evaluation.writing import say
from model.training import checkpoint
from model.training.settings import InvalidSetting, Settings, changed
from model.training.train import Run


def train(name: str, settings: Settings, *, quiet: bool = False) -> Path:
    """The last checkpoint of a run, which begins, goes on, or is done already. Raises what `Run` does."""
    done = finished(settings)
    if done is not None:
        return done
    if not quiet:
        say(f"training {name}: {settings.steps} steps")
    return Run(settings, quiet=quiet).train()


def finished(settings: Settings) -> Path | None:
    """The last checkpoint of a run that is done. Raises InvalidSetting where the folder holds another run."""
    folder = checkpoint.newest(Path(settings.out))
    if folder is None:
        return None
    state = json.loads((folder / checkpoint.STATE).read_text(encoding="utf-8"))
    if other := changed(state["settings"], settings):
        raise InvalidSetting(
            f"{settings.out} holds a run with another {', '.join(other)}; choose another --out, or what it had."
        )
    return folder if state["step"] >= settings.steps else None
