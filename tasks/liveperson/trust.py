"""Which hosts may be sent a token, and whether in the clear. No I/O."""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from config.hosts import LIVEPERSON_SUFFIXES, is_listed, is_loopback, may_be_domain_api
from tasks.liveperson.http import NotSent

_HOST_AND_PORT = re.compile(
    r"(?P<host>[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?"
)


class UntrustedHost(NotSent):
    """The Domain API named a host that is not trusted; nothing was sent to it."""


def trusted_origin(base_uri: str, *, api_url: str, trusted_hosts: Collection[str]) -> str:
    """Turn a `baseURI` of the Domain API, a bare host, into `https://host`.

    Trusted are the hosts listed, and loopback hosts if the Domain API is on one. The scheme is the
    Domain API's own, but LivePerson's hosts are always spoken to over TLS. Raises UntrustedHost.
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
    """Raise ValueError for a Domain API URL that would send secrets in the clear."""
    if not may_be_domain_api(api_url, trusted_hosts):
        raise ValueError(
            f"OVERTURE_DOMAIN_API_URL: {api_url} is plain http; use https, a loopback host, or "
            "list its host in OVERTURE_TRUSTED_HOSTS"
        )
