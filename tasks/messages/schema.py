"""Machine-readable descriptions of the messages: JSON Schema 2020-12, and AsyncAPI 3.0.

Both are generated from the same fields that read jobs and write results.
`python -m tasks.messages.schema` updates the published ones in docs/schemas.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from tasks.messages.asyncapi import asyncapi
from tasks.messages.fields.document import JOB_DOCUMENT
from tasks.messages.fields.examples import EXAMPLES
from tasks.messages.fields.messages import DeadJob, DeadMessage, ResultMessage

Name = Literal["job", "result", "dead-letter", "asyncapi"]
NAMES: Final[tuple[Name, ...]] = get_args(Name)

PUBLISHED: Final = Path(__file__).parents[2] / "docs" / "schemas"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_MESSAGES: Final[dict[str, TypeAdapter[Any]]] = {
    "job": JOB_DOCUMENT,
    "result": TypeAdapter(ResultMessage),
    "dead-letter": TypeAdapter(DeadJob | DeadMessage),
}


class _Generator(GenerateJsonSchema):
    """Omits titles that only repeat a field's name, and OpenAPI's discriminator."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (pydantic's signature)
        return False

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        union = super().tagged_union_schema(schema)
        union.pop("discriminator", None)
        return union


def schema(name: Name) -> dict[str, Any]:
    """Generate one of the documents."""
    if name == "asyncapi":
        return asyncapi(_components())
    return {
        "$schema": _DIALECT,
        "$id": f"urn:overture:{name}",
        **_MESSAGES[name].json_schema(schema_generator=_Generator),
        "title": f"Overture {name.replace('-', ' ')}",
        "examples": EXAMPLES[name],
    }


def _components() -> dict[str, Any]:
    """Generate the schemas of all messages for AsyncAPI's `components`."""
    tops, shared = TypeAdapter.json_schemas(
        [(name, "validation", adapter) for name, adapter in _MESSAGES.items()],
        schema_generator=_Generator,
        ref_template="#/components/schemas/{model}",
    )
    return {**{name: top for (name, _), top in tops.items()}, **shared["$defs"]}


def write_all(folder: Path = PUBLISHED) -> None:
    """Write every document as `<name>.json`."""
    for name in NAMES:
        text = json.dumps(schema(name), indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_all()
