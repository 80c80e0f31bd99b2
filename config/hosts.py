"""Which hosts are trusted, and which even without TLS. No I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

# TLS is always used for these, whatever the settings say.
LIVEPERSON_SUFFIXES = (".liveperson.net", ".liveperson.com")


def is_listed(name: str, trusted_hosts: Collection[str]) -> bool:
    """Tell whether a host, with or without its port, matches a host or `.suffix` in a list."""
    host = urlsplit(f"//{name}").hostname or ""
    return any(
        host.endswith(trusted) if trusted.startswith(".") else trusted in {host, name}
        for trusted in trusted_hosts
    )


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def may_be_domain_api(url: str, trusted_hosts: Collection[str]) -> bool:
    """Tell whether this Domain API may name hosts for secrets: over TLS, or on a trusted host."""
    api = urlsplit(url)
    host = api.hostname or ""
    if api.scheme == "https" or is_loopback(host):
        return True
    return not host.endswith(LIVEPERSON_SUFFIXES) and is_listed(api.netloc, trusted_hosts)
