"""`python run.py models`: which models there are, as a table on stdout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.models import Model, models
from app.settings import Settings

HEAD = ("", "name", "licence", "download", "memory", "on disk", "title")

WORDS = {"whole": "whole, {}", "partly": "partly, {}", "nothing": "no"}

BELOW = """

* is the one that these options start. Any other: python run.py --model NAME
What is not on the disk is fetched then, once, and its files are checked at every start. All sizes are about so much."""


def show_models(settings: Settings) -> int:
    """Prints the table. Returns the exit code."""
    listed = models(settings.entry, settings.cache)
    print("\n".join(table([HEAD, *map(_cells, listed)])) + BELOW)
    return 0


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows with their columns one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(model: Model) -> tuple[str, ...]:
    return (
        "*" if model.in_use else "",
        model.entry.id,
        model.entry.licence or "its owner's",
        size(model.entry.fetches) if model.entry.fetches else "none",
        "not known" if model.memory is None else size(model.memory),
        WORDS[model.lying.state].format(size(model.lying.bytes)),
        model.entry.title,
    )


def size(count: int) -> str:
    """Bytes as people say them."""
    return f"{count / 10**9:.1f} GB" if count >= 10**9 else f"{max(1, round(count / 10**6))} MB"
