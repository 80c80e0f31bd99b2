"""Draws what benchmarks/dashboard.py has asked, with matplotlib, in .venv-bench."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

COLUMNS: Final = 4
FIGURE_WIDTH: Final = 17.0
ROW_HEIGHT: Final = 3.2
FOOT_HEIGHT: Final = 0.7
LEGEND_COLUMNS: Final = 2
GRAY: Final = "#777777"
COLOURS: Final = mpl.colormaps["tab10"].colors
MIB: Final = 1024 * 1024
Series = list[dict[str, Any]]


def draw(picture: dict[str, Any]) -> None:
    """Write the picture: a grid of panels as the dashboard has it, and the key to its events."""
    # Text stays text, and the same figures give the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "overture", "font.size": 9})
    # Each text names its fonts; a line keeps what can be seen of it.
    mpl.rcParams.update({"font.sans-serif": ["DejaVu Sans"], "path.simplify_threshold": 0.5})
    panels = [
        (title if number == 0 else "", panel)
        for title, row in picture["rows"].items()
        for number, panel in enumerate(row)
    ]
    rows = math.ceil(len(panels) / COLUMNS)
    height = rows * ROW_HEIGHT + FOOT_HEIGHT
    figure = Figure(figsize=(FIGURE_WIDTH, height))
    figure.subplots_adjust(
        left=0.035,
        right=0.985,
        top=1 - 0.75 / height,
        bottom=1.25 / height,
        hspace=0.95,
        wspace=0.2,
    )
    grid = figure.subplots(rows, COLUMNS)
    for axes, (row, panel) in zip(grid.flat, panels, strict=True):
        axes.set_title(panel["title"], loc="left", fontsize=10, fontweight="bold", pad=13)
        if row:
            axes.annotate(
                row, (0, 1), (-34, 32), "axes fraction", "offset points", fontsize=14, color=GRAY
            )
        DRAWN[panel["kind"]](axes, panel, picture)
    key = "  ·  ".join(
        f"{letter} {at:.0f} s: {what}" for letter, (at, what) in _lettered(picture["events"])
    )
    figure.text(0.01, 0.006, key, fontsize=10)
    path = Path(picture["path"])
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    if path.suffix == ".svg":
        # A tenth of a point is finer than any screen. What is between tags is text, and stays.
        text = re.sub(r"\n +", "\n", path.read_text(encoding="utf-8"))
        text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d)\d+", r"\1", tag[0]), text)
        # And each text is turned by no degrees.
        text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
        path.write_text(text, encoding="utf-8")


def _lines(axes: Any, panel: dict[str, Any], picture: dict[str, Any]) -> None:
    series = _that_matter(panel["series"])
    for number, one in enumerate(series):
        xs, ys = _with_gaps(one["points"], picture["step"])
        colour = COLOURS[number % len(COLOURS)]
        style = "-" if number < len(COLOURS) else "--"
        axes.plot(xs, ys, label=one["name"], color=colour, linestyle=style, linewidth=1.3)
    _time_axis(axes, picture)
    highest = max((value for one in series for _, value in one["points"]), default=0)
    axes.set_ylim(0, 1.06 * highest or 1)
    if panel["unit"] == "short":  # there is no half of a worker
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    elif panel["unit"] == "bytes":
        axes.yaxis.set_major_locator(MultipleLocator(25 * MIB))
    axes.yaxis.set_major_formatter(lambda value, _: _written(value, panel["unit"]))
    axes.grid(alpha=0.3, axis="y")
    if any(one["name"] for one in series):
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(-0.03, -0.13),
            ncols=LEGEND_COLUMNS,
            fontsize=8,
            frameon=False,
            borderaxespad=0,
            columnspacing=1,
            handlelength=1.2,
            labelspacing=0.25,
        )


def _states(axes: Any, panel: dict[str, Any], picture: dict[str, Any]) -> None:
    series = panel["series"]
    for number, one in enumerate(series):
        held = [(at, picture["step"]) for at, value in one["points"] if value]
        axes.broken_barh(held, (number - 0.35, 0.7), color=COLOURS[3])
        axes.text(4, number, one["name"], fontsize=9, va="center")
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(series) - 0.4)
    _time_axis(axes, picture)


def _bars(axes: Any, panel: dict[str, Any], _: dict[str, Any]) -> None:
    series = [one for one in panel["series"] if _last(one) > 0]
    values = [_last(one) for one in series]
    bars = axes.barh(range(len(series)), values, height=0.4, color=COLOURS[0])
    axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=9)
    for number, one in enumerate(series):
        axes.text(0, number - 0.28, one["name"], fontsize=9)
    axes.set_ylim(len(series) - 0.5, -0.7)
    axes.set_xlim(0, max(values, default=1) * 1.15)
    axes.set_axis_off()


def _number(axes: Any, panel: dict[str, Any], _: dict[str, Any]) -> None:
    axes.set_axis_off()
    place = {"ha": "center", "va": "center", "transform": axes.transAxes}
    (series,) = panel["series"]
    axes.text(0.5, 0.5, f"{_last(series):,.0f}", fontsize=34, color=COLOURS[0], **place)


DRAWN: Final = {"timeseries": _lines, "state-timeline": _states, "bargauge": _bars, "stat": _number}


def _that_matter(series: Series) -> Series:
    """Leave out what was 0 all the time, unless everything was; what was most comes first."""
    highest = {one["name"]: max(value for _, value in one["points"]) for one in series}
    found = [one for one in series if highest[one["name"]]] or series
    return sorted(found, key=lambda one: -highest[one["name"]])


def _with_gaps(points: list[tuple[float, float]], step: float) -> tuple[list[float], list[float]]:
    """Break the line where a series was not there for a while."""
    xs: list[float] = []
    ys: list[float] = []
    for at, value in points:
        if xs and at - xs[-1] > 1.5 * step:
            xs.append(at)
            ys.append(math.nan)
        xs.append(at)
        ys.append(value)
    return xs, ys


def _time_axis(axes: Any, picture: dict[str, Any]) -> None:
    """Seconds from the beginning, with a mark for each event."""
    axes.set_xlim(0, picture["seconds"])
    axes.set_xticks(range(0, int(picture["seconds"]) + 1, 100))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f} s")
    axes.tick_params(labelsize=8)
    for letter, (at, _) in _lettered(picture["events"]):
        axes.axvline(at, color=GRAY, linewidth=0.8, linestyle=":")
        place = axes.get_xaxis_transform()
        axes.text(at, 1.02, letter, fontsize=7.5, color=GRAY, ha="center", transform=place)


def _lettered(events: list[Any]) -> Iterator[tuple[str, Any]]:
    return zip("ABCDEFGHIJ", events, strict=False)


def _last(series: dict[str, Any]) -> float:
    return float(series["points"][-1][1])


def _written(value: float, unit: str) -> str:
    match unit:
        case "s" if 0 < value < 1:
            return f"{1000 * value:.0f} ms"
        case "s":
            return f"{value:g} s"
        case "ops" | "reqps":
            return f"{value:g}/s"
        case "percentunit":
            return f"{value:.0%}"
        case "bytes":
            return f"{value / MIB:g} MiB"
        case _:
            return f"{value:,g}"


if __name__ == "__main__":
    draw(json.load(sys.stdin))
