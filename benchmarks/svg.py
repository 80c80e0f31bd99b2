"""Line charts as SVG, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 56, 44
COLOURS = ("#0b6bcb", "#c0392b", "#2e7d32", "#8e44ad", "#b9770e", "#455a64")
GRID, INK, PAPER = "#dddddd", "#333333", "#ffffff"
TICKS = 5

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; `dashed` marks a limit."""

    name: str
    points: Points
    dashed: bool = False


def write_chart(path: Path, title: str, lines: Sequence[Line], *, x: str, y: str) -> None:
    """Write a chart; `x` and `y` name the axes, which both begin at 0."""
    most_x = max((point[0] for line in lines for point in line.points), default=1) or 1
    most_y = _rounded(max((point[1] for line in lines for point in line.points), default=1) or 1)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{escape(title)}">'
    )
    parts = [
        opening,
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>',
        _text(LEFT, 20, title, size=14),
        _text(WIDTH - RIGHT, HEIGHT - 8, x, anchor="end"),
        _text(8, TOP - 8, y),
    ]
    for tick in range(TICKS + 1):
        up = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * tick / TICKS
        along = LEFT + (WIDTH - LEFT - RIGHT) * tick / TICKS
        parts += [
            f'<line x1="{LEFT}" y1="{up:.1f}" x2="{WIDTH - RIGHT}" y2="{up:.1f}" stroke="{GRID}"/>',
            _text(LEFT - 6, up + 4, f"{most_y * tick / TICKS:g}", anchor="end"),
            _text(along, HEIGHT - BOTTOM + 16, f"{most_x * tick / TICKS:.0f}", anchor="middle"),
        ]
    place = LEFT
    for number, line in enumerate(lines):
        colour = INK if line.dashed else COLOURS[number % len(COLOURS)]
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        points = " ".join(f"{_x(px, most_x):.1f},{_y(py, most_y):.1f}" for px, py in line.points)
        stroke = f'stroke="{colour}"{dash}'
        parts += [
            f'<polyline points="{points}" fill="none" stroke-width="1.5" {stroke}/>',
            f'<line x1="{place}" y1="34" x2="{place + 18}" y2="34" stroke-width="2" {stroke}/>',
            _text(place + 22, 38, line.name),
        ]
        place += 40 + 7 * len(line.name)
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _x(value: float, most: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * value / most


def _y(value: float, most: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / most


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f'<text {where} fill="{INK}">{escape(text)}</text>'


def _rounded(value: float) -> float:
    """Round up to a number that five ticks divide well."""
    step = float(10 ** (len(str(int(value))) - 1)) / 2
    return step * math.ceil(value * 1.02 / step)
