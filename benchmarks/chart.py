"""Line charts as SVG. matplotlib draws them in the benchmarks' own environment, .venv-bench."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-bench" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; `dashed` marks a limit."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


def write_chart(path: Path, title: str, lines: Sequence[Line], *, x: str, y: str) -> None:
    """Write a chart; `x` and `y` name the axes, which both begin at 0."""
    drawn = [asdict(line) for line in lines]
    chart = {"path": str(path.resolve()), "title": title, "lines": drawn, "x": x, "y": y}
    command = [str(PYTHON), "-m", "benchmarks.chart"]
    subprocess.run(command, input=json.dumps(chart), text=True, check=True, cwd=ROOT)


def _draw(chart: dict[str, Any]) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Text stays text, and the same figures give the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "overture", "font.size": 8})
    figure = Figure(figsize=(7.6, 3), layout="constrained")
    axes = figure.subplots()
    for line in chart["lines"]:
        xs, ys = [point[0] for point in line["points"]], [point[1] for point in line["points"]]
        style = {"color": "#333333", "linestyle": "--"} if line["dashed"] else {}
        axes.plot(xs, ys, label=line["name"], **style)
    axes.set(title=chart["title"], xlabel=chart["x"], ylabel=chart["y"])
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.4)
    axes.legend()
    figure.savefig(chart["path"], metadata={"Date": None})


if __name__ == "__main__":
    _draw(json.load(sys.stdin))
