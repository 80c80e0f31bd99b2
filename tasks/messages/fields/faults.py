"""Faults of a job, each in one sentence: the field, what is wrong with it, what to do.

A fault describes a value's type and size, and never repeats it: it may be somebody's name. What is
expected of a field comes from the generated schema.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from types import NoneType
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tasks.messages.fields.document import JOB_DOCUMENT, LIVEPERSONS
from tasks.messages.fields.kinds import MAX_SAFE_INTEGER, PLAIN

MAX_FAULTS: Final = 20
MAX_NAME_CHARACTERS: Final = 64

_KINDS: Final = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_SHAPES: Final = {NoneType: "null", bool: "a boolean", int: "an integer", float: "a number"}

REFUSED: Final = "is not a known field"
NEWER: Final = "; if LivePerson has added it, OVERTURE_UNKNOWN_FIELDS=pass sends it"
# Fields of other APIs, and where they belong.
HINTS: Final[Mapping[str, str]] = {
    "firstMessage": "put it into metadata, for the stage that sends the first message",
}

Node = Mapping[str, Any]


def sentences(error: ValidationError, *, pass_unknown: bool = False) -> list[str]:
    """Return pydantic's faults as sentences; with `pass_unknown`, without those of `passed`."""
    details = error.errors(include_url=False)
    return _said(
        [detail for detail in details if not (pass_unknown and _may_pass(detail))],
        unknown=REFUSED,
    )


def passed(error: ValidationError) -> list[str]:
    """Return a sentence for each unknown field of LivePerson's objects, which can still be sent."""
    details = [detail for detail in error.errors(include_url=False) if _may_pass(detail)]
    return _said(details, unknown="is not a known field, and is sent as it is")


def _said(details: Sequence[ErrorDetails], *, unknown: str) -> list[str]:
    said = [_sentence(detail, unknown) for detail in details[:MAX_FAULTS]]
    if len(details) > MAX_FAULTS:
        said.append(f"and {len(details) - MAX_FAULTS} more")
    return said


def _may_pass(detail: ErrorDetails) -> bool:
    """Tell whether a fault is an unknown field of an object that LivePerson defines."""
    location = detail["loc"]
    begins = LIVEPERSONS.get(str(location[0])) if location else None
    return detail["type"] == "extra_forbidden" and begins is not None and len(location) > begins


def _sentence(detail: ErrorDetails, unknown: str) -> str:
    location = detail["loc"]
    if detail["type"] == "extra_forbidden":
        path, level = _locate(location[:-1])
        name = str(location[-1])
        said = f"{_join(path, _quoted(name))}: {unknown}; {_advice(name, level)}"
        is_near = name in HINTS or _nearest(name, level["properties"])
        return said if is_near or unknown != REFUSED or not _may_pass(detail) else said + NEWER
    path, node = _locate(location)
    return f"{path or 'the job'}: {_problem(detail, node)}"


def _problem(detail: ErrorDetails, node: Node) -> str:
    value = detail["input"]
    problem, remedy = f"is {_shape(value)}", f"give {_expected(node)}"
    match detail["type"]:
        case "value_error":
            return str(detail["ctx"]["error"])
        case "missing":
            problem = "is missing"
        case "literal_error" if near := _nearest(value, _choices(node)):
            remedy += f"; did you mean {near}?"
        case "greater_than_equal" | "less_than_equal" | "finite_number":
            problem = "is out of range"
        case "string_unicode":
            problem, remedy = "contains half of a surrogate pair", "send whole Unicode characters"
        case "string_pattern_mismatch" if detail["ctx"]["pattern"] == PLAIN:
            problem, remedy = "contains a control character", "remove it"
        case "string_pattern_mismatch":
            problem, remedy = "has the wrong format", f"give {_phrase(node['description'])}"
        case "union_tag_not_found" | "union_tag_invalid":
            problem = "is an object without a known type"
    return f"{problem}; {remedy}"


def _expected(node: Node) -> str:
    if "const" in node:
        return json.dumps(node["const"])
    if "enum" in node:
        return "one of " + ", ".join(map(str, node["enum"]))
    if options := node.get("oneOf"):
        return " or ".join(_outline(_resolved(option)) for option in options)
    if options := node.get("anyOf"):
        return " or ".join(_expected(option) for option in options)
    kinds = node.get("type", "object")
    names = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(_KINDS[name] + _bounds(name, node) for name in names)


def _bounds(kind: str, node: Node) -> str:
    if kind == "integer" and node.get("maximum", MAX_SAFE_INTEGER) < MAX_SAFE_INTEGER:
        return f" from {node['minimum']} to {node['maximum']}"
    if kind != "string":
        return ""
    least, most = node.get("minLength"), node.get("maxLength")
    if most is None:
        return "" if least is None else f" of at least {least} character"
    return (
        f" of at most {most} characters" if least is None else f" of {least} to {most} characters"
    )


def _choices(node: Node) -> list[str]:
    return [choice for option in node.get("anyOf", [node]) for choice in option.get("enum", ())]


def _phrase(description: str) -> str:
    return description[0].lower() + description[1:].rstrip(".")


def _outline(node: Node) -> str:
    """Return an object's outline, as in {"type": "personal", "personal": {…}, "auth": {…}}."""
    members = {name: _resolved(member) for name, member in node["properties"].items()}
    return (
        "{"
        + ", ".join(
            f'"{name}": ' + (_expected(member) if "const" in member else "{…}")
            for name, member in members.items()
        )
        + "}"
    )


def _shape(value: object) -> str:
    if isinstance(value, str):
        return f"a string of {len(value)} character{'' if len(value) == 1 else 's'}"
    if isinstance(value, list):
        return f"an array of {len(value)} item{'' if len(value) == 1 else 's'}"
    return _SHAPES.get(type(value), "an object")


def _advice(name: str, level: Node) -> str:
    if near := _nearest(name, level["properties"]):
        return f"did you mean {near}?"
    if name in HINTS:
        return HINTS[name]
    if near := _nearest(name, _homes()):
        return f"did you mean {_homes()[near]}?"
    return "known here: " + ", ".join(level["properties"])


def _nearest(value: object, names: Sequence[str] | Mapping[str, Any]) -> str | None:
    """Return the known name most like a misspelt one, in any case; None if none is near."""
    known = {str(name).lower(): str(name) for name in names}
    near = get_close_matches(str(value).lower()[:MAX_NAME_CHARACTERS], known, n=1)
    return known[near[0]] if near else None


def _locate(location: Sequence[str | int]) -> tuple[str, Node]:
    """Turn an error's location into the field's path, as a user writes it, and its schema."""
    path, node = "", _schema()
    for part in location:
        if options := node.get("oneOf"):
            # This part of the location names the union's branch, which is not in the document.
            node = next(option for option in map(_resolved, options) if _tag(option) == part)
        elif isinstance(part, int):
            path, node = f"{path}[{part}]", _resolved(node["items"])
        else:
            path, node = _join(path, part), _resolved(node["properties"][part])
    return path, node


def _tag(option: Node) -> str:
    return str(option["properties"]["type"].get("const", "other"))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _quoted(name: str) -> str:
    return (
        name
        if name.isidentifier() and len(name) <= MAX_NAME_CHARACTERS
        else json.dumps(name[:MAX_NAME_CHARACTERS])
    )


@cache
def _schema() -> Node:
    return JOB_DOCUMENT.json_schema()


def _resolved(node: Node) -> Node:
    reference = node.get("$ref")
    return _schema()["$defs"][reference.rpartition("/")[2]] if reference else node


@cache
def _homes() -> dict[str, str]:
    """Return the full path of each field's name; if there are several, the shortest."""
    homes: dict[str, str] = {}
    waiting: deque[tuple[str, Node]] = deque([("", _schema())])
    while waiting:
        path, node = waiting.popleft()
        for name, member in node.get("properties", {}).items():
            homes.setdefault(name, _join(path, name) if path else f"the job's own {name}")
            waiting.append((_join(path, name), _resolved(member)))
    return homes
