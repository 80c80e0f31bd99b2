"""Writes answers to the socket, or fails to, as the fault demands."""

import asyncio
import socket
import struct
from contextlib import suppress

from aiohttp import web

from simulator.calls import Answer
from simulator.faults import Fault

TRICKLE_SECONDS = 0.25
"""Pause between two bytes of a slow answer: shorter than any read timeout, endless in sum."""
WITHHOLD_SECONDS = 600.0
"""How long an answer is withheld at most, for callers that never hang up."""
HANG_UP_POLL_SECONDS = 0.05
_LINGER_OFF = struct.pack("ii", 1, 0)


def response_of(answer: Answer) -> web.Response:
    """Return the ordinary response."""
    return web.Response(
        body=answer.content,
        status=answer.status,
        headers=answer.headers,
        content_type=answer.content_type,
    )


def reset(request: web.Request) -> None:
    """Cut the connection with a TCP reset, so that the caller sees neither answer nor end."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


async def _withhold(request: web.Request) -> None:
    waited = 0.0
    while waited < WITHHOLD_SECONDS and not has_hung_up(request):
        await asyncio.sleep(HANG_UP_POLL_SECONDS)
        waited += HANG_UP_POLL_SECONDS
    reset(request)


def has_hung_up(request: web.Request) -> bool:
    """Tell whether the caller has closed the connection."""
    return request.transport is None or request.transport.is_closing()


async def _begin(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_type = answer.content_type
    response.content_length = len(answer.content)
    await response.prepare(request)
    return response


async def _trickle(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = await _begin(request, answer)
    with suppress(ConnectionError):
        for position in range(len(answer.content)):
            await response.write(answer.content[position : position + 1])
            await asyncio.sleep(TRICKLE_SECONDS)
    return response


async def _cut_off(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = await _begin(request, answer)
    with suppress(ConnectionError):
        await response.write(answer.content[: len(answer.content) // 2])
    if request.transport is not None:
        # What was written goes out; then the end comes before the promised length.
        request.transport.close()
    return response


async def send(request: web.Request, answer: Answer, fault: Fault | None) -> web.StreamResponse:
    """Write the answer in the way the fault leaves; no fault writes it whole and at once."""
    match fault:
        case Fault.RESET | Fault.LOST_ANSWER:
            reset(request)
        case Fault.WITHHELD_ANSWER:
            await _withhold(request)
        case Fault.SLOW_ANSWER:
            return await _trickle(request, answer)
        case Fault.CUT_OFF:
            return await _cut_off(request, answer)
    return response_of(answer)
