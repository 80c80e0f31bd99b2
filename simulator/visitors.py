"""Visitors and their sessions, as the Monitoring API hands them out."""

import secrets
from collections import OrderedDict

KEPT_VISITORS = 100_000


class Visitors:
    """The visitors of all accounts; the longest unseen are forgotten first."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[tuple[str, str], str | None] = OrderedDict()

    def add(self, account_id: str) -> str:
        """Create a visitor without a session, and return its id."""
        visitor_id = secrets.token_urlsafe(16)
        self._sessions[account_id, visitor_id] = None
        if len(self._sessions) > KEPT_VISITORS:
            self._sessions.popitem(last=False)
        return visitor_id

    def knows(self, account_id: str, visitor_id: str) -> bool:
        """Tell whether the visitor is known, and count that as being seen."""
        if (account_id, visitor_id) not in self._sessions:
            return False
        self._sessions.move_to_end((account_id, visitor_id))
        return True

    def session(self, account_id: str, visitor_id: str) -> str | None:
        """Return the session of a known visitor."""
        return self._sessions.get((account_id, visitor_id))

    def begin_session(self, account_id: str, visitor_id: str) -> str:
        """Begin a new session for a known visitor; it takes the place of the one before."""
        session_id = secrets.token_urlsafe(16)
        self._sessions[account_id, visitor_id] = session_id
        return session_id
