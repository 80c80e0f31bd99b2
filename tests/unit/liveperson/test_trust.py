"""Which hosts the Domain API may name, and how they are spoken to."""

import pytest

from tasks.liveperson.domains import UntrustedHost, require_trusted_api, trusted_origin

LIVEPERSON = (".liveperson.net", ".liveperson.com")
API = "https://api.liveperson.net"
SIMULATOR = "http://127.0.0.1:8070"


@pytest.mark.parametrize(
    ("base_uri", "api_url", "trusted_hosts", "origin"),
    [
        ("va.msg.liveperson.net", API, LIVEPERSON, "https://va.msg.liveperson.net"),
        ("VA-AT.msg.LivePerson.net", API, LIVEPERSON, "https://va-at.msg.liveperson.net"),
        ("ca-a.sentinel.liveperson.com", API, LIVEPERSON, "https://ca-a.sentinel.liveperson.com"),
        ("va.msg.liveperson.net:8443", API, LIVEPERSON, "https://va.msg.liveperson.net:8443"),
        # A simulator on the same machine.
        ("127.0.0.1:8070", SIMULATOR, LIVEPERSON, "http://127.0.0.1:8070"),
        ("localhost:8070", SIMULATOR, LIVEPERSON, "http://localhost:8070"),
        ("[::1]:8070", "http://localhost:8070", LIVEPERSON, "http://[::1]:8070"),
        ("127.0.0.1:8443", "https://localhost:8443", (), "https://127.0.0.1:8443"),
        # A simulator in a container.
        ("simulator:8070", "http://simulator:8070", ("simulator",), "http://simulator:8070"),
        ("simulator:8070", "http://simulator:8070", ("simulator:8070",), "http://simulator:8070"),
        ("lp.test", "http://api.test", (".test", "api.test"), "http://lp.test"),
        # LivePerson itself is never spoken to in the clear.
        ("va.msg.liveperson.net", SIMULATOR, LIVEPERSON, "https://va.msg.liveperson.net"),
    ],
)
def test_trusted_hosts(
    base_uri: str, api_url: str, trusted_hosts: tuple[str, ...], origin: str
) -> None:
    """Listed hosts are trusted, and loopback hosts beside a Domain API on loopback."""
    assert origin == trusted_origin(base_uri, api_url=api_url, trusted_hosts=trusted_hosts)


@pytest.mark.parametrize(
    "base_uri",
    [
        "evil.example",
        "liveperson.net.evil.example",
        "evilliveperson.net",
        "liveperson.net",
        "evil.example/.liveperson.net",
        "evil.example#.liveperson.net",
        "evil.example?.liveperson.net",
        "evil.example\\.liveperson.net",
        "user@va.msg.liveperson.net",
        "https://va.msg.liveperson.net",
        "va.msg.liveperson.net/path",
        "va.msg.liveperson.net:port",
        "va.msg.liveperson.net\r\nX: y",
        "va.msg.liveperson.net ",
        ".liveperson.net",
        "ｅvil.liveperson.net",  # noqa: RUF001 - a letter that only looks like one
        "127.0.0.1",
        "localhost:8070",
        "2130706433",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        "[fe80::1%25eth0]",
        "169.254.169.254",
        "",
        "a" * 300 + ".liveperson.net",
    ],
)
def test_untrusted_hosts(base_uri: str) -> None:
    """Nothing else is sent a token, whatever it is made to look like."""
    with pytest.raises(UntrustedHost, match="the Domain API"):
        trusted_origin(base_uri, api_url=API, trusted_hosts=LIVEPERSON)


def test_a_loopback_api_does_not_open_other_hosts() -> None:
    """A simulator cannot send tokens to the network."""
    with pytest.raises(UntrustedHost, match="OVERTURE_TRUSTED_HOSTS"):
        trusted_origin("10.0.0.1:8070", api_url=SIMULATOR, trusted_hosts=LIVEPERSON)


@pytest.mark.parametrize(
    ("api_url", "trusted_hosts"),
    [
        (API, LIVEPERSON),
        ("https://gateway.example", LIVEPERSON),
        (SIMULATOR, LIVEPERSON),
        ("http://[::1]:8070", ()),
        ("http://simulator:8070", ("simulator",)),
    ],
)
def test_domain_api_urls_that_may_be_used(api_url: str, trusted_hosts: tuple[str, ...]) -> None:
    """TLS, loopback, or a host that is listed by name."""
    require_trusted_api(api_url, trusted_hosts)


@pytest.mark.parametrize(
    "api_url", ["http://api.liveperson.net", "http://simulator:8070", "http://10.0.0.1"]
)
def test_domain_api_urls_in_the_clear(api_url: str) -> None:
    """Plain http to anywhere else is refused with what to do about it."""
    with pytest.raises(ValueError, match=r"OVERTURE_DOMAIN_API_URL: .* use https"):
        require_trusted_api(api_url, LIVEPERSON)
