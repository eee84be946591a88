"""The whole way of one comparison, from a plan to table.json, table.md and plots in its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.catalog import UnknownModel, find
from model.evaluation.judge import Judge
from model.evaluation.table.measuring import measure, measure_alone
from model.evaluation.table.networks import Network
from model.evaluation.table.page import markdown
from model.evaluation.table.plan import Plan, trainings
from model.evaluation.table.plots import draw
from model.evaluation.table.recipes import ways
from model.evaluation.table.samples import Bench
from model.evaluation.table.texts import prepare
from model.evaluation.table.training import train
from model.evaluation.writing import say
from model.training.settings import InvalidSetting
from model.weights import obtain

JSON, PAGE = "table.json", "table.md"


def networks(plan: Plan, out: Path, *, only: Sequence[str] = (), quiet: bool = False) -> dict[str, Network]:
    """Trains what is not trained yet; only: of those names. Raises InvalidSetting and what training raises."""
    runs = trainings(plan, out)
    ways(plan)  # what is not possible is said now, not after hours
    if unknown := [name for name in only if name not in runs]:
        raise InvalidSetting(f"There is no training {unknown[0]!r}; choose from {', '.join(runs)}.")
    prepare(plan.text, out / "text")
    return {
        name: Network.at(name, settings, train(name, settings, quiet=quiet))
        for name, settings in runs.items()
        if not only or name in only
    }


def compare(plan: Plan, out: Path, bench: Bench, command: str, *, quiet: bool = False) -> dict[str, Any]:
    """Trains, measures, and writes the files. Raises what training and measures raise."""
    trained = networks(plan, out, quiet=quiet)
    result = measure(plan, trained, out, bench, command, quiet=quiet)
    drawn = draw(result, {name: out / name for name in plan.systems})
    result["plots"] = list(drawn)
    for name, text in drawn.items():
        (out / name).write_text(text, encoding="utf-8")
    (out / PAGE).write_text(markdown(result), encoding="utf-8")
    (out / JSON).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return result


def share(plan: Plan, only: Sequence[str], out: Path, bench: Bench, *, quiet: bool = False) -> None:
    """Trains and measures these systems and stages alone; `compare` then finds it done. Raises what it raises."""
    measure_alone(plan, networks(plan, out, only=only, quiet=quiet), out, bench, quiet=quiet)


def bench(name: str, cache_dir: Path) -> Bench:
    """The judge of that name: one of the catalogue, else a Hugging Face id or a folder."""

    def opened() -> Judge:
        """Raises JudgeUnusable, WeightsUnavailable."""
        try:
            entry = find(name)
        except UnknownModel:
            return Judge(name)
        return Judge(str(obtain(entry, cache_dir, say)))

    return Bench(name, opened)
