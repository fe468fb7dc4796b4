"""Where the server may listen: the table of the loopback rule, and the line printed at start."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.bind_address import (
    ServingError,
    curl_line,
    has_client_keys,
    is_loopback,
    is_protected,
    resolve_bind,
    turn_newcomers_away,
)
from app.config import Settings
from app.config_loading import load

SettingsOf = Callable[[dict[str, str]], Settings]


@pytest.fixture
def settings_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsOf:
    """Load settings in a folder without a configuration file."""
    monkeypatch.chdir(tmp_path)
    return load


@pytest.mark.parametrize(
    ("environ", "bind"),
    [
        ({}, "127.0.0.1:8080"),
        ({"PORT": "9000"}, "127.0.0.1:9000"),
        ({"PORT": " "}, "127.0.0.1:8080"),
        ({"PORT": "0"}, "127.0.0.1:0"),
        ({"SLUICE_OPEN": "1"}, "0.0.0.0:8080"),
        ({"SLUICE_KEYS": "ann:secret", "PORT": "9000"}, "0.0.0.0:9000"),
        ({"SLUICE_MASTER_KEY": "secret", "SLUICE_HOST": "127.0.0.1"}, "127.0.0.1:8080"),
        ({"SLUICE_HOST": "localhost"}, "localhost:8080"),
        ({"SLUICE_HOST": "::1"}, "[::1]:8080"),
        ({"SLUICE_OPEN": "1", "SLUICE_HOST": "[::]"}, "[::]:8080"),
        ({"SLUICE_OPEN": "1", "SLUICE_HOST": "gateway.internal", "PORT": "1"}, "gateway.internal:1"),
    ],
)
def test_the_bind_address_follows_the_keys(
    environ: dict[str, str], bind: str, settings_of: SettingsOf
) -> None:
    assert resolve_bind(settings_of(environ)) == bind


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "gateway.internal"])
def test_nothing_beyond_loopback_is_bound_without_keys(host: str, settings_of: SettingsOf) -> None:
    with pytest.raises(ServingError, match="no client key is set. Set SLUICE_KEYS"):
        resolve_bind(settings_of({"SLUICE_HOST": host}))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)]
    + [("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("localhost.example", False)],
)
def test_loopback_is_told_from_the_rest(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("environ", "keyed", "protected"),
    [
        ({}, False, False),
        ({"SLUICE_KEYS": "  "}, False, False),
        ({"SLUICE_KEYS": "ann:secret"}, True, True),
        ({"SLUICE_MASTER_KEY": "secret"}, True, True),
        ({"SLUICE_OPEN": "1"}, False, True),
        ({"SLUICE_OPEN": "0"}, False, False),
    ],
)
def test_keys_or_the_operators_word_protect_the_server(
    environ: dict[str, str], keyed: bool, protected: bool, settings_of: SettingsOf
) -> None:
    settings = settings_of(environ)
    assert (has_client_keys(settings), is_protected(settings)) == (keyed, protected)


@pytest.mark.parametrize(
    ("text", "keyed"),
    [
        ("", False),
        ("[keys]\n", False),
        ("[keys.ann]\nkey = 'secret'\n", True),
        ("[server]\nmaster_key = 'env:M'\n", True),
    ],
)
def test_client_keys_are_seen_in_the_file(text: str, keyed: bool, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(text)
    settings = load({"SLUICE_CONFIG": str(tmp_path / "own.toml"), "M": "secret"})
    assert has_client_keys(settings) is keyed


@pytest.mark.parametrize(
    ("host", "keyed", "start"),
    [
        ("127.0.0.1", False, "curl http://127.0.0.1:81/v1/responses -H 'Content-Type"),
        ("0.0.0.0", True, 'curl http://127.0.0.1:81/v1/responses -H "Authorization: Bearer $SLUICE_KEY" -H'),
        ("::", False, "curl http://[::1]:81/v1/responses -H"),
    ],
)
def test_the_line_to_try_names_a_reachable_address(host: str, keyed: bool, start: str) -> None:
    line = curl_line((host, 81), keyed=keyed)
    assert line.startswith(start)
    assert line.endswith("""-d '{"model": "sandbox/echo", "input": "Hello"}'""")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a filter of Linux")
def test_newcomers_are_turned_away_and_who_was_there_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address) as waiting, socket.socket() as newcomer:
            turn_newcomers_away(listener)
            newcomer.settimeout(0.2)
            with pytest.raises(TimeoutError):
                newcomer.connect(address)
            waiting.sendall(b"request")
            taken, _ = listener.accept()
            with taken:
                taken.sendall(taken.recv(16))
                assert waiting.recv(16) == b"request"


@pytest.mark.parametrize(
    "path, shown",
    [("/run/sluice.sock", "/run/sluice.sock"), ("/a b", "'/a b'"), (b"\0abstract", "@abstract")],
)
def test_the_line_for_a_unix_socket_goes_through_it(path: str | bytes, shown: str) -> None:
    line = curl_line(path, keyed=False)
    assert line.startswith(f"curl --unix-socket {shown} http://localhost/v1/responses -H ")
