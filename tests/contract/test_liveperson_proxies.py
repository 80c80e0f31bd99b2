"""The way through a proxy: what it refuses was not sent, and its password is shown to nobody."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest
from structlog.testing import capture_logs

from tasks.liveperson import environment
from tasks.liveperson.answer import Kind
from tasks.liveperson.environment import UnusableEnvironment, proxy_for, proxy_passwords, trusting
from tasks.liveperson.http import FateUnknown, Http, NotSent
from tests.raw_liveperson import (
    CREATED,
    LivePerson,
    chunked,
    client_of,
    create,
    http_answer,
    says,
)
from tests.raw_server import Connection, RawServer, Request

USER, PASSWORD = "operator", "p%40ss canary"
CREDENTIALS = "Basic " + base64.b64encode(b"operator:p@ss canary").decode()
TUNNEL = b"HTTP/1.1 200 Connection established\r\nVia: a proxy\r\n\r\n"


class Proxy:
    """A proxy that opens tunnels and passes on what is written in full, unless told otherwise."""

    def __init__(self, refusal: bytes = b"") -> None:
        self.refusal = refusal
        self.server = RawServer(self._behave)

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *ending: object) -> None:
        self.server.__exit__(None, None, None)

    @property
    def requests(self) -> list[Request]:
        return self.server.requests

    def _behave(self, connection: Connection, request: Request) -> None:
        if self.refusal:
            connection.send(self.refusal)
            connection.close()
            return
        method, target, _ = request.line.split(" ")
        if method == "CONNECT":
            with _reached(target) as origin:
                connection.send(TUNNEL)
                _pass_on(connection.sock, origin)
            connection.close()
            return
        host, _, path = target.removeprefix("http://").partition("/")
        with _reached(host) as origin:
            lines = [f"{method} /{path} HTTP/1.1", f"Host: {host}"]
            lines += [f"Content-Length: {len(request.body)}", "Connection: close", "", ""]
            origin.sendall("\r\n".join(lines).encode() + request.body)
            connection.send(origin.recv(65536))


@contextmanager
def _reached(host: str) -> Iterator[socket.socket]:
    name, _, port = host.rpartition(":")
    with socket.create_connection((name, int(port))) as origin:
        yield origin


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_copy, args=(other, one), daemon=True)
    back.start()
    _copy(one, other)
    back.join(10)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while octets := source.recv(65536):
            target.sendall(octets)
        target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Have the environment name a proxy."""
    with Proxy() as found:
        use(monkeypatch, found)
        yield found


def use(monkeypatch: pytest.MonkeyPatch, proxy: Proxy) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://{USER}:{PASSWORD}@{proxy.server.host}")


class TLSOrigin(RawServer):
    """An origin behind TLS that answers once it was asked."""

    def __init__(self, certificate: Path, answer: bytes | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        super().__init__(self._behave, greeting=self._shake_hands)
        self.answer = http_answer() if answer is None else answer

    def _shake_hands(self, connection: Connection) -> bool:
        connection.sock = self.context.wrap_socket(connection.sock, server_side=True)
        return False

    def _behave(self, connection: Connection, _request: Request) -> None:
        if self.answer:
            connection.send(self.answer)
        else:
            connection.close()


@contextmanager
def calls(certificate: Path | None = None) -> Iterator[Http]:
    context = ssl.create_default_context(cafile=f"{certificate}.crt") if certificate else None
    http = Http(
        pool_size=1,
        connect_timeout=5,
        read_timeout=5,
        user_agent="overture/0.0.0",
        context=context,
    )
    try:
        yield http
    finally:
        http.close()


def test_a_tunnel_is_kept_like_any_connection(certificate: Path, proxy: Proxy) -> None:
    """The proxy is told the host and its own credentials, and sees nothing else."""
    with TLSOrigin(certificate, chunked(CREATED)) as origin, calls(certificate) as http:
        for _ in range(2):
            answer = http.call("POST", f"https://{origin.host}/a?b", headers={}, body=b"[]")
            assert answer.body == CREATED
        assert [request.line for request in origin.requests] == ["POST /a?b HTTP/1.1"] * 2
        assert "proxy-authorization" not in origin.requests[0].headers
    (request,) = proxy.requests
    assert request.line.startswith(f"CONNECT {origin.host} HTTP/1.")
    assert request.headers["proxy-authorization"] == CREDENTIALS


def test_in_the_clear_the_proxy_is_told_the_whole_url(proxy: Proxy) -> None:
    """Its credentials are for it alone."""
    with RawServer(LivePerson(says(http_answer()))) as server, client_of(server) as client:
        assert create(client).kind is Kind.CREATED
    lines = [request.line.split(" ")[1] for request in proxy.requests]
    assert len(lines) == 2
    assert all(line.startswith(f"http://{server.host}/api/account/") for line in lines)
    assert {one.headers["proxy-authorization"] for one in proxy.requests} == {CREDENTIALS}
    assert all(request.headers["host"] == server.host for request in proxy.requests)


@pytest.mark.parametrize(
    "refusal",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\n<html",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b"not a proxy\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\r\n",
    ],
)
def test_without_a_tunnel_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, refusal: bytes
) -> None:
    """Refused, or closed behind the answer: the origin has seen nothing."""
    with TLSOrigin(certificate) as origin, Proxy(refusal) as proxy, calls(certificate) as http:
        use(monkeypatch, proxy)
        with pytest.raises(NotSent, match=f"through the proxy {proxy.server.host}: ") as caught:
            http.call("POST", f"https://{origin.host}/", headers={}, body=b"[]")
        assert origin.requests == []
    assert "canary" not in str(caught.value)


def test_what_a_tunnel_loses_may_have_arrived(certificate: Path, proxy: Proxy) -> None:
    """Behind the request's first byte it is as without a proxy."""
    del proxy
    with TLSOrigin(certificate, b"") as origin, calls(certificate) as http:
        with pytest.raises(FateUnknown):
            http.call("POST", f"https://{origin.host}/", headers={}, body=b"[]")
        assert len(origin.requests) == 1


def test_what_a_proxy_says_of_a_request_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose credentials it wants was not passed on; what it says of the origin is the origin's."""
    for status, kind in (("407 Denied", Kind.NOT_SENT), ("502 Bad Gateway", Kind.UNKNOWN)):
        monkeypatch.delenv("HTTP_PROXY", raising=False)
        with RawServer(LivePerson()) as server, client_of(server) as client:
            client.domains.base_url("asyncMessagingEnt")
            with Proxy(http_answer(status, b"")) as proxy:
                use(monkeypatch, proxy)
                client._http.close()
                assert create(client).kind is kind


def test_a_proxy_that_cannot_be_reached_is_named(
    monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    """By host and port alone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("HTTPS_PROXY", f"http://{USER}:{PASSWORD}@{host}")
    with calls(certificate) as http, pytest.raises(NotSent) as caught:
        http.call("GET", "https://service.example/", headers={})
    said = str(caught.value)
    assert said.startswith(f"cannot connect to service.example through the proxy {host}: ")
    assert "refused" in said
    assert "canary" not in said


def test_no_log_holds_the_password_of_a_proxy(
    certificate: Path, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even at the level at which everything is told; every line would be freed of it."""
    del proxy
    caplog.set_level(logging.DEBUG)
    with TLSOrigin(certificate) as origin, calls(certificate) as http, capture_logs() as lines:
        http.call("GET", f"https://{origin.host}/", headers={})
        found = proxy_for(f"https://{origin.host}")
    assert found is not None
    for text in (f"{lines}{caplog.text}", repr(found), str(found)):
        assert CREDENTIALS.split()[1] not in text
        assert "canary" not in text
    assert {"p%40ss canary", "p@ss canary"} <= proxy_passwords()


@pytest.mark.parametrize(
    ("variables", "origin", "proxy"),
    [
        ({}, "https://a.example", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://a.example", "p:1"),
        ({"https_proxy": "http://p:1"}, "https://a.example", "p:1"),
        ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "https://a.example", "p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://a.example", None),
        ({"HTTP_PROXY": "http://p:1"}, "https://a.example", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://127.0.0.1:8070", "p:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://a.example", "p:1"),
        ({"ALL_PROXY": "socks5://s:1", "HTTPS_PROXY": "p"}, "https://a.example", "p:80"),
        ({"HTTPS_PROXY": "p:3128"}, "https://a.example", "p:3128"),
        ({"HTTPS_PROXY": ""}, "https://a.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://a.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b, .example"}, "https://a.example", None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "a.example:443"}, "https://a.example", "p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3:80", None),
    ],
)
def test_the_environment_is_read_as_requests_reads_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], origin: str, proxy: str | None
) -> None:
    """In either case, and with exceptions."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(origin)
    assert (None if found is None else str(found)) == proxy


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("socks5://canary:canary@s:1", "HTTPS_PROXY names a socks5 proxy: only an HTTP proxy"),
        ("socks5h://s:1", "HTTPS_PROXY names a socks5h proxy: only an HTTP proxy"),
        ("https://s:1", "HTTPS_PROXY names a https proxy: only an HTTP proxy"),
        ("http://canary:canary@:1", "HTTPS_PROXY cannot be read as the URL of a proxy"),
        ("http://canary:canary@p:port", "HTTPS_PROXY cannot be read as the URL of a proxy"),
        ("http://canary:canary€@p:1", "HTTPS_PROXY cannot be read as the URL of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    """It is not passed over: whoever names one does not want to be connected without."""
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(UnusableEnvironment) as caught:
        proxy_for("https://a.example")
    assert str(caught.value).startswith(said)
    assert "canary" not in str(caught.value)
    with calls() as http, pytest.raises(NotSent, match=said) as not_sent:
        http.call("GET", "https://a.example/", headers={})
    assert not_sent.value.is_ours


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_certificates_named_are_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificate: Path, variable: str, kind: str
) -> None:
    """A file of them, or a folder as OpenSSL wants it."""
    path = Path(f"{certificate}.crt")
    if kind == "folder":
        path = tmp_path / "certificates"
        path.mkdir()
        (path / "one.pem").write_text(Path(f"{certificate}.crt").read_text())
        subprocess.run(["openssl", "rehash", str(path)], check=True, capture_output=True)
        variable = variable.replace("_FILE", "_DIR")
    monkeypatch.setenv(variable, str(path))
    with TLSOrigin(certificate) as origin:
        http = Http(
            pool_size=1,
            connect_timeout=5,
            read_timeout=5,
            user_agent="overture/0.0.0",
            context=trusting(),
        )
        assert http.call("GET", f"https://{origin.host}/", headers={}).status == 200
        http.close()


def test_a_bundle_is_trusted_alone(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """As requests has it; the first of the two variables counts."""
    usual = trusting().cert_store_stats()["x509_ca"]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{certificate}.crt")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/nowhere")
    assert trusting().cert_store_stats()["x509"] == 1
    assert usual > 1


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), ("nothing", "no certificate in PEM")]
)
def test_a_bundle_that_cannot_be_used_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, why: str
) -> None:
    """It names the variable and the file."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with pytest.raises(UnusableEnvironment) as caught:
        trusting()
    said = str(caught.value)
    assert said.startswith(f"REQUESTS_CA_BUNDLE names {bundle}, which cannot be used: ")
    assert why in said


def test_what_openssl_passes_over_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would else be missed only when somebody is not trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    said = "SSL_CERT_FILE names /nowhere.pem, which is not there, and so is not looked at"
    assert environment.missing_certificates() == [said]
