"""The log of a training run: one JSON line per event, and a plot of it as SVG.

Knows nothing of networks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

FILE, PLOT = "log.jsonl", "log.svg"

WIDTH, HEIGHT, MARGIN = 720, 360, 52
SMOOTH = 0.95
"""Weight of the past in the drawn training loss."""

INK, TRAIN, VALID = "#333333", "#9a9a9a", "#b4532a"


class Log:
    """Events of a run, in order; a resumed run first forgets what happened after its checkpoint."""

    def __init__(self, folder: Path, step: int) -> None:
        """step: of the checkpoint the run goes on from; events of later steps are dropped. Raises OSError."""
        self.path = folder / FILE
        kept = [event for event in read(self.path) if event["step"] <= step]
        part = self.path.with_suffix(".part")
        part.write_text("".join(_line(event) for event in kept), encoding="utf-8")
        part.replace(self.path)

    def write(self, event: Mapping[str, Any]) -> None:
        """Adds an event; it has a "step". On the disk when this returns. Raises OSError."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(event))
            file.flush()
            os.fsync(file.fileno())

    def plot(self) -> None:
        """Draws the log so far beside it. Raises OSError."""
        self.path.with_name(PLOT).write_text(plot(read(self.path)), encoding="utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a log; none where there is no file. A line that was cut off by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _line(event: Mapping[str, Any]) -> str:
    return json.dumps(event) + "\n"


def plot(events: Iterable[Mapping[str, Any]]) -> str:
    """The loss over the steps, in nats per token, as an SVG: training smoothed and in grey, validation as dots."""
    events = list(events)
    train = _smoothed([(event["step"], event["loss"]) for event in events if "loss" in event])
    valid = [(event["step"], event["validation"]) for event in events if "validation" in event]
    points = [*train, *valid]
    if not points:
        return _svg([])
    last = max(max(step for step, _ in points), 1)
    low, high = min(value for _, value in points), max(value for _, value in points)
    spread = max(high - low, 1e-9)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = MARGIN + point[0] / last * (WIDTH - 2 * MARGIN)
        return round(x, 1), round(HEIGHT - MARGIN - (point[1] - low) / spread * (HEIGHT - 2 * MARGIN), 1)

    marks = [_line_through([place(point) for point in train], TRAIN)]
    if valid:
        marks.append(_line_through([place(point) for point in valid], VALID))
        marks += [f'<circle cx="{x}" cy="{y}" r="3" fill="{VALID}"/>' for x, y in map(place, valid)]
    for share in (0.0, 0.5, 1.0):
        value, step = low + share * spread, round(share * last)
        marks.append(_text(MARGIN - 8, place((0, value))[1] + 4, f"{value:.2f}", "end"))
        marks.append(_text(place((step, low))[0], HEIGHT - MARGIN + 18, f"{step}", "middle"))
    marks.append(_text(WIDTH / 2, HEIGHT - 12, "steps", "middle"))
    marks.append(_text(MARGIN, 24, "nats per token: training (grey), validation (dots)", "start"))
    return _svg(marks)


def _smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Exponentially, with the short past of the first points taken for what it is."""
    out: list[tuple[float, float]] = []
    total = weight = 0.0
    for step, value in points:
        total, weight = SMOOTH * total + value, SMOOTH * weight + 1
        out.append((step, total / weight))
    return out


def _line_through(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{INK}">{text}</text>'


def _svg(marks: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n' + "\n".join(marks) + "\n</svg>\n"
    )
