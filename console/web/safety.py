"""Who may do what: the address, the host, the password, and that a change was meant."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, Literal

# An operator may see and do everything, a reader see it alone.
Role = Literal["operator", "reader"]

COOKIE: Final = "overture_console"
# A session without a request for so long has to log in again, in seconds.
SESSION_SECONDS: Final = 8 * 60 * 60
MAX_SESSIONS: Final = 1000
# Whoever guesses waits so long after each wrong password, in seconds; no more than this many wait.
WRONG_SECONDS: Final = 1.0
MAX_GUESSES: Final = 10
MAX_FORM_BYTES: Final = 64 * 1024
FORM_SECONDS: Final = 10.0

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, to itself alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def name_of(host_header: str) -> str:
    """Take the port, and the brackets of IPv6, off a `Host` header."""
    if host_header.startswith("["):
        return host_header[1:].partition("]")[0]
    return host_header.partition(":")[0]


class Gate:
    """The sessions of one console; they end with it.

    A session is a random name in a cookie. Its token, which every change has to bring, is made of
    the name with a key that nobody else has, so that nothing is kept for whoever only looks.
    """

    def __init__(self, *, passwords: Mapping[Role, str], loopback: bool) -> None:
        self.loopback = loopback
        self._passwords = passwords
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[str, tuple[float, Role]] = OrderedDict()
        self._notices: OrderedDict[str, list[str]] = OrderedDict()

    @property
    def asks(self) -> bool:
        """Whether there is a password to give."""
        return bool(self._passwords)

    def allows_host(self, host_header: str) -> bool:
        """Refuse, on loopback, a name that another site has had point here (DNS rebinding)."""
        return not self.loopback or is_loopback(name_of(host_header))

    def new_session(self) -> str:
        """Return a name that nobody can guess."""
        return secrets.token_urlsafe(32)

    def token(self, session: str) -> str:
        """Return what a form of this session has to bring."""
        return hmac.new(self._key, session.encode(), hashlib.sha256).hexdigest()

    def is_meant(self, session: str, token: str) -> bool:
        """Tell whether a form came from a page of this session."""
        return hmac.compare_digest(self.token(session).encode(), token.encode())

    def role_of(self, given: str) -> Role | None:
        """Return whose password this is; compares in a time that tells nothing."""
        found = None
        for role, password in self._passwords.items():
            if hmac.compare_digest(self._digest(given), self._digest(password)):
                found = role
        return found

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode(), "sha256")

    def log_in(self, role: Role) -> str:
        """Begin a session of this role; returns its name."""
        session = self.new_session()
        self._known[session] = time.monotonic(), role
        while len(self._known) > MAX_SESSIONS:
            self._known.popitem(last=False)
        return session

    def log_out(self, session: str) -> None:
        """End a session."""
        self._known.pop(session, None)

    def may(self, session: str) -> bool:
        """Tell whether a session has logged in, where that is asked for."""
        if not self.asks:
            return True
        seen, role = self._known.get(session, (-math.inf, "reader"))
        if time.monotonic() - seen > SESSION_SECONDS:
            self._known.pop(session, None)
            return False
        self._known[session] = time.monotonic(), role
        self._known.move_to_end(session)
        return True

    def may_change(self, session: str) -> bool:
        """Tell whether a session may do more than look."""
        return self.may(session) and (not self.asks or self._known[session][1] == "operator")

    def tell(self, session: str, *sentences: str) -> None:
        """Have the next page of a session say this."""
        self._notices.setdefault(session, []).extend(sentences)
        while len(self._notices) > MAX_SESSIONS:
            self._notices.popitem(last=False)

    def told(self, session: str) -> list[str]:
        """Return what is to be said, once."""
        return self._notices.pop(session, [])
