"""The session of a browser: its beginning with a password, and its end."""

from __future__ import annotations

import asyncio

from aiohttp import web

from console.web.safety import COOKIE, MAX_GUESSES, WRONG_SECONDS
from console.web.site import FORM, SESSION, SITE, log, render

routes = web.RouteTableDef()


@routes.get("/login")
async def login(request: web.Request) -> web.Response:
    """Ask for the password."""
    return render(request, "login.html")


@routes.post("/login")
async def log_in(request: web.Request) -> web.Response:
    """Begin a session under a new name, for what the password is given out for."""
    site = request.app[SITE]
    if site.guesses >= MAX_GUESSES:
        raise web.HTTPTooManyRequests
    role = site.gate.role_of(request[FORM].get("password", ""))
    if role is None:
        log.warning("console.refused", remote=request.remote)
        site.guesses += 1
        try:
            await asyncio.sleep(WRONG_SECONDS)
        finally:
            site.guesses -= 1
        site.gate.tell(request[SESSION], "this is not the password")
        return render(request, "login.html", status=403)
    log.info("console.login", remote=request.remote, role=role)
    answer = web.Response(status=303, headers={"Location": "/"})
    set_session(answer, site.gate.log_in(role))
    return answer


@routes.post("/logout")
async def log_out(request: web.Request) -> web.Response:
    """End a session."""
    request.app[SITE].gate.log_out(request[SESSION])
    return web.Response(status=303, headers={"Location": "/"})


def set_session(answer: web.StreamResponse, session: str) -> None:
    """Give a browser the name of its session, which no script and no other site gets."""
    answer.set_cookie(COOKIE, session, httponly=True, samesite="Strict", path="/")
