"""The console as an application of aiohttp: what stands before every page, and how it is served."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

import click
from aiohttp import web

from config.settings import Settings
from config.values import host_and_port
from console.output import Problem
from console.servers import Servers, diagnosis, errors_of
from console.web import actions, pages, sessions
from console.web.actions import done
from console.web.safety import (
    COOKIE,
    FORM_SECONDS,
    HEADERS,
    MAX_FORM_BYTES,
    Gate,
    Role,
    is_loopback,
)
from console.web.sessions import set_session
from console.web.site import FORM, SESSION, SITE, Site, render

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NAME: Final = re.compile(r"[A-Za-z0-9_-]{43}")
FORM_TYPE: Final = "application/x-www-form-urlencoded"
# What needs more than to look. A form that only shows something has its ids in no address.
CHANGES: Final = frozenset(one.handler for one in actions.routes if isinstance(one, web.RouteDef))
# After the signal to end, requests have this long, in seconds.
END_SECONDS: Final = 2.0


def make_app(servers: Servers, settings: Settings, *, host: str) -> web.Application:
    """Make the application that is to be served at a host. Raises Problem without a password.

    Beyond this machine it needs one.
    """
    passwords: dict[Role, str] = {}
    if settings.console_password:
        passwords["operator"] = settings.console_password.get_secret_value()
    if settings.console_reader_password:
        passwords["reader"] = settings.console_reader_password.get_secret_value()
    if len({*passwords.values()}) < len(passwords):
        raise Problem(
            "OVERTURE_CONSOLE_READER_PASSWORD is the same as OVERTURE_CONSOLE_PASSWORD: give out "
            "two passwords, or one"
        )
    loopback = is_loopback(host)
    if not passwords and not loopback:
        raise Problem(
            f"the console is not served at {host} without a password: set "
            "OVERTURE_CONSOLE_PASSWORD, or name an address of this machine alone, as in "
            "--address 127.0.0.1:9466"
        )
    gate = Gate(passwords=passwords, loopback=loopback)
    app = web.Application(middlewares=[_guard], client_max_size=MAX_FORM_BYTES)
    app[SITE] = Site(servers=servers, settings=settings, gate=gate)
    app.add_routes([*pages.routes, *actions.routes, *sessions.routes])
    app.on_response_prepare.append(_add_headers)
    app.on_cleanup.append(_end)
    return app


async def serve(
    app: web.Application, address: str, *, ready: Callable[[asyncio.Event], None]
) -> None:
    """Serve until the event is set that `ready` is told of. Raises Problem."""
    host, port = host_and_port(address)
    ended = asyncio.Event()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=END_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise Problem(
                f"--address: nothing can be served at {address}: {error.strerror or error}; name "
                "an address of this machine, and a port that nothing else uses"
            ) from None
        ready(ended)
        await ended.wait()
    finally:
        await runner.cleanup()


async def _end(app: web.Application) -> None:
    app[SITE].pool.shutdown(wait=False, cancel_futures=True)


async def _add_headers(request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers.update(HEADERS)
    is_static = request.path.startswith("/static/")
    answer.headers["Cache-Control"] = "no-cache" if is_static else "no-store"


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let through what this host, this session and this form may do."""
    gate = request.app[SITE].gate
    if not gate.allows_host(request.host):
        return web.Response(status=421, text="this console answers to this machine's name alone\n")
    if request.path.startswith("/static/"):
        return await handler(request)
    session = request.cookies.get(COOKIE, "")
    is_new = not NAME.fullmatch(session)
    request[SESSION] = gate.new_session() if is_new else session
    answer = await _answer(request, handler)
    if is_new and not answer.prepared and COOKIE not in answer.cookies:
        set_session(answer, request[SESSION])
    return answer


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    gate, is_form = request.app[SITE].gate, request.method not in {"GET", "HEAD"}
    if request.path != "/login" and not gate.may(request[SESSION]):
        if is_form or request.path.startswith("/live/"):
            return _problem(request, 403, "log in first")
        return web.Response(status=303, headers={"Location": "/login"})
    if request.match_info.handler in CHANGES and not gate.may_change(request[SESSION]):
        return _problem(
            request, 403, "you may look, and change nothing: this is a reader's session"
        )
    if is_form:
        if request.content_type != FORM_TYPE:
            return _problem(request, 415, "only forms are read")
        try:
            async with asyncio.timeout(FORM_SECONDS):
                sent = await request.post()
        except TimeoutError:
            return _problem(request, 408, "the form did not come")
        except web.HTTPRequestEntityTooLarge:
            return _problem(request, 413, "the form is too large")
        form = {name: value for name, value in sent.items() if isinstance(value, str)}
        if not gate.is_meant(request[SESSION], form.pop("token", "")):
            return _problem(
                request, 403, "nothing was changed: this form is of an older page; load it again"
            )
        request[FORM] = form
    return await _handled(request, handler, is_form=is_form)


async def _handled(request: web.Request, handler: Handler, *, is_form: bool) -> web.StreamResponse:
    site = request.app[SITE]
    try:
        return await handler(request)
    except click.ClickException as error:
        if is_form:
            return done(request, _before(request), error.message)
        return _problem(request, 404, error.message)
    except web.HTTPException as error:
        return _problem(request, error.status, error.reason)
    except errors_of(site.servers.broker) as error:
        words = await site.call(diagnosis, site.servers, error)
        return _problem(request, 503, words)


def _before(request: web.Request) -> str:
    """Name the page whose forms lead here."""
    above = request.path.split("/")[1]
    return {"dead-letters": "/dead-letters", "submission": "/submissions", "job": "/search"}.get(
        above, "/"
    )


def _problem(request: web.Request, status: int, words: str) -> web.Response:
    title = {403: "Not allowed", 404: "Not found", 503: "Away"}.get(status, "Not possible")
    return render(request, "problem.html", status=status, title=title, words=words)
