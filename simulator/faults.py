"""Chooses the fault of a call, if any: by probability, or queued for one consumer."""

import random
from collections.abc import Mapping
from enum import StrEnum

from simulator.endpoints import CONVERSATION, DOMAIN, IDP, MSG_HIST, SEND, SENTINEL, SMT

CONSUMER_ENDPOINTS = (CONVERSATION, SEND)
"""Those whose calls carry a ConsumerJWS, so that a fault can wait for one consumer."""
MAX_QUEUED_CONSUMERS = 100_000
ROUNDING = 1e-9


class Fault(StrEnum):
    """Everything that can go wrong with one call.

    Before the call is processed: nothing has happened at LivePerson.
    After: it has happened, and the caller cannot know.
    """

    RESET = "reset"  # before: the connection is reset
    SERVER_ERROR = "server_error"  # before: 500, 502, 503 or 504
    TOO_MANY_REQUESTS = "too_many_requests"  # before: 429
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - before: the AppJWT has expired, 401
    CONSUMER_TOKEN_REFUSED = "consumer_token_refused"  # noqa: S105 - before: 401, this once
    UNAUTHORIZED = "unauthorized"  # before: 401, with any token
    FIREWALL_PAGE = "firewall_page"  # before: a 4xx of a firewall, not LivePerson's
    BAD_REQUEST_AS_200 = "bad_request_as_200"  # before: HTTP 200 around a BAD_REQUEST item
    LOADING = "loading"  # before: the Monitoring API's "Loading account"
    LOST_ANSWER = "lost_answer"  # after: the connection is reset
    WITHHELD_ANSWER = "withheld_answer"  # after: silence until the caller hangs up
    SERVER_ERROR_AFTER = "server_error_after"  # after: 500, 502, 503 or 504
    TRUNCATED_JSON = "truncated_json"  # after: the first half of the body, as if it were whole
    CUT_OFF = "cut_off"  # after: the connection is closed in the middle of the body
    NOT_JSON = "not_json"  # after: an HTML page
    WRONG_REQ_ID = "wrong_req_id"  # after: the items name requests nobody made
    SLOW_ANSWER = "slow_answer"  # after: the answer trickles in, byte by byte


_EVERYWHERE = frozenset(
    {
        Fault.RESET,
        Fault.SERVER_ERROR,
        Fault.TOO_MANY_REQUESTS,
        Fault.UNAUTHORIZED,
        Fault.FIREWALL_PAGE,
        Fault.LOST_ANSWER,
        Fault.WITHHELD_ANSWER,
        Fault.SERVER_ERROR_AFTER,
        Fault.TRUNCATED_JSON,
        Fault.CUT_OFF,
        Fault.NOT_JSON,
        Fault.SLOW_ANSWER,
    }
)
_BOTH_TOKENS = _EVERYWHERE | {Fault.TOKEN_EXPIRED, Fault.CONSUMER_TOKEN_REFUSED, Fault.WRONG_REQ_ID}
POSSIBLE: Mapping[str, frozenset[Fault]] = {
    DOMAIN: _EVERYWHERE,
    SENTINEL: _EVERYWHERE,
    IDP: _EVERYWHERE | {Fault.TOKEN_EXPIRED},
    CONVERSATION: _BOTH_TOKENS | {Fault.BAD_REQUEST_AS_200},
    SEND: _BOTH_TOKENS,
    SMT: _EVERYWHERE | {Fault.LOADING},
    MSG_HIST: _EVERYWHERE,
}


def parse_fault(name: str) -> tuple[str, Fault]:
    """Read `fault` (of CONVERSATION) or `endpoint.fault`; raise ValueError with one sentence."""
    endpoint, dot, fault = name.rpartition(".")
    if not dot:
        endpoint = CONVERSATION
    if endpoint not in POSSIBLE:
        raise ValueError(f"{name}: unknown endpoint; known endpoints: {', '.join(POSSIBLE)}")
    if fault not in POSSIBLE[endpoint]:
        known = ", ".join(sorted(POSSIBLE[endpoint]))
        raise ValueError(f"{name}: unknown fault of {endpoint}; known faults: {known}")
    return endpoint, Fault(fault)


def fault_name(endpoint: str, fault: Fault) -> str:
    """Write the name that `parse_fault` reads."""
    return str(fault) if endpoint == CONVERSATION else f"{endpoint}.{fault}"


class FaultPlan:
    """Chooses a fault for each call; a queued one comes before a random one."""

    def __init__(self, probabilities: Mapping[str, float], rng: random.Random) -> None:
        self._rng = rng
        self._chances: dict[str, list[tuple[Fault, float]]] = {}
        self._queued: dict[tuple[str, str], list[tuple[Fault, int]]] = {}
        self.set_probabilities(probabilities)

    def set_probabilities(self, probabilities: Mapping[str, float]) -> None:
        """Replace all probabilities; raise ValueError if those of an endpoint exceed 1 together."""
        chances: dict[str, list[tuple[Fault, float]]] = {}
        for name, probability in probabilities.items():
            endpoint, fault = parse_fault(name)
            if not 0 <= probability <= 1:
                raise ValueError(
                    f"{name}: a probability must be between 0 and 1, not {probability}"
                )
            chances.setdefault(endpoint, []).append((fault, probability))
            if sum(chance for _, chance in chances[endpoint]) > 1 + ROUNDING:
                raise ValueError(f"the fault probabilities of {endpoint} exceed 1 together")
        self._chances = chances

    def probabilities(self) -> dict[str, float]:
        """Return the current probabilities, by name."""
        return {
            fault_name(endpoint, fault): probability
            for endpoint, chances in self._chances.items()
            for fault, probability in chances
        }

    def queue(self, name: str, consumer: str, *, times: int) -> None:
        """Queue a fault for the next `times` calls for one consumer (ext_consumer_id)."""
        endpoint, fault = parse_fault(name)
        if endpoint not in CONSUMER_ENDPOINTS:
            waiting = " and ".join(CONSUMER_ENDPOINTS)
            raise ValueError(f"{name}: only faults of {waiting} can be queued for a consumer")
        key = (endpoint, consumer)
        if key not in self._queued and len(self._queued) >= MAX_QUEUED_CONSUMERS:
            raise ValueError(f"at most {MAX_QUEUED_CONSUMERS} consumers can have queued faults")
        self._queued.setdefault(key, []).append((fault, times))

    def queued(self) -> int:
        """Count the calls that a queued fault waits for."""
        return sum(times for waiting in self._queued.values() for _, times in waiting)

    def choose(self, endpoint: str, consumer: str | None) -> Fault | None:
        """Choose the fault of one call; None for most."""
        if consumer is not None and (endpoint, consumer) in self._queued:
            return self._take(endpoint, consumer)
        chances = self._chances.get(endpoint)
        if chances is None:
            return None
        drawn = self._rng.random()
        for fault, probability in chances:
            drawn -= probability
            if drawn < 0:
                return fault
        return None

    def _take(self, endpoint: str, consumer: str) -> Fault:
        waiting = self._queued[endpoint, consumer]
        fault, times = waiting[0]
        if times > 1:
            waiting[0] = (fault, times - 1)
        else:
            del waiting[0]
        if not waiting:
            del self._queued[endpoint, consumer]
        return fault
