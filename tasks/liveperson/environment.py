"""Proxies and certificates for LivePerson, from the environment's variables.

They are read by requests' own functions: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` in
either case, `REQUESTS_CA_BUNDLE` before `CURL_CA_BUNDLE`. netrc is not read.
"""

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import certifi
from requests.utils import get_auth_from_url, get_environ_proxies, select_proxy
from urllib3.util import make_headers

BUNDLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# OpenSSL reads these itself, and ignores files that do not exist.
OPENSSL_PATHS: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_DEFAULT_PORT: Final = 80


class UnusableEnvironment(ValueError):
    """A variable cannot be used; the text says why, without secrets."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; `headers` contain its credentials, if any, and are not in its repr.

    `named_by` is the variable that names it.
    """

    host: str
    port: int
    named_by: str
    headers: dict[str, str] = field(repr=False)

    def __str__(self) -> str:
        """Return `host:port`."""
        return f"{self.host}:{self.port}"


def proxy_for(origin: str) -> Proxy | None:
    """Return the proxy for an origin, or None. Raises UnusableEnvironment."""
    named = select_proxy(origin, get_environ_proxies(origin))
    if not named:
        return None
    variable = _variable_of(named)
    url = named if "://" in named else f"http://{named}"
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port or _DEFAULT_PORT
        user, password = get_auth_from_url(url)
        headers = make_headers(proxy_basic_auth=f"{user}:{password}") if user else {}
    except ValueError:
        scheme, host, port, headers = "http", None, _DEFAULT_PORT, {}
    if scheme != "http":
        raise UnusableEnvironment(
            f"{variable} names a {scheme} proxy: only an HTTP proxy, written http://host:port, can "
            "be used; name such a one, or add the hosts that are reached without it to NO_PROXY"
        )
    if not host:
        raise UnusableEnvironment(
            f"{variable} cannot be read as the URL of a proxy: write http://host:port, or unset it"
        )
    return Proxy(host, port, variable, headers)


def proxy_passwords() -> set[str]:
    """Return the passwords in the environment's proxy URLs, both as written and decoded."""
    found: set[str] = set()
    for url in getproxies().values():
        # Split by hand: the URL may be invalid, and its password must be found all the same.
        written = url.rpartition("@")[0].rpartition("://")[2].partition(":")[2]
        found |= {written, unquote(written)} - {""}
    return found


def ca_bundle() -> tuple[str, str] | None:
    """Return the variable and the path of a CA bundle, which replaces the default, if any."""
    for name in BUNDLES:
        if path := os.environ.get(name):
            return name, path
    return None


def trusting() -> ssl.SSLContext:
    """Return a context that trusts the environment's CA bundle. Raises UnusableEnvironment.

    Without a bundle it trusts the machine's certificates (`SSL_CERT_FILE`, `SSL_CERT_DIR`) and
    those that requests uses (certifi).
    """
    bundle = ca_bundle()
    if bundle is None:
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        return context
    name, path = bundle
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        why = "it holds no certificate in PEM"
    except OSError as error:
        why = error.strerror or type(error).__name__
    raise UnusableEnvironment(
        f"{name} names {path}, which cannot be used: {why}; correct it, or unset it"
    )


def missing_certificates() -> list[str]:
    """Return a sentence for each of OpenSSL's variables that names a missing path."""
    named = ((name, os.environ.get(name)) for name in OPENSSL_PATHS)
    return [
        f"{name} names {path}, which is not there, and so is not looked at"
        for name, path in named
        if path and not Path(path).exists()
    ]


def _variable_of(url: str) -> str:
    """Return the variable that has this proxy's URL."""
    names = (name for name in os.environ if name.upper().endswith("_PROXY"))
    return next((name for name in sorted(names) if os.environ[name] == url), "the system")
