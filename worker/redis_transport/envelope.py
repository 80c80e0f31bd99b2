"""From the bytes in a Redis list to what kombu delivers; nothing is unreadable."""

from __future__ import annotations

import base64
from typing import Any, Final

import orjson
from kombu.utils.json import loads

from worker.redis_transport.queue import DELIVERIES_HEADER

# What is no message of kombu's is delivered as it is, under this content type.
RAW_CONTENT_TYPE: Final = "application/octet-stream"
RAW_CONTENT_ENCODING: Final = "binary"


def read_envelope(payload: bytes, *, lease: str, queue: str, deliveries: int) -> dict[str, Any]:
    """Return what kombu's virtual Message is built from, for any bytes whatever.

    `deliveries` counts the earlier ones, which failed. Bytes that kombu did not write become a
    message whose body they are.
    """
    message = _parse(payload) or _raw(payload)
    headers = message["headers"] = dict(message.get("headers") or {})
    headers.pop(DELIVERIES_HEADER, None)
    if deliveries:
        headers[DELIVERIES_HEADER] = deliveries
    properties = message["properties"]
    properties["delivery_tag"] = lease
    properties["delivery_info"] = {
        "exchange": "",
        "routing_key": queue,
        **(properties.get("delivery_info") or {}),
        "queue": queue,
        "redelivered": deliveries > 0,
    }
    return message


def _parse(payload: bytes) -> dict[str, Any] | None:
    try:
        message = _load(payload)
        return message if _is_envelope(message) else None
    except Exception:  # noqa: BLE001 - a stranger's bytes can break a parser in any way
        return None


def _load(payload: bytes) -> Any:
    # Only kombu's own reader knows its notation for what JSON lacks, such as moments.
    if b"__type__" in payload:
        return loads(payload)
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        # It is stricter: Python's reader takes NaN and half a surrogate pair.
        return loads(payload)


def _is_envelope(message: Any) -> bool:
    """Tell whether this is kombu's, and decode its body."""
    match message:
        case {"body": str() as body, "properties": dict() as properties}:
            encoding = properties.pop("body_encoding", None)
            if encoding not in {None, "utf-8", "base64"}:
                return False
            message["body"] = base64.b64decode(body) if encoding == "base64" else body.encode()
            return (
                isinstance(message.get("headers") or {}, dict)
                and isinstance(properties.get("delivery_info") or {}, dict)
                and isinstance(message.get("content-type") or "", str)
                and isinstance(message.get("content-encoding") or "", str)
            )
        case _:
            return False


def _raw(payload: bytes) -> dict[str, Any]:
    return {
        "body": payload,
        "content-type": RAW_CONTENT_TYPE,
        "content-encoding": RAW_CONTENT_ENCODING,
        "properties": {},
    }
