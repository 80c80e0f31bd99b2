"""Which hosts may be spoken to at all, and which in the clear. No I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

# These are never spoken to in the clear, whatever a test set-up says.
LIVEPERSON_SUFFIXES = (".liveperson.net", ".liveperson.com")


def is_listed(name: str, trusted_hosts: Collection[str]) -> bool:
    """Tell whether a host, with or without its port, is among hosts and `.suffixes`."""
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
    """Tell whether secrets may follow from this Domain API's word: over TLS, or a host we trust."""
    api = urlsplit(url)
    host = api.hostname or ""
    if api.scheme == "https" or is_loopback(host):
        return True
    return not host.endswith(LIVEPERSON_SUFFIXES) and is_listed(api.netloc, trusted_hosts)
