"""What `overture check` tries of LivePerson: an account's hosts and credentials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final
from urllib.request import getproxies

from config.settings import Settings
from config.version import USER_AGENT
from tasks.liveperson.app_tokens import Sentinel
from tasks.liveperson.credentials import Credentials
from tasks.liveperson.domains import Domains, Services
from tasks.liveperson.environment import (
    UnusableEnvironment,
    ca_bundle,
    missing_certificates,
    proxy_for,
)
from tasks.liveperson.http import Http, NotSent
from tasks.liveperson.tokens import TokenFailure
from tasks.liveperson.transport import tls_context
from worker.finding import Finding

# The services of a job: to open a conversation, for its two tokens, and to look one up.
SERVICES: Final = ("asyncMessagingEnt", "sentinel", "idp", "smt")


def check_environment(settings: Settings) -> Iterator[Finding]:
    """Report the trusted certificates, and the proxy for the Domain API."""
    what = "certificates"
    try:
        tls_context()
    except UnusableEnvironment as error:
        yield Finding("fails", what, str(error))
        return
    for sentence in missing_certificates():
        yield Finding("warning", what, sentence)
    match ca_bundle():
        case name, path:
            yield Finding("works", what, f"those in {path} are trusted and no others ({name})")
        case _:
            yield Finding("works", what, "those of the system and of certifi are trusted")
    try:
        yield Finding("works", "proxy", _ways([settings.domain_api_url]))
    except UnusableEnvironment as error:
        yield Finding("fails", "proxy", str(error))


def _ways(origins: Iterable[str]) -> str:
    """Return a text about the proxies of these origins. Raises UnusableEnvironment."""
    ways: dict[str, list[str]] = {}
    for origin in dict.fromkeys(origins):
        proxy = proxy_for(origin)
        way = f"through the proxy {proxy} ({proxy.named_by})" if proxy else "directly"
        ways.setdefault(way, []).append(origin)
    return "; ".join(f"{', '.join(reached)} is reached {way}" for way, reached in ways.items())


def check_account(settings: Settings, account_id: str) -> Iterator[Finding]:
    """Look up the services, and fetch an AppJWT; no conversation is opened."""
    what = f"account {account_id}"
    account = settings.accounts[account_id]
    http = Http(
        pool_size=1,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        user_agent=USER_AGENT,
    )
    with closing(http):
        try:
            domains = Domains(
                http,
                account_id=account_id,
                domain_api_url=settings.domain_api_url,
                trusted_hosts=settings.trusted_hosts,
            )
            hosts = [domains.base_url(service) for service in SERVICES]
        except ValueError as error:
            yield Finding("fails", what, str(error))
            return
        except NotSent as error:
            todo = "check OVERTURE_ACCOUNT_ID, OVERTURE_DOMAIN_API_URL and outbound network access"
            yield Finding("fails", what, f"its services cannot be found: {error}; {todo}")
            return
        yield Finding("works", what, f"its services are at {', '.join(dict.fromkeys(hosts))}")
        try:
            if getproxies():
                yield Finding("works", what, _ways(hosts))
        except UnusableEnvironment as error:
            yield Finding("fails", what, str(error))
            return
        sentinel = Sentinel(
            Services(http, domains),
            account_id=account_id,
            credentials=Credentials(account.client_id, account.client_secret),
        )
        try:
            sentinel.ask()
        except TokenFailure as failure:
            todo = (
                "check client id and secret, that the app is enabled, and that its IP allow list "
                "includes this host"
            )
            yield Finding("fails", what, f"got no AppJWT: {failure}; {todo}")
        else:
            yield Finding("works", what, "its credentials get an AppJWT")
