"""Our own listener with a certificate (gunicorn's ``--certfile``): clients that spoil their handshakes hold up nobody."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.lifecycle.house import children_of, eventually
from tests.running import Gateway, running_gateway
from tests.wire.certificates import make_authority

COUNT = 30
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
NOBODY.check_hostname = False
NOBODY.verify_mode = ssl.CERT_NONE


def ask(port: int) -> bytes:
    """Return how the answer of a client begins that does all as it should."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        NOBODY.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return tls.recv(64)


def _answers(port: int) -> bool:
    with suppress(OSError):
        return ask(port).startswith(b"HTTP/1.")
    return False


def hello() -> bytes:
    """Return the first message of a handshake."""
    sent = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        NOBODY.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return sent.read()


HELLO = hello()
SPOILT: dict[str, bytes] = {
    "no TLS": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "garbage": b"\xa5" * 20_000,
    "an endless record": b"\x16\x03\x01\xff\xff" + bytes(70_000),
    "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "garbage after its beginning": HELLO + b"\xa5" * 5_000,
    "another name of no host": HELLO.replace(b"localhost", b"loc\xff\x00host"),
    "half a beginning": HELLO[:100],
    "nothing": b"",
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    pem = make_authority(tmp_path_factory.mktemp("tls")).issue("localhost")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.running._answers", _answers)
        with running_gateway(arguments=("--certfile", pem, "--keyfile", pem)) as gateway:
            yield gateway


def _descriptors(gateway: Gateway) -> int:
    return len(os.listdir(f"/proc/{children_of(gateway.process)[0]}/fd"))


def _connect(gateway: Gateway, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    with suppress(OSError):
        connection.sendall(data)
    return connection


def _end(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_handshake_is_one_line_of_the_log_and_holds_up_nobody(kind: str, gateway: Gateway) -> None:
    before, told = _descriptors(gateway), len(gateway.log)
    held = [_connect(gateway, SPOILT[kind]) for _ in range(COUNT)]
    assert ask(gateway.port).startswith(b"HTTP/1.1 200")
    for connection in held:
        _end(connection)
    eventually(lambda: _descriptors(gateway) < before + COUNT // 2)  # the first calls open some
    eventually(lambda: gateway.log[told:].count("Refused a TLS handshake") == COUNT)
    assert "Traceback" not in gateway.log


def test_a_handshake_that_does_not_end_is_ended(gateway: Gateway) -> None:
    with _connect(gateway, HELLO[:50]) as connection:
        connection.settimeout(60)
        with suppress(ConnectionResetError):
            assert connection.recv(10) == b""
    eventually(lambda: "it took too long" in gateway.log)  # the connection ends before the line is written


def test_garbage_after_an_answer_is_one_line_of_the_log(gateway: Gateway) -> None:
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as plain,
        NOBODY.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert tls.recv(64).startswith(b"HTTP/1.1 200")
        os.write(tls.fileno(), b"\xa5" * 300)
        eventually(lambda: "Refused a TLS record" in gateway.log)
    assert "Traceback" not in gateway.log
