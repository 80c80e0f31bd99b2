"""The hosts of an account's services, from the Domain API; only trusted hosts are used."""

import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from config.hosts import LIVEPERSON_SUFFIXES, is_listed, is_loopback, may_be_domain_api
from tasks.liveperson import reading
from tasks.liveperson.answer import Answer, DomainUnknown, Kind, cause_of, refusal
from tasks.liveperson.http import FateUnknown, Http, HttpResponse, NotSent

# The Domain API's name, where the other services have the names that it knows.
DOMAIN_API = "Domain API"
# LivePerson's Proactive FAQ allows a host to be cached for a day.
KEEP_SECONDS = 24 * 3600.0
# A host that fails is looked up again, at most this often.
RECHECK_SECONDS = 60.0
# After a failed look-up, further ones fail at once for this long: no thread waits for a silent
# server again.
FAILURE_SECONDS = 5.0
# All of these blame the account, the only content of the call.
_CREDENTIALS = frozenset({400, 401, 403, 451})


@dataclass(frozen=True, slots=True)
class _Known:
    origin: str
    found_at: float
    checked_at: float
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class _Failed:
    error: NotSent
    until: float


class Domains:
    """The hosts of one account's services, cached for a day; threads share one.

    Raises ValueError for a Domain API URL that is plain http where that is not allowed.
    """

    def __init__(
        self,
        http: Http,
        *,
        account_id: str,
        domain_api_url: str,
        trusted_hosts: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        require_trusted_api(domain_api_url, trusted_hosts)
        self._http = http
        self._account_id = account_id
        self._api_url = domain_api_url.rstrip("/")
        self._place = f"{DOMAIN_API} {urlsplit(domain_api_url).netloc.rpartition('@')[2]}"
        self._trusted_hosts = tuple(trusted_hosts)
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._failed: dict[str, _Failed] = {}
        self._lock = threading.Lock()

    def base_url(self, service: str) -> str:
        """Return `https://host` of a service; raises NotSent if it cannot be looked up.

        If a host failed lately, one thread looks it up again while the others go on using it.
        """
        known = self._known.get(service)
        if known and not self._is_over(known):
            if not known.suspect or not self._lock.acquire(blocking=False):
                return known.origin
        else:
            self._lock.acquire()
        try:
            return self._found(service).origin
        finally:
            self._lock.release()

    def host(self, service: str) -> str:
        """Return the host of a service, with its port if that is unusual; empty if unknown."""
        known = self._known.get(service)
        return urlsplit(known.origin).netloc if known else ""

    def has_moved(self, service: str, origin: str) -> bool:
        """Tell whether a service has another host now; looks it up if that is due."""
        try:
            with self._lock:
                return self._found(service).origin != origin
        except NotSent:
            return False

    def forget(self, service: str) -> None:
        """Note that a host failed: it is looked up again, and used until that succeeds.

        A short failure of a host must not make the worker depend on the Domain API.
        """
        known = self._known.get(service)
        if known and self._clock() - known.checked_at >= RECHECK_SECONDS:
            self._known[service] = replace(known, suspect=True)

    def _is_over(self, known: _Known) -> bool:
        return self._clock() - known.found_at >= KEEP_SECONDS

    def _found(self, service: str) -> _Known:
        known = self._known.get(service)
        if known and not known.suspect and not self._is_over(known):
            return known  # another thread found it while this one waited
        failed = self._failed.get(service)
        if failed and self._clock() < failed.until:
            raise _again(failed.error)
        try:
            origin = self._look_up(service)
        except NotSent as error:
            now = self._clock()
            if known and not self._is_over(known) and not isinstance(error, UntrustedHost):
                found = replace(known, checked_at=now, suspect=False)
            else:
                self._known.pop(service, None)
                self._failed[service] = _Failed(_again(error), now + FAILURE_SECONDS)
                raise
        else:
            now = self._clock()
            found = _Known(origin, found_at=now, checked_at=now)
        self._known[service] = found
        return found

    def _look_up(self, service: str) -> str:
        path = f"/api/account/{quote(self._account_id, safe='')}/service/{service}/baseURI.json"
        try:
            response = self._http.call(
                "GET", f"{self._api_url}{path}?version=1.0", headers={}, service=DOMAIN_API
            )
        except (NotSent, FateUnknown) as error:
            text = f"the Domain API did not answer: {error}"
            cause = cause_of(self._place, str(error))
            failure = DomainUnknown(Answer(kind=Kind.NOT_SENT, message=text, cause=cause))
        else:
            document = reading.document(response.body)
            base_uri = document.get("baseURI") if isinstance(document, dict) else None
            if response.status == 200 and isinstance(base_uri, str):
                return trusted_origin(
                    base_uri, api_url=self._api_url, trusted_hosts=self._trusted_hosts
                )
            failure = DomainUnknown(
                refusal(
                    self._place,
                    response,
                    name=f"the Domain API, asked for {service},",
                    credentials=_CREDENTIALS,
                )
            )
        raise failure


def _again(error: NotSent) -> NotSent:
    """Copy an error: a stored one would collect a traceback each time it is raised."""
    return DomainUnknown(error.answer) if isinstance(error, DomainUnknown) else NotSent(str(error))


_HOST_AND_PORT = re.compile(
    r"(?P<host>[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?"
)


class UntrustedHost(NotSent):
    """The Domain API named a host that is not trusted; nothing was sent to it."""


def trusted_origin(base_uri: str, *, api_url: str, trusted_hosts: Collection[str]) -> str:
    """Turn a `baseURI` of the Domain API, a bare host, into `https://host`.

    Listed hosts are trusted, and loopback hosts if the Domain API is on one. The scheme is the
    Domain API's own, but always https for LivePerson's hosts. Raises UntrustedHost.
    """
    name = base_uri.lower()
    match = _HOST_AND_PORT.fullmatch(name)
    if match is None:
        raise UntrustedHost(f"the Domain API answered {base_uri[:100]!r}, which is not a bare host")
    api = urlsplit(api_url)
    host = match["host"]
    beside_the_api = is_loopback(host) and is_loopback(api.hostname or "")
    if not (beside_the_api or is_listed(name, trusted_hosts)):
        raise UntrustedHost(
            f"the Domain API named {base_uri}, which is not in OVERTURE_TRUSTED_HOSTS"
        )
    return f"{'https' if host.endswith(LIVEPERSON_SUFFIXES) else api.scheme}://{name}"


def require_trusted_api(api_url: str, trusted_hosts: Collection[str]) -> None:
    """Raise ValueError for a Domain API URL that would send secrets without TLS."""
    if not may_be_domain_api(api_url, trusted_hosts):
        raise ValueError(
            f"OVERTURE_DOMAIN_API_URL: {api_url} is plain http; use https, a loopback host, or "
            "list its host in OVERTURE_TRUSTED_HOSTS"
        )


# Statuses of a host that may no longer be the service's.
MOVED = frozenset({301, 302, 303, 307, 308, 404, 421})


class Services:
    """Calls services by their names in the Domain API; threads share one."""

    def __init__(self, http: Http, domains: Domains) -> None:
        self._http = http
        self._domains = domains

    def place(self, service: str) -> str:
        """Return a service's name, with its host if that is known, for messages."""
        host = self._domains.host(service)
        return f"{service} {host}" if host else service

    def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        resends: int = 0,
    ) -> HttpResponse:
        """Make one call; `path` includes the query. Raises NotSent or FateUnknown."""
        base_url = self._domains.base_url(service)
        try:
            response = self._http.call(
                method,
                base_url + path,
                headers=headers,
                body=body,
                service=service,
                resends=resends,
            )
        except NotSent:
            self._domains.forget(service)
            raise
        if response.status in MOVED:
            self._domains.forget(service)
        return response
