"""The result of a table run, as the page shows it: a folder's table.json, and the plots beside it.

Checks everything it reads; knows nothing of how the numbers were made.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.environment import ROOT

SHIPPED = ROOT / "docs" / "lab"
"""The result that comes with the repository."""

TABLE, PLOT = "table.json", ".svg"

MAKE_ONE = "python -m model.evaluation.table --config lab/small.toml"

MOST_BYTES = 16 * 2**20


class Unreadable(Exception):
    """A result cannot be shown; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One number and its standard error; value None: not measured, or not possible. bound: the truth is no more."""

    value: float | None
    error: float | None
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """better: "lower", "higher", or empty where neither is."""

    name: str
    unit: str
    better: str


@dataclass(frozen=True, slots=True)
class Row:
    """One system. cells: in the order of the columns."""

    system: str
    parameters: int | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """plots: names of files beside the table. seconds: of the whole run, where it is known."""

    title: str
    machine: str
    seconds: float | None
    command: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    plots: tuple[str, ...]


def read_result(folder: Path) -> Result | None:
    """The result in a folder; None where there is none. Raises Unreadable."""
    file = folder / TABLE
    try:
        if not file.is_file():
            return None
        if file.stat().st_size > MOST_BYTES:
            raise Unreadable(f"{file} is larger than a table can be; make it again with {MAKE_ONE}.")
        return _result(json.loads(file.read_text(encoding="utf-8")), set(plots_in(folder)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"{file} is not a table of the lab ({type(error).__name__}); make it again.") from error


def plots_in(folder: Path) -> dict[str, Path]:
    """The plots of a folder, by name: whoever asks for one chooses among these."""
    try:
        return {path.name: path for path in sorted(folder.iterdir()) if path.suffix == PLOT and path.is_file()}
    except OSError:
        return {}


def _result(given: Any, plots: set[str]) -> Result:
    columns = tuple(
        Column(_text(one["name"]), _text(one.get("unit")), _text(one.get("better"))) for one in _list(given["columns"])
    )
    rows = tuple(
        Row(
            _text(one["system"]),
            None if (count := _number(one.get("parameters"))) is None else int(count),
            tuple(
                _cell(one["columns"].get(column.name), bound=one.get("exact") is False and _is_likelihood(column))
                for column in columns
            ),
        )
        for one in _list(given["rows"])
    )
    return Result(
        title=_text(given.get("title")),
        machine=_text(given.get("machine")),
        seconds=_number(given.get("seconds")),
        command=_text(given.get("command")),
        columns=columns,
        rows=rows,
        plots=tuple(name for name in map(_text, _list(given.get("plots") or [])) if name in plots),
    )


def _is_likelihood(column: Column) -> bool:
    """Of the system itself, which some of them can only bound; another model's perplexity has a name before it."""
    return column.name.lower().startswith("perplexity")


def _cell(given: Any, *, bound: bool) -> Cell:
    return Cell(None, None) if given is None else Cell(_number(given["value"]), _number(given.get("error")), bound)


def _list(given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise TypeError
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str | None):
        raise TypeError
    return given or ""


def _number(given: Any) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError
    return float(given) if math.isfinite(given) else None
