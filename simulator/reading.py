"""Reads the parts of a Connector API call, and refuses those that are not as documented."""

from typing import Any

from pydantic import TypeAdapter

from simulator import answers, documents
from simulator.calls import JSON_TYPE, Call, Refused, read_json

CLIENT_PROPERTIES = "Client-Properties"


def demand_version(call: Call) -> None:
    """Refuse every version of the messaging endpoints but 3, the only one there is."""
    if call.query.get("v") != "3":
        raise Refused(answers.VERSION_UNKNOWN)


def read_body(call: Call) -> Any:
    """Read a JSON body."""
    if call.media_type != JSON_TYPE:
        raise Refused(answers.bad_request(f"Content-Type must be {JSON_TYPE}"))
    try:
        return read_json(call.body)
    except ValueError:
        raise Refused(answers.bad_request("The body is not JSON")) from None


def demand(document: TypeAdapter[Any], value: Any, *, lenient: bool, place: str = "") -> None:
    """Refuse a value that is not the document; `place` begins the sentence about it."""
    if wrong := documents.problem(document, value, lenient=lenient):
        raise Refused(answers.bad_request(f"{place}{wrong}"))


def demand_client_properties(call: Call, *, lenient: bool) -> None:
    """Refuse a `Client-Properties` header that is not the documented JSON object, in ASCII."""
    header = call.headers.get(CLIENT_PROPERTIES)
    if header is None:
        return
    if not header.isascii():
        raise Refused(answers.bad_request(f"{CLIENT_PROPERTIES} is not ASCII"))
    try:
        value = read_json(header.encode())
    except ValueError:
        raise Refused(answers.bad_request(f"{CLIENT_PROPERTIES} is not JSON")) from None
    demand(documents.CLIENT_PROPERTIES, value, lenient=lenient, place=f"{CLIENT_PROPERTIES}: ")
