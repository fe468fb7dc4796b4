"""TLS and proxies over real sockets: private authorities, client certificates, CONNECT, NO_PROXY."""

from __future__ import annotations

import base64
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
import urllib3
from cryptography.hazmat.primitives import serialization
from gevent.server import StreamServer

from app.wire import egress, requests_adapter
from app.wire.clocks import Clocks
from app.wire.egress import Egress, Transport
from app.wire.tls import Trust
from app.wire.upstream import TransportError
from tests.wire.certificates import Authority, make_authority
from tests.wire.servers import Received, always, answer, chunked, read_request, serving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


def get(transport: Transport, url: str, clocks: Clocks) -> bytes:
    return transport.open("GET", url, {"Authorization": "Bearer k"}, clocks=clocks, stream=False).read()


def kind_of(transport: Transport, url: str, clocks: Clocks) -> str:
    with pytest.raises(TransportError) as caught:
        get(transport, url, clocks)
    assert "127.0.0.1" not in caught.value.message
    return caught.value.kind.name


# --- authorities ------------------------------------------------------------------------------------


def test_a_private_authority_is_trusted_wherever_it_is_named(
    authority: Authority, clocks: Clocks, tmp_path: Path
) -> None:
    plain, hashed = tmp_path / "plain", tmp_path / "hashed"
    for folder in (plain, hashed):
        folder.mkdir()
        shutil.copy(authority.ca, folder / "private.crt")
    subprocess.run(["openssl", "rehash", hashed], check=True, capture_output=True, timeout=30)
    transports = {
        "SSL_CERT_FILE": Egress({"SSL_CERT_FILE": authority.ca}).transport(),
        "ssl_cert_file": Egress({"ssl_cert_file": authority.ca}).transport(),
        "REQUESTS_CA_BUNDLE": Egress({"REQUESTS_CA_BUNDLE": authority.ca}).transport(),
        "CURL_CA_BUNDLE": Egress({"CURL_CA_BUNDLE": authority.ca}).transport(),
        "SSL_CERT_DIR": Egress({"SSL_CERT_DIR": f"{tmp_path}:{plain}"}).transport(),
        "SSL_CERT_DIR, hashed": Egress({"SSL_CERT_DIR": str(hashed)}).transport(),
        "provider": Egress().transport(ca_bundle=authority.ca),
        "provider, folder": Egress().transport(ca_bundle=str(plain)),
    }
    with serving(always(answer()), tls=authority.server_context("127.0.0.1")) as server:
        for name, transport in transports.items():
            assert get(transport, server.url(scheme="https"), clocks) == b"{}", name
        assert kind_of(Egress().transport(), server.url(scheme="https"), clocks) == "upstream_tls"


def test_authorities_are_added_and_never_replace_the_default_ones(authority: Authority) -> None:
    alone = egress.tls.Trust().context().cert_store_stats()["x509_ca"]
    added = egress.tls.Trust((authority.ca,)).context().cert_store_stats()["x509_ca"]
    assert added == alone + 1 > 50


@pytest.mark.parametrize("host", ["localhost", "other.example"])
def test_a_certificate_for_another_name_is_refused(authority: Authority, clocks: Clocks, host: str) -> None:
    transport = Egress().transport(ca_bundle=authority.ca)
    with serving(always(answer()), tls=authority.server_context(host)) as server:
        assert kind_of(transport, server.url(scheme="https"), clocks) == "upstream_tls"
    assert server.requests == []


def test_a_plain_server_under_https_is_a_tls_fault(clocks: Clocks) -> None:
    listener = StreamServer(("127.0.0.1", 0), lambda sock, _: sock.sendall(answer(status="400 Bad Request")))
    listener.start()
    try:
        url = f"https://127.0.0.1:{listener.server_port}/"
        assert kind_of(Egress().transport(), url, clocks) == "upstream_tls"
    finally:
        listener.stop()


def test_a_client_certificate_is_shown(authority: Authority, clocks: Clocks) -> None:
    ours = authority.issue("client.example", name="client")
    context = authority.server_context("127.0.0.1", demand_client=True)
    with serving(always(answer()), tls=context) as server:
        url = server.url(scheme="https")
        for client_cert in (ours, (ours, ours)):
            transport = Egress().transport(ca_bundle=authority.ca, client_cert=client_cert)
            assert get(transport, url, clocks) == b"{}"
        assert kind_of(Egress().transport(ca_bundle=authority.ca), url, clocks) in (
            "upstream_tls",
            "upstream_unreachable",
        )


@pytest.mark.parametrize("environ", [{"SSL_CERT_FILE": "/no/such/file"}, {"SSL_CERT_DIR": "/no/such/folder"}])
def test_an_authority_that_is_not_there_is_reported_at_start(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="/no/such/"):
        Egress(environ)
    with pytest.raises(ValueError, match="/no/such/"):
        Egress().transport(ca_bundle="/no/such/bundle")


def test_a_new_connection_does_not_load_the_authorities_again(
    authority: Authority, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = ssl.SSLContext.load_verify_locations

    def counted(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:
        loads.append(kwargs)
        load(self, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    gateway = Egress({"SSL_CERT_FILE": authority.ca})
    assert loads == []  # nothing before the first use
    closing = answer(headers=("Connection: close",))
    with serving(always(closing), tls=authority.server_context("127.0.0.1")) as server:
        loads.clear()
        first = gateway.transport()
        get(first, server.url(scheme="https"), clocks)
        once = len(loads)
        assert once >= 2  # certifi's and the private one
        for transport in (first, gateway.transport()):
            for _ in range(5):
                get(transport, server.url(scheme="https"), clocks)
    assert server.connections == 11
    assert len(loads) == once


def test_a_tls_connection_is_used_again(authority: Authority, clocks: Clocks) -> None:
    transport = Egress().transport(ca_bundle=authority.ca)
    with serving(always(chunked(b"a", b"b")), tls=authority.server_context("127.0.0.1")) as server:
        for _ in range(5):
            assert get(transport, server.url(scheme="https"), clocks) == b"ab"
    assert server.connections == 1


def test_what_comes_over_tls_can_be_taken_on_arrival(authority: Authority, clocks: Clocks) -> None:
    def script(sock: Any, _: Received) -> bool:
        sock.sendall(chunked(end=False))
        for number in range(20):
            gevent.sleep(0.01)
            sock.sendall(b"1\r\n%X\r\n" % (number % 16))
        sock.sendall(b"0\r\n\r\n")
        return True

    taken: list[bytes] = []
    transport = Egress().transport(ca_bundle=authority.ca)
    with serving(script, tls=authority.server_context("127.0.0.1")) as server:
        upstream = transport.open("GET", server.url(scheme="https"), {}, clocks=clocks, stream=True)
        rest = upstream.read_within(None, lambda content: taken.append(content) is None)
    assert (b"".join(taken) + (rest or b"")).startswith(b"0123456789ABCDEF0123")
    assert len(taken) > 15


def test_an_abort_ends_a_tls_read_at_once(authority: Authority, clocks: Clocks) -> None:
    def script(sock: Any, _: Received) -> bool:
        sock.sendall(chunked(b"first", end=False))
        gevent.sleep(5)
        return False

    transport = Egress().transport(ca_bundle=authority.ca)
    with serving(script, tls=authority.server_context("127.0.0.1")) as server:
        upstream = transport.open("GET", server.url(scheme="https"), {}, clocks=clocks, stream=True)
        assert upstream.read1() == b"first"
        reason = egress.TransportError("cancelled", "by the client")
        gevent.spawn_later(0.05, upstream.abort, reason)
        with gevent.Timeout(0.5), pytest.raises(TransportError, match="by the client"):
            upstream.read1()


# --- proxies ----------------------------------------------------------------------------------------


class Proxy:
    """A forward proxy: CONNECT tunnels and plain requests, with a password if one is set."""

    def __init__(self, password: str | None = None, page: bytes | None = None) -> None:
        self.seen: list[str] = []
        self._password = password
        self._page = page
        self.port = 0

    def converse(self, sock: Any, _: Any) -> None:
        file = sock.makefile("rb", buffering=0)
        while (request := read_request(file)) is not None:
            self.seen.append(request.line)
            if self._page is not None:
                sock.sendall(self._page)
            elif request.header("proxy-authorization") != self._credentials():
                sock.sendall(answer(b"<html>log in</html>", status="407 Proxy Authentication Required"))
            elif request.line.startswith("CONNECT"):
                self._tunnel(sock, request.line.split()[1])
            else:
                assert request.header("authorization") == "Bearer k"
                sock.sendall(answer(b"from the proxy"))

    def _credentials(self) -> str | None:
        if self._password is None:
            return None
        return "Basic " + base64.b64encode(f"user:{self._password}".encode()).decode()

    def _tunnel(self, sock: Any, target: str) -> None:
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as onward:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ways = [gevent.spawn(_pump, sock, onward), gevent.spawn(_pump, onward, sock)]
            gevent.joinall(ways, count=1)
            gevent.killall(ways)


def _pump(source: Any, sink: Any) -> None:
    while data := source.recv(65536):
        sink.sendall(data)


@contextmanager
def running(proxy: Proxy, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    options = {"ssl_context": tls} if tls else {}
    listener = StreamServer(("127.0.0.1", 0), proxy.converse, **options)
    listener.start()
    proxy.port = listener.server_port
    try:
        yield proxy
    finally:
        listener.stop(timeout=0)


@pytest.mark.parametrize("password", [None, "p@ss:w"])
@pytest.mark.parametrize("secured", [False, True])
def test_https_goes_through_a_tunnel(
    authority: Authority, clocks: Clocks, password: str | None, secured: bool
) -> None:
    tls = authority.server_context("127.0.0.1")
    with serving(always(answer(b"end to end")), tls=tls) as server:
        with running(Proxy(password), tls if secured else None) as proxy:
            login = "user:p%40ss%3Aw@" if password else ""
            address = f"{'https' if secured else 'http'}://{login}127.0.0.1:{proxy.port}"
            environ = {"https_proxy": address, "SSL_CERT_FILE": authority.ca}
            transport = Egress(environ).transport()
            for _ in range(3):
                assert get(transport, server.url(scheme="https"), clocks) == b"end to end"
    assert [line.rpartition("/")[0] for line in proxy.seen] == [f"CONNECT 127.0.0.1:{server.port} HTTP"]
    assert server.connections == 1
    assert server.requests[0].header("proxy-authorization") is None


def test_plain_http_goes_through_the_proxy_in_full(clocks: Clocks) -> None:
    with running(Proxy("secret")) as proxy:
        transport = Egress({"HTTP_PROXY": f"http://user:secret@127.0.0.1:{proxy.port}"}).transport()
        assert get(transport, "http://ollama.internal:11434/v1/chat?x=1", clocks) == b"from the proxy"
    assert proxy.seen == ["GET http://ollama.internal:11434/v1/chat?x=1 HTTP/1.1"]


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "127.0.0.0/8", "localhost,127.0.0.1", "*"])
def test_no_proxy_goes_direct(clocks: Clocks, no_proxy: str) -> None:
    with serving(always(answer())) as server, running(Proxy()) as proxy:
        transport = Egress({"ALL_PROXY": f"127.0.0.1:{proxy.port}", "NO_PROXY": no_proxy}).transport()
        assert get(transport, server.url(), clocks) == b"{}"
    assert proxy.seen == []


def test_a_providers_own_proxy_wins_over_the_environment(clocks: Clocks) -> None:
    environ = {"ALL_PROXY": "http://127.0.0.1:9", "NO_PROXY": "*"}
    with serving(always(answer())) as server, running(Proxy()) as proxy:
        assert (
            get(Egress(environ).transport(proxy=f"127.0.0.1:{proxy.port}"), server.url(), clocks)
            == b"from the proxy"
        )
        assert (
            get(Egress({"ALL_PROXY": "127.0.0.1:9"}).transport(proxy="direct"), server.url(), clocks) == b"{}"
        )


BLOCK_PAGE = answer(b"<html>blocked by policy</html>", headers=("Content-Type: text/html; charset=utf-8",))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "page", [None, BLOCK_PAGE.replace(b"200 OK", b"403 Forbidden")], ids=["407", "block page"]
)
def test_a_proxy_that_refuses_is_named_as_the_culprit(
    clocks: Clocks, scheme: str, page: bytes | None
) -> None:
    with running(Proxy("needed", page)) as proxy:
        transport = Egress().transport(proxy=f"127.0.0.1:{proxy.port}")
        assert kind_of(transport, f"{scheme}://provider.invalid/v1", clocks) == "egress_proxy"


@pytest.mark.parametrize("page", [b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"no HTTP at all\r\n"])
def test_a_tunnel_that_is_not_made_is_the_proxys_fault(clocks: Clocks, page: bytes) -> None:
    with running(Proxy(page=page)) as proxy:
        transport = Egress().transport(proxy=f"127.0.0.1:{proxy.port}")
        assert kind_of(transport, "https://provider.invalid/v1", clocks) == "egress_proxy"


def test_a_block_page_with_200_is_no_answer(clocks: Clocks) -> None:
    with running(Proxy(page=BLOCK_PAGE)) as proxy:
        transport = Egress().transport(proxy=f"127.0.0.1:{proxy.port}")
        assert kind_of(transport, "http://provider.invalid/", clocks) == "egress_proxy"


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9", "http://no-such-proxy.invalid:3128", "socks5://127.0.0.1:9"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_used_is_named_as_the_culprit(
    clocks: Clocks, address: str, scheme: str
) -> None:
    transport = Egress({"ALL_PROXY": address}).transport()
    assert kind_of(transport, f"{scheme}://provider.invalid/", clocks) == "egress_proxy"


def test_what_tls_has_decrypted_is_not_waited_for(authority: Authority, clocks: Clocks) -> None:
    transport = Egress().transport(ca_bundle=authority.ca)

    def script(sock: Any, _: Received) -> bool:
        sock.sendall(chunked(end=False))
        gevent.sleep(0.02)
        sock.sendall(b"10\r\n0123456789abcdef\r\n")
        gevent.sleep(30)
        return False

    with serving(script, tls=authority.server_context("127.0.0.1")) as server:
        upstream = transport.open("GET", server.url(scheme="https"), {}, clocks=clocks, stream=True)
        assert b"".join(upstream.read1(5) for _ in range(4)) == b"0123456789abcdef"
        upstream.close()


# --- what we use of others' inside ------------------------------------------------------------------


def test_the_live_response_is_where_urllib3_keeps_it(clocks: Clocks) -> None:
    """The one private name of urllib3 in use; this fails when an upgrade moves it."""
    with serving(always(answer(b"body"))) as server, ExitStack() as stack:
        adapter: Any = Egress().transport()._ways.adapter()
        pieces = iter([b"in ", b"pieces"])  # a whole body takes the direct way
        live = adapter.send_by_requests("POST", server.url(), {}, pieces, (5.0, None))
        stack.callback(live.drop)
        assert live.read1(100) == b"body"
    with pytest.raises(TypeError, match="no longer"):
        requests_adapter.RequestsExchange(urllib3.HTTPResponse(b""))


def test_a_socket_has_what_is_waited_for_where_gevent_keeps_it() -> None:
    """The one private name of gevent in use; without it a read is tried in vain first."""
    with gevent.socket.socket() as sock:
        assert hasattr(sock, "_read_event")


def test_an_encrypted_key_is_refused_and_nobody_is_asked(authority: Authority, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(Path(authority.issue("h", name="own")).read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    certificate = authority.issue("h", name="other")
    with pytest.raises(ValueError, match="encrypted"):
        Trust((), (certificate, str(locked))).context()
