"""Small plots as SVG: lines, points with standard errors, bars. Knows nothing of what they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 48
INK, FAINT = "#333333", "#d8d8d8"
COLOURS = (
    "#b4532a", "#2f6f8f", "#5b8c3a", "#8a5aa8", "#c28e0e", "#555555", "#c44e7a", "#3a9c8c", "#7a4a1e", "#9cb8e0",
    "#a8c97f", "#d9a3c9", "#000000",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Axis:
    """From low to high; logarithmic where both are above 0 and `log` is true."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, values: Sequence[float], *, log: bool = False, zero: bool = False) -> Axis:
        """All values with a little room; from 0 on where `zero` is true."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        if log and low > 0:
            return cls(low / 1.15, high * 1.15, True)
        room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
        return cls(0.0 if zero else low - room, high + room)

    def share(self, value: float) -> float:
        """Where a value lies: 0 at low, 1 at high."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """A few round values."""
        if self.log and self.high / self.low > 4:
            powers = range(math.floor(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            found = [10.0**power * part for power in powers for part in (1, 2, 5)]
            return [value for value in found if self.low <= value <= self.high]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 2))
        step *= next(part for part in (1, 2, 5, 10) if (self.high - self.low) / (step * part) <= 6)
        first = math.ceil(self.low / step)
        return [number * step for number in range(first, math.floor(self.high / step) + 1)]


@dataclass(frozen=True, slots=True)
class Series:
    """Points (x, y, standard error of y or None) under a name."""

    name: str
    points: tuple[tuple[float, float, float | None], ...]


def lines(title: str, x_name: str, series: Sequence[Series], *, log_x: bool = False, log_y: bool = False,
          joined: bool = True) -> str:  # fmt: skip
    """Points of several series, each in its colour, with whiskers of one standard error."""
    points = [point for one in series for point in one.points]
    x_axis = Axis.around([x for x, _, _ in points], log=log_x)
    reach = [y + sign * (error or 0.0) for _, y, error in points for sign in (-1, 1)]
    y_axis = Axis.around(reach, log=log_y)
    marks = [_frame(title, x_name), *_y_ticks(y_axis)]
    for value in x_axis.ticks():
        marks.append(_text(_x(x_axis.share(value)), HEIGHT - BOTTOM + 18, _short(value), "middle"))
    for one, colour in zip(series, _colours(len(series)), strict=True):
        places = [(_x(x_axis.share(x)), _y(y_axis.share(y))) for x, y, _ in one.points]
        if joined and len(places) > 1:
            path = " ".join(f"{x},{y}" for x, y in places)
            marks.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for (x, y), (_, value, error) in zip(places, one.points, strict=True):
            marks.append(f'<circle cx="{x}" cy="{y}" r="{1.5 if len(places) > 40 else 3}" fill="{colour}"/>')
            marks += _whisker(x, y_axis, value, error, colour)
    return _svg(marks, [one.name for one in series])


def bars(title: str, x_name: str, names: Sequence[str], series: Sequence[Series]) -> str:
    """Bars from 0 on, side by side: the x of a point is the number of its name."""
    axis = Axis.around([y + (error or 0.0) for one in series for _, y, error in one.points], zero=True)
    return _by_name(title, x_name, names, series, axis, filled=True)


def dots(title: str, names: Sequence[str], series: Sequence[Series], *, log: bool = False) -> str:
    """Points with whiskers, side by side: the x of a point is the number of its name."""
    reach = [y + sign * (error or 0.0) for one in series for _, y, error in one.points for sign in (-1, 1)]
    return _by_name(title, "", names, series, Axis.around(reach, log=log), filled=False)


def _by_name(
    title: str, x_name: str, names: Sequence[str], series: Sequence[Series], axis: Axis, *, filled: bool
) -> str:
    slot = 1 / max(len(names), 1)
    width = slot * 0.8 / max(len(series), 1)
    marks = [_frame(title, x_name), *_y_ticks(axis)]
    for number, name in enumerate(names):
        marks.append(_text(_x((number + 0.5) * slot), HEIGHT - BOTTOM + 18, name, "middle"))
    for place, (one, colour) in enumerate(zip(series, _colours(len(series)), strict=True)):
        for x, y, error in one.points:
            begin = (x + 0.1) * slot + place * width
            left, wide, top = _x(begin), round(_x(begin + width) - _x(begin) - 1, 1), _y(axis.share(y))
            middle = round(left + wide / 2, 1)
            if filled:
                tall = round(HEIGHT - BOTTOM - top, 1)
                marks.append(f'<rect x="{left}" y="{top}" width="{wide}" height="{tall}" fill="{colour}"/>')
            else:
                marks.append(f'<circle cx="{middle}" cy="{top}" r="3" fill="{colour}"/>')
            marks += _whisker(middle, axis, y, error, INK if filled else colour)
    return _svg(marks, [one.name for one in series] if len(series) > 1 else [])


def _x(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _whisker(x: float, axis: Axis, value: float, error: float | None, colour: str) -> list[str]:
    if not error:
        return []
    low = max(value - error, axis.low)
    ends = _y(axis.share(low)), _y(axis.share(min(value + error, axis.high)))
    return [f'<line x1="{x}" y1="{ends[0]}" x2="{x}" y2="{ends[1]}" stroke="{colour}" stroke-width="1.2"/>']


def _y_ticks(axis: Axis) -> list[str]:
    marks = []
    for value in axis.ticks():
        y = _y(axis.share(value))
        marks.append(f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" stroke="{FAINT}"/>')
        marks.append(_text(LEFT - 8, y + 4, _short(value), "end"))
    return marks


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _frame(title: str, x_name: str) -> str:
    heading = f'<text x="{LEFT}" y="20" fill="{INK}" font-size="14">{escape(title)}</text>'
    return heading + _text(WIDTH / 2, HEIGHT - 10, x_name, "middle")


def _legend(names: Sequence[str]) -> tuple[list[str], int]:
    """Its marks below the plot, and the height they take; as many rows as they need."""
    marks, x, row = [], float(LEFT), 0
    for name, colour in zip(names, _colours(len(names)), strict=True):
        wide = 26 + 6.5 * len(name)
        if x + wide > WIDTH and x > LEFT:
            x, row = float(LEFT), row + 1
        y = HEIGHT + 4 + 16 * row
        marks.append(f'<rect x="{round(x, 1)}" y="{y}" width="8" height="8" fill="{colour}"/>')
        marks.append(_text(x + 12, y + 8, name, "start"))
        x += wide
    return marks, 16 * (row + 1) + 4 if names else 0


def _colours(count: int) -> list[str]:
    return [COLOURS[at % len(COLOURS)] for at in range(count)]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{round(x, 1)}" y="{round(y, 1)}" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'


def _svg(marks: Sequence[str], names: Sequence[str]) -> str:
    legend, more = _legend(names)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + more}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT + more}" fill="white"/>\n' + "\n".join([*marks, *legend]) + "\n</svg>\n"
    )
