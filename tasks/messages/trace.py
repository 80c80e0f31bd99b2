"""The W3C trace context of a job, which is copied to its outcome byte for byte.

It is only passed on here, so that a trace goes on with or without OpenTelemetry. Source: W3C Trace
Context.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

# The headers, and their maximum lengths in characters. A `traceparent` of version 00 has 55, and
# later versions may append to it; of a `tracestate` at least 512 must be passed on.
TRACE_HEADERS: Final[Mapping[str, int]] = MappingProxyType({"traceparent": 256, "tracestate": 4096})

Trace = Mapping[str, str]
NO_TRACE: Final[Trace] = {}


def trace_of(headers: Mapping[str, Any]) -> Trace:
    """Return the trace context in a message's headers, without values that are too long."""
    return {
        name: value
        for name, most in TRACE_HEADERS.items()
        if isinstance(value := headers.get(name), str) and len(value) <= most
    }


def write_trace(trace: Trace) -> bytes:
    """Write it for the ledger; empty if there is none."""
    return orjson.dumps(dict(trace)) if trace else b""


def read_trace(text: bytes) -> Trace:
    """Read what `write_trace` wrote."""
    return trace_of(orjson.loads(text)) if text else NO_TRACE
