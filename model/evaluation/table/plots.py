"""The plots of a result, by file name. Knows the result alone, and the logs of the trainings for their curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.evaluation.table.svg import Series, bars, dots, lines
from model.training import log

Point = tuple[float, float, float | None]


def draw(result: Mapping[str, Any], logs: Mapping[str, Path]) -> dict[str, str]:
    """SVG texts by file name, in the order in which they are shown. logs: folder of each system's run."""
    drawn = {
        "perplexity.svg": _perplexity(result),
        "zero-shot.svg": _zero_shot(result),
        "generative.svg": _generative(result),
        "documents.svg": _documents(result),
        "variance.svg": _noise(result, "variance", "Variance of the NELBO by interval and schedule"),
        "noise-perplexity.svg": _noise(result, "perplexity", "Perplexity by interval and schedule of training"),
        "cache.svg": _cache(result),
        "training.svg": _training(logs, dict.fromkeys(result["begun"], result["steps"]["pretrain"])),
    }
    return {name: text for name, text in drawn.items() if text is not None}


def _point(x: float, cell: Mapping[str, Any] | None) -> tuple[Point, ...]:
    """The point of a figure; none where it was not measured."""
    return () if cell is None else ((x, cell["value"], cell["error"]),)


def _perplexity(result: Mapping[str, Any]) -> str:
    rows = [row for row in result["rows"] if "perplexity" in row["columns"]]
    points = tuple(point for at, row in enumerate(rows) for point in _point(at, row["columns"]["perplexity"]))
    names = [row["system"] for row in rows]
    return dots("Perplexity of held-out text", names, [Series("perplexity", points)], log=True)


def _zero_shot(result: Mapping[str, Any]) -> str | None:
    rows = [row for row in result["rows"] if "perplexity" in row["columns"]]
    texts = [column["name"] for column in result["columns"] if column["name"].startswith("perplexity on ")]
    series = [
        Series(text.removeprefix("perplexity on "),
               tuple(point for at, row in enumerate(rows) for point in _point(at, row["columns"].get(text))))
        for text in texts
    ]  # fmt: skip
    return dots("Perplexity of other texts", [row["system"] for row in rows], series, log=True) if series else None


def _generative(result: Mapping[str, Any]) -> str | None:
    """Generative perplexity over forwards for a text; a series is a way of writing, its points are the lengths."""
    series = []
    for row in result["rows"]:
        points: list[Point] = []
        for length in result["lengths"]:
            nfe = row["columns"].get(f"NFE, {length} tokens")
            gen = row["columns"].get(f"generative perplexity, {length} tokens")
            if nfe is not None and gen is not None:
                points.append((nfe["value"], gen["value"], gen["error"]))
        if points:
            series.append(Series(row["system"], tuple(points)))
    if not series:
        return None
    title = "Generative perplexity at " + " and ".join(f"{length}" for length in result["lengths"]) + " tokens"
    return lines(title, "forwards of the network for a text", series, log_x=True, log_y=True)


def _documents(result: Mapping[str, Any]) -> str | None:
    if len(result["documents"]["of"]) < 2:
        return None
    edges = result["documents"]["edges"]
    names = [f"{edge}+" for edge in edges]
    series = [
        Series(one["label"], tuple((at, 100 * count / one["count"], None) for at, count in enumerate(one["histogram"])))
        for one in result["documents"]["of"]
    ]
    return bars("Documents by length, per cent", "tokens", names, series)


def _noise(result: Mapping[str, Any], figure: str, title: str) -> str | None:
    names = list(dict.fromkeys(noise_name(one) for one in result["noise"]))
    sizes = list(dict.fromkeys(one["block_size"] for one in result["noise"]))
    series = [
        Series(
            f"L' = {size}",
            tuple(
                point
                for one in result["noise"]
                if one["block_size"] == size
                for point in _point(names.index(noise_name(one)), one[figure])
            ),
        )
        for size in sizes
    ]
    return dots(title, names, series, log=True) if series else None


def noise_name(one: Mapping[str, Any]) -> str:
    """What a short run was trained with: an interval, or a schedule over the whole range."""
    if one["schedule"] != "linear":
        return str(one["schedule"])
    low, high = one["interval"]
    return "all masked" if low == high == 1 else f"U[{0 if low <= 0.001 else low:g}, {high:g}]"


def _cache(result: Mapping[str, Any]) -> str | None:
    lengths = result["cache"]["lengths"]
    series = [
        Series(f"{one['context']}, {one['numbers']}",
               tuple((length, size / 2**20, None) for length, size in zip(lengths, one["bytes"], strict=True)))
        for one in result["cache"]["of"]
    ]  # fmt: skip
    title = "Memory of the cache of one text, MiB"
    return lines(title, "tokens of the text", series, log_x=True, log_y=True) if series else None


def _training(logs: Mapping[str, Path], before: Mapping[str, int]) -> str | None:
    """before: steps that a system had taken when its run began."""
    series = []
    for name, folder in logs.items():
        events = [event for event in log.read(folder / log.FILE) if "validation" in event]
        points = tuple(
            (before.get(name, 0) + event["step"], event["validation"], event["validation_error"]) for event in events
        )
        if points:
            series.append(Series(name, points))
    title = "Validation while training, nats per token"
    return lines(title, "steps", series, log_y=True) if series else None
