"""The published schemas, and the contract's examples, against the code itself."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from config import names as queues
from tasks.liveperson.answer import Kind
from tasks.liveperson.conversation import read_answer
from tasks.messages.attempt import REPLAYED, UNRESOLVED
from tasks.messages.dead_letter import ERROR_CODES
from tasks.messages.fields.examples import EXAMPLES
from tasks.messages.fields.messages import AttemptOutcome
from tasks.messages.job import parse_job
from tasks.messages.json_text import MalformedJSON, loads_strict
from tasks.messages.schema import NAMES, PUBLISHED, Name, schema, write_all
from tests.documents import codes, rows, section

CONTRACT = (PUBLISHED.parent / "contract.md").read_text(encoding="utf-8")
BODIES = Path(__file__).parents[1] / "bodies"
MESSAGES: list[Name] = ["job", "result", "dead-letter"]
VALIDATORS = {name: Draft202012Validator(schema(name)) for name in MESSAGES}
DOCUMENTS = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", CONTRACT, re.DOTALL)]


def kind_of(document: dict[str, Any]) -> Name:
    if "conversationId" in document:
        return "result"
    return "dead-letter" if "error" in document else "job"


def check(name: Name, document: dict[str, Any]) -> None:
    """Check a message against its schema and, for what comes out is open there, for other names."""
    VALIDATORS[name].validate(document)
    if name == "job":
        parse_job(document, accounts=["12345678"])
    elif name == "result":
        assert document.keys() <= schema("result")["properties"].keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_published_schemas_are_current(name: Name, tmp_path: Path) -> None:
    """docs/schemas holds, to the byte, what `python -m tasks.messages.schema` writes."""
    write_all(tmp_path)
    assert (PUBLISHED / f"{name}.json").read_bytes() == (tmp_path / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", MESSAGES)
def test_schemas_are_schemas(name: Name) -> None:
    """Each is JSON Schema 2020-12 by that dialect's own schema."""
    Draft202012Validator.check_schema(VALIDATORS[name].schema)


@pytest.mark.parametrize(
    ("name", "example"), [(name, example) for name in MESSAGES for example in EXAMPLES[name]]
)
def test_the_schemas_examples_hold(name: Name, example: dict[str, Any]) -> None:
    """An example that does not pass would teach a mistake."""
    check(name, example)


def test_the_examples_of_dead_letters_have_the_codes_own_messages() -> None:
    """Whoever searches for a message finds it: in the schema's examples and in the contract."""
    rejected, malformed = (letter["error"]["message"] for letter in EXAMPLES["dead-letter"])
    said = {"title": "Bad Request", "details": "skillId has more than 10 digits"}
    refusal = json.dumps({"code": 400, "body": {**said, "errorCode": 40000}}).encode()
    assert rejected == read_answer(400, {}, refusal, profile_id="0", request_id="1").message
    with pytest.raises(MalformedJSON) as caught:
        loads_strict(EXAMPLES["dead-letter"][1]["raw"].encode(), max_bytes=100)
    assert malformed == str(caught.value)
    assert malformed in CONTRACT
    assert (
        f"the last with: {read_answer(503, {}, b'', profile_id='0', request_id='1').message}; "
        in CONTRACT
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=kind_of)
def test_the_contracts_examples_hold(document: dict[str, Any]) -> None:
    """Every JSON block of docs/contract.md is a message that passes."""
    if "task" in document:
        assert document["task"] == queues.TASK_NAME
        (document,) = document["args"]
    check(kind_of(document), document)


def test_the_contract_shows_every_kind_of_message() -> None:
    """The blocks are found at all, and each kind is among them."""
    assert {kind_of(document) for document in DOCUMENTS} == set(MESSAGES)


def names_in(node: object) -> set[str]:
    """Gather the names of all fields in a schema."""
    if isinstance(node, list):
        return set().union(*map(names_in, node))
    if not isinstance(node, dict):
        return set()
    below = set().union(*(names_in(child) for child in node.values()))
    properties = node.get("properties", {})
    return below | (properties.keys() if isinstance(properties, dict) else set())


@pytest.mark.parametrize("name", MESSAGES)
def test_the_contract_names_every_field(name: Name) -> None:
    """A field that is checked but not described would be found out by trial and error."""
    prose = re.sub(r"```.*?```", "", CONTRACT, flags=re.DOTALL)
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", prose))))
    assert names_in(schema(name)) - words == set()


def test_the_contract_explains_every_error_code() -> None:
    """The table of codes is the closed set, with the meanings that the schema gives."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \|$", CONTRACT, re.MULTILINE)
    assert {code: meaning for code, meaning in rows if code in ERROR_CODES} == ERROR_CODES


def test_every_outcome_of_an_attempt_is_explained() -> None:
    """An answer's kinds but `created`, which leads to a result, and two marks."""
    known = {kind.value for kind in Kind} - {"created"} | {UNRESOLVED, REPLAYED}
    assert set(get_args(AttemptOutcome)) == known
    table = rows(section(CONTRACT, "Attempts"))
    assert [codes(row[0])[0] for row in table] == list(get_args(AttemptOutcome))


def test_the_channels_have_the_brokers_names() -> None:
    """AsyncAPI and broker speak of the same queues."""
    addresses = {channel["address"] for channel in schema("asyncapi")["channels"].values()}
    assert addresses == {
        queues.JOBS_QUEUE,
        queues.account_queue("{accountId}"),
        queues.RESULTS_QUEUE,
        queues.DEAD_LETTERS_QUEUE,
    }
    assert all(f"`{address}`" in CONTRACT for address in addresses if "{" not in address)


def test_every_reference_leads_somewhere() -> None:
    """No $ref of the AsyncAPI document dangles."""
    document = schema("asyncapi")
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)))
    assert references
    for reference in references:
        node: Any = document
        for part in reference.split("/"):
            node = node[part]
        assert node
