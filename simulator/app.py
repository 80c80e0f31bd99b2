"""The web application: which path is which endpoint."""

from aiohttp import web

from simulator import (
    answers,
    conversation,
    domain,
    endpoints,
    history,
    idp,
    monitoring,
    send,
    sentinel,
)
from simulator.calls import Answer, Call
from simulator.control import add_control
from simulator.front import serve
from simulator.state import State

MAX_BODY_BYTES = 1024 * 1024
_ACCOUNT = "/api/account/{account_id}"
_MESSAGING = f"{_ACCOUNT}/messaging/consumer/conversation"


def _no_such_path(state: State, call: Call) -> Answer:  # noqa: ARG001 - an endpoint like the others
    return answers.NO_SUCH_PATH


def create_app(state: State) -> web.Application:
    """Build the application around a state."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    routes = app.router
    # Paths are tried in this order, so the busiest comes first.
    routes.add_post(_MESSAGING, serve(state, endpoints.CONVERSATION, conversation.create))
    for ending in ("", ".json"):
        base = f"{_ACCOUNT}/service"
        routes.add_get(
            f"{base}/baseURI{ending}", serve(state, endpoints.DOMAIN, domain.look_up_all)
        )
        routes.add_get(
            f"{base}/{{service}}/baseURI{ending}",
            serve(state, endpoints.DOMAIN, domain.look_up_one),
        )
    routes.add_post(
        f"/sentinel{_ACCOUNT}/app/token", serve(state, endpoints.SENTINEL, sentinel.give_app_jwt)
    )
    routes.add_post(f"{_ACCOUNT}/consumer", serve(state, endpoints.IDP, idp.give_consumer_jws))
    routes.add_post(f"{_MESSAGING}/send", serve(state, endpoints.SEND, send.send))
    routes.add_post(
        f"/messaging_history{_ACCOUNT}/conversations/consumer/search",
        serve(state, endpoints.MSG_HIST, history.search),
    )
    routes.add_post(
        f"{_ACCOUNT}/app/{{app_id}}/engagement", serve(state, endpoints.SMT, monitoring.engage)
    )
    add_control(app, state)
    routes.add_route("*", "/{path:.*}", serve(state, endpoints.UNKNOWN, _no_such_path))
    return app
