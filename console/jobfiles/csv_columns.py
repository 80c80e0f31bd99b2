"""The columns of a table of jobs: dotted paths of fields, whose types say how to read cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Final, Literal

from console.jobfiles.dates import OddDate, as_moment
from console.jobfiles.naming import AS_NAMED, Naming
from tasks.messages.fields.document import JOB_DOCUMENT
from tasks.messages.json_text import MalformedJSON, loads_strict

Kind = Literal["text", "number", "words", "json"]
Node = dict[str, Any]
Path = tuple[str | int, ...]

_BRACKETS: Final = re.compile(r"\[([0-9]{1,3})\]")
_INDEX: Final = re.compile(r"[0-9]{1,3}")
# How Excel and others show a long number, such as an id or a telephone number.
_ROUNDED: Final = re.compile(r"[+-]?[0-9]([.,][0-9]+)?[eE][+-][0-9]{2,3}")
_SPREADSHEET_ERROR: Final = re.compile(
    r"#(N/A|NAME\?|REF!|VALUE!|DIV/0!|NULL!|NUM!|SPILL!|CALC!|#{2,})"
)
# Separates the texts of a list within a cell.
WORD_SEPARATOR: Final = "|"


class Misnamed(Exception):
    """A column names no field of a job, or a cell cannot be read as its field's type."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in the file, the path of its field, and how its cells are read.

    An ignored column has an empty path. `is_moment`: the field is a date-time.
    """

    name: str
    path: Path
    kind: Kind
    is_moment: bool = False


def column(name: str, field: str | None = None) -> Column:
    """Find the field that a column's name is the path of, such as `profile.firstName`.

    With `field` that is the path, whatever the column's name is. Raises Misnamed.
    """
    nodes = [_schema()]
    path: list[str | int] = []
    for part in _BRACKETS.sub(r".\1", field or name).split("."):
        known = [child for node in nodes for child in _children(node, part)]
        if not known:
            raise Misnamed(
                f"the column {field or name!r} names no field of a job{_hint(path, part, nodes)}"
            )
        is_index = _INDEX.fullmatch(part) and any("items" in node for node in _expanded(nodes))
        path.append(int(part) if is_index else part)
        nodes = known
    fields = list(_expanded(nodes))
    is_moment = any(one.get("format") == "date-time" for one in fields)
    return Column(name, tuple(path), _kind(fields), is_moment)


def assemble(cells: Iterable[tuple[Column, str]], naming: Naming = AS_NAMED) -> Node:
    """Build a job from the cells of a row, without the empty ones. Raises Misnamed.

    If two cells hold the same field, the later one counts.
    """
    document: dict[str | int, Any] = {}
    for one, cell in cells:
        if not cell or not one.path:
            continue
        place = document
        for part in one.path[:-1]:
            place = place.setdefault(part, {})
        place[one.path[-1]] = _value(one, cell, naming)
    joined: Node = _with_lists(document)
    return joined


def _value(one: Column, cell: str, naming: Naming) -> object:
    # This strips more blanks than JSON allows, such as the no-break space of a spreadsheet.
    bare = cell.strip()
    if one.kind == "text" and _ROUNDED.fullmatch(bare):
        raise Misnamed(
            f"{one.name}: is a number as Excel shows long ones (1.23E+11), so that its last digits "
            "are lost; format the column as text in Excel, and enter it again"
        )
    if _SPREADSHEET_ERROR.fullmatch(bare):
        raise Misnamed(f"{one.name}: is an error of a spreadsheet (such as #N/A); correct its cell")
    if one.is_moment:
        try:
            return as_moment(bare, naming)
        except OddDate as error:
            raise Misnamed(f"{one.name}: {error}") from None
    if one.kind == "text":
        return cell
    if one.kind == "words" and not bare.startswith("["):
        return [word.strip() for word in bare.split(WORD_SEPARATOR)]
    try:
        return loads_strict(bare.encode(), max_bytes=len(cell) * 4)
    except MalformedJSON as error:
        if one.kind == "number":
            # Kept as a text: the check of the job then refuses it, as in any other file.
            return cell
        fault = str(error).replace("the message", "the cell", 1)
        raise Misnamed(f"{one.name}: takes JSON; {fault}") from None


def _with_lists(value: Any) -> Any:
    """Turn dictionaries with numbers as keys into lists, without gaps for missing numbers."""
    if not isinstance(value, dict):
        return value
    if any(isinstance(key, int) for key in value):
        return [_with_lists(value[key]) for key in sorted(value)]
    return {key: _with_lists(member) for key, member in value.items()}


def _kind(nodes: list[Node]) -> Kind:
    types = {kind for node in nodes for kind in _types(node)}
    if "string" in types or not types:
        return "text"
    if types <= {"integer", "number", "null"}:
        return "number"
    items = _expanded([node["items"] for node in nodes if "items" in node])
    return "words" if any("string" in _types(item) for item in items) else "json"


def _types(node: Node) -> tuple[str, ...]:
    kind = node.get("type", ())
    return (kind,) if isinstance(kind, str) else tuple(kind)


def _children(parent: Node, part: str) -> Iterator[Node]:
    for node in _expanded([parent]):
        open_ended = node.get("additionalProperties", "properties" not in node)
        if "items" in node:
            if _INDEX.fullmatch(part):
                yield node["items"]
        elif part in node.get("properties", {}):
            yield node["properties"][part]
        elif part and open_ended is not False and "object" in (_types(node) or ("object",)):
            yield open_ended if isinstance(open_ended, dict) else {}


def _expanded(nodes: Iterable[Node]) -> Iterator[Node]:
    """Resolve references and alternatives of a schema."""
    for node in nodes:
        if "$ref" in node:
            yield from _expanded([_schema()["$defs"][node["$ref"].rpartition("/")[2]]])
        elif options := node.get("anyOf") or node.get("oneOf"):
            yield from _expanded(options)
        else:
            yield node


@cache
def _schema() -> Node:
    return JOB_DOCUMENT.json_schema()


def _hint(path: Sequence[str | int], part: str, nodes: Sequence[Node]) -> str:
    names = sorted({name for node in _expanded(nodes) for name in node.get("properties", {})})
    parent = ".".join(map(str, path))
    if near := get_close_matches(part, names, n=1):
        return f": did you mean {f'{parent}.{near[0]}'.lstrip('.')}?"
    return f"; {parent or 'a job'} has {', '.join(names)}" if names else ""
