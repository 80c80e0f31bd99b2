"""Output of lists and reports: `--format`, `--output`, and how documents are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal

import click

from console.output import Output, escaped, say
from console.tables import Column, Document, Form, Rows, width_of_terminal

AnyForm = Form | Literal["json"]
FORMS: Final = ("table", "json", "jsonl", "csv")

output_option = click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, replacing it.  [default: standard output]",
)


def format_option(*forms: str) -> Callable[[Any], Any]:
    """Return the option `--format`; the first form is the default."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help="A table for reading, one JSON document, a JSON object per line, or CSV."
        if "table" in forms
        else None,
    )


def write_list(
    documents: Iterable[Document],
    columns: Sequence[Column],
    *,
    form: AnyForm,
    output: Path | None,
) -> None:
    """Write documents as they come."""
    with closing(Output(output, append=False)) as out:
        if form == "json":
            write_array(out, documents)
        else:
            rows = Rows(form, columns, width=None if output else width_of_terminal())
            if rows.header:
                out.write(rows.header)
            for one in documents:
                out.write(rows.line(one))
        out.commit()


def write_text(text: str, output: Path | None) -> None:
    """Write a text of one line or many."""
    if output is None:
        say(text)
        return
    with closing(Output(output, append=False)) as out:
        out.write(text)
        out.commit()


def write_array(out: Output, documents: Iterable[Document]) -> None:
    """Write documents as one JSON array, an element at a time."""
    before = "["
    for one in documents:
        out.write(f"{before}{as_json(one)}")
        before = ","
    out.write("]" if before == "," else "[]")


def as_json(document: Any) -> str:
    """Return a document as JSON without characters that control a terminal."""
    return escaped(json.dumps(document, indent=2, ensure_ascii=False))
