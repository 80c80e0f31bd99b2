"""The W3C trace context of a job, which comes back on its outcome byte for byte.

It is passed on and never made here, so that a trace goes on with or without OpenTelemetry. Source:
W3C Trace Context.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

# The headers, and how many characters each may have. A `traceparent` of version 00 has 55, and
# later versions may append to it; of a `tracestate` 512 are to be passed on at least.
TRACE_HEADERS: Final[Mapping[str, int]] = MappingProxyType({"traceparent": 256, "tracestate": 4096})

Trace = Mapping[str, str]
NO_TRACE: Final[Trace] = {}


def trace_of(headers: Mapping[str, Any]) -> Trace:
    """Take the trace context out of a message's headers; what is no text, or too long, is none."""
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
