"""A report as a self-contained HTML page: a chart, the reasons, what failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from console.admin.report import Summary
from console.admin.submissions import CREATED, FAILED, REUSED, View
from console.output import printable
from tasks.messages.outgoing import now

TEMPLATE: Final = Path(__file__).with_name("report.html")
# The width of a bar, in its own units.
WIDTH: Final = 1000.0
# Colours for colour-blind people, too (Okabe and Ito); each has its word beside it.
COLOURS: Final = {CREATED: "#0072b2", REUSED: "#56b4e9", "waiting": "#999999"}
FAILURES: Final = ("#d55e00", "#e69f00", "#cc79a7", "#f0e442", "#8b4513", "#b22222")


@dataclass(frozen=True, slots=True)
class Part:
    """One outcome of the chart; `start` and `width` are in the units of the bar."""

    words: str
    count: int
    percent: float
    start: float
    width: float
    colour: str
    reason: str


class TemplatesMissing(Exception):
    """Jinja2 is not installed; the text says how to install it."""


def write_page(view: View, summary: Summary, *, from_file: bool) -> str:
    """Return the page. Raises TemplatesMissing."""
    try:
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - an extra
    except ImportError:
        raise TemplatesMissing(
            "a report as HTML needs Jinja2: run pip install 'jinja2>=3.1', or make install, which "
            "has the extra console"
        ) from None
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    attention = sum(
        count
        for name, count in summary.counts.items()
        if name.startswith(FAILED) or name in {"rejected", "not sent"}
    )
    page: str = template.render(
        view=view,
        file=printable(view.about.file) if view.about and from_file else "",
        total=summary.counts.total(),
        at=now(),
        from_file=from_file,
        parts=list(_parts(summary)),
        rows=summary.shown,
        left_out=attention - len(summary.shown),
    )
    return page


def _parts(summary: Summary) -> Iterator[Part]:
    total, start = summary.counts.total() or 1, 0.0
    colours = iter(FAILURES * len(summary.counts))
    first = [name for name in (CREATED, REUSED) if summary.counts[name]]
    others = [name for name, _ in summary.counts.most_common() if name not in {CREATED, REUSED}]
    for name in (*first, *others):
        count = summary.counts[name]
        width = WIDTH * count / total
        yield Part(
            words=name.replace(FAILED, "failed: "),
            count=count,
            percent=100 * count / total,
            start=round(start, 3),
            width=round(width, 3),
            colour=COLOURS.get(name) or next(colours),
            reason=summary.reasons.get(name, ""),
        )
        start += width
