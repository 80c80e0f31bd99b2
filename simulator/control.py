"""The control API: shows what happened, and changes what happens next. Not part of LivePerson."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from simulator import commands, reports
from simulator.calls import read_json
from simulator.state import State

Handler = Callable[[web.Request], Awaitable[web.Response]]
DEFAULT_LISTED = 100
MAX_LISTED = 10_000


def _get(state: State, show: Callable[[State, web.Request], Any]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        try:
            return web.json_response(show(state, request))
        except ValueError as wrong:
            return web.json_response({"error": str(wrong)}, status=400)

    return handle


def _post(state: State, command: Callable[[State, Any], Any]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        try:
            body = read_json(await request.read() or b"{}")
            return web.json_response(command(state, body))
        except ValueError as wrong:
            return web.json_response({"error": str(wrong)}, status=400)

    return handle


def _number(request: web.Request, name: str, default: int) -> int:
    try:
        return max(0, int(request.query.get(name, default)))
    except ValueError:
        raise ValueError(f"{name} must be a whole number") from None


def _stats(state: State, request: web.Request) -> Any:  # noqa: ARG001 - a view like the others
    return reports.stats(state, now=time.time())


def _conversations(state: State, request: web.Request) -> Any:
    return reports.conversations(
        state,
        account_id=request.query.get("account"),
        consumer_id=request.query.get("consumer"),
        offset=_number(request, "offset", 0),
        limit=min(_number(request, "limit", DEFAULT_LISTED), MAX_LISTED),
    )


def add_control(app: web.Application, state: State) -> None:
    """Add the control API's paths."""
    app.router.add_get("/control/stats", _get(state, _stats))
    app.router.add_get("/control/conversations", _get(state, _conversations))
    app.router.add_post("/control/reset", _post(state, commands.reset))
    app.router.add_post("/control/limits", _post(state, commands.set_limits))
    app.router.add_post("/control/faults", _post(state, commands.set_faults))
    app.router.add_post("/control/close", _post(state, commands.close))
    app.router.add_post("/control/invalidate", _post(state, commands.invalidate))
    app.router.add_post("/control/credentials", _post(state, commands.set_credentials))
