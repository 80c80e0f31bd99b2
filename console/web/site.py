"""What every page needs: broker and store, threads that wait for them, the templates."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import structlog
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from config.settings import Settings
from console.admin.hour import Minute, read_hour
from console.admin.overview import Overview, take_overview
from console.admin.pool import OldestJobs, enqueued_at
from console.operator import operator
from console.output import printable
from console.servers import Servers
from console.tables import shortened
from console.web.safety import Gate
from console.web.words import NOTHING, capital, uptime
from tasks.store.pulse import messages_taken

P = ParamSpec("P")
T = TypeVar("T")

FOLDER: Final = Path(__file__).parent
# So many calls of broker and store wait at a time.
THREADS: Final = 4
# However many look, broker and store are asked no more often than this, in seconds.
FRESH_SECONDS: Final = 1.0
# What failures say is cut after so many characters in a list.
MESSAGE_CHARACTERS: Final = 200
# As messages and sentences write it: RFC 3339 in UTC.
MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)")
TIME: Final = Markup('<time datetime="{}">{}</time>')

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Look:
    """What the page Now shows; `oldest` is how long the oldest job of a queue has waited, in s.

    `hour` has the last hour of each account.
    """

    overview: Overview
    oldest: Mapping[str, float]
    hour: Mapping[str, Sequence[Minute]]


def look(servers: Servers, settings: Settings, ages: OldestJobs) -> Look:
    """Look at broker and store. Raises their errors."""
    broker, store = servers.broker, servers.store
    overview = take_overview(broker, store, settings)
    oldest = ages.look(
        overview.queues,
        taken=messages_taken(store),
        enqueued=enqueued_at(broker, overview.queues),
    )
    hour = {one.account_id: read_hour(store, one.account_id) for one in overview.accounts}
    return Look(overview, oldest, hour)


@dataclass(slots=True)
class Site:
    """One console; what changes something through it is written to the log."""

    servers: Servers
    settings: Settings
    gate: Gate
    pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="console")
    )
    # A broker may have to take letters to show them: one look or change at a time.
    letters: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ages: OldestJobs = field(default_factory=OldestJobs)
    _seen: tuple[float, Look] | None = None
    # How many wait for having given a wrong password.
    guesses: int = 0

    async def call(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Call what waits for a server, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, partial(function, *args, **named))

    async def look(self) -> Look:
        """Look at everything, once for all who look at this moment."""
        async with self._looking:
            if self._seen is None or time.monotonic() - self._seen[0] > FRESH_SECONDS:
                found = await self.call(look, self.servers, self.settings, self._ages)
                self._seen = time.monotonic(), found
            return self._seen[1]

    def changed(self, request: web.Request, action: str, **what: object) -> None:
        """Write a change to the log, with who and from where."""
        self._seen = None
        log.warning("console.changed", action=action, by=operator(), remote=request.remote, **what)


SITE: Final = web.AppKey("site", Site)
SESSION: Final = web.RequestKey("session", str)
Form = dict[str, str]
FORM: Final = web.RequestKey[Form]("form", dict)


def who(request: web.Request) -> str:
    """Name who asks, as a pause keeps it."""
    return f"{operator()} through the console from {request.remote}"


def render(
    request: web.Request, template: str, *, status: int = 200, **values: Any
) -> web.Response:
    """Make a page, or a part of one; its first sentences are what the last change came to."""
    gate, session = request.app[SITE].gate, request[SESSION]
    is_page = not template.endswith("_live.html")
    token = Markup('<input type="hidden" name="token" value="{}">').format(gate.token(session))
    text = ENVIRONMENT.get_template(template).render(
        **values,
        here=request.path,
        may=gate.may(session),
        may_change=gate.may_change(session),
        asks=gate.asks,
        csrf=lambda: token,
        notices=gate.told(session) if is_page else [],
    )
    return web.Response(text=text, content_type="text/html", status=status)


def _visible(value: object) -> object:
    """Show what steers a text, such as its direction, as a question mark; markup is ours."""
    if value is None:
        return NOTHING
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _moments(words: str) -> Markup:
    """Mark the moments in a sentence, for the page to show them in local time."""
    texts = MOMENT.split(printable(words))
    return Markup().join(
        TIME.format(text, text) if number % 2 else text for number, text in enumerate(texts)
    )


def _breakable(words: str) -> Markup:
    """Let a name that has dots go on in the next line after each."""
    return Markup(".<wbr>").join(printable(words).split("."))


def _lines(document: object) -> list[str]:
    return json.dumps(document, indent=2, ensure_ascii=False).split("\n")


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
    )
    made.filters["number"] = lambda value: NOTHING if value is None else f"{value:,}"
    made.filters["rate"] = lambda value: NOTHING if value is None else f"{value:.3g}/s"
    made.filters["short"] = lambda text: shortened(text, MESSAGE_CHARACTERS)
    made.filters["capital"] = capital
    made.filters["lines"] = _lines
    made.filters["uptime"] = uptime
    made.filters["moments"] = _moments
    made.filters["breakable"] = _breakable
    return made


ENVIRONMENT: Final = _environment()
