"""One account's LivePerson services: finds a service's host, calls it, and notices a move."""

from collections.abc import Mapping

from tasks.liveperson.domains import Domains
from tasks.liveperson.http import Http, HttpResponse, NotSent

# Answers that say: this is not, or no longer, the place to ask.
MOVED = frozenset({301, 302, 303, 307, 308, 404, 421})


class Services:
    """Calls services by the names the Domain API knows them by; threads share one."""

    def __init__(self, http: Http, domains: Domains) -> None:
        self._http = http
        self._domains = domains

    def place(self, service: str) -> str:
        """Name a service and its host, for people; the service alone while no host is known."""
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
    ) -> HttpResponse:
        """Make one call, `path` with its query; raises NotSent or FateUnknown."""
        base_url = self._domains.base_url(service)
        try:
            response = self._http.call(method, base_url + path, headers=headers, body=body)
        except NotSent:
            self._domains.forget(service)
            raise
        if response.status in MOVED:
            self._domains.forget(service)
        return response
