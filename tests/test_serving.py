"""Where the server may listen: the table of the loopback rule, and the line printed at start."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.serving import ServingError, curl_line, has_client_keys, is_loopback, is_open, resolve_bind


@pytest.mark.parametrize(
    ("environ", "protected", "bind"),
    [
        ({}, False, "127.0.0.1:8080"),
        ({"PORT": "9000"}, False, "127.0.0.1:9000"),
        ({"PORT": " "}, False, "127.0.0.1:8080"),
        ({"PORT": "0"}, False, "127.0.0.1:0"),
        ({}, True, "0.0.0.0:8080"),
        ({"PORT": "9000"}, True, "0.0.0.0:9000"),
        ({"SLUICE_HOST": "127.0.0.1"}, True, "127.0.0.1:8080"),
        ({"SLUICE_HOST": "localhost"}, False, "localhost:8080"),
        ({"SLUICE_HOST": "::1"}, False, "[::1]:8080"),
        ({"SLUICE_HOST": "[::]"}, True, "[::]:8080"),
        ({"SLUICE_HOST": "gateway.internal", "PORT": "1"}, True, "gateway.internal:1"),
    ],
)
def test_the_bind_address_follows_the_keys(environ: dict[str, str], protected: bool, bind: str) -> None:
    assert resolve_bind(environ, protected=protected) == bind


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "gateway.internal"])
def test_nothing_beyond_loopback_is_bound_without_keys(host: str) -> None:
    with pytest.raises(ServingError, match="no client key is set. Set SLUICE_KEYS"):
        resolve_bind({"SLUICE_HOST": host}, protected=False)


@pytest.mark.parametrize("port", ["http", "-1", "65536", "80.5", "٨٠"])
def test_a_port_that_is_none_is_refused_by_name(port: str) -> None:
    with pytest.raises(ServingError, match="PORT=.* is not a port number"):
        resolve_bind({"PORT": port}, protected=True)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)]
    + [("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("localhost.example", False)],
)
def test_loopback_is_told_from_the_rest(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("environ", "keyed"),
    [
        ({}, False),
        ({"SLUICE_KEYS": "  "}, False),
        ({"SLUICE_KEYS": "ann:secret"}, True),
        ({"SLUICE_MASTER_KEY": "secret"}, True),
        ({"SLUICE_OPEN": "1"}, False),
    ],
)
def test_client_keys_are_seen_in_the_environment(
    environ: dict[str, str], keyed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert has_client_keys(environ) is keyed


@pytest.mark.parametrize(
    ("text", "keyed"),
    [
        ("", False),
        ("[keys]\n", False),
        ("[keys.ann]\nkey = 'secret'\n", True),
        ("master_key = 'env:M'\n", True),
    ],
)
def test_client_keys_are_seen_in_the_file(text: str, keyed: bool, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(text)
    assert has_client_keys({"SLUICE_CONFIG": str(tmp_path / "own.toml")}) is keyed


@pytest.mark.parametrize("content", [None, "keys = [", b"\xff\xfe"])
def test_a_named_file_that_cannot_be_read_is_an_error(content: str | bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ServingError, match=r"own\.toml cannot be read"):
        has_client_keys({"SLUICE_CONFIG": str(file)})


def test_only_the_word_1_opens_the_gateway() -> None:
    assert [is_open({"SLUICE_OPEN": text}) for text in ("1", " 1 ", "0", "", "yes")] == [True, True] + [
        False
    ] * 3


@pytest.mark.parametrize(
    ("host", "keyed", "start"),
    [
        ("127.0.0.1", False, "curl http://127.0.0.1:81/v1/responses -H 'Content-Type"),
        ("0.0.0.0", True, 'curl http://127.0.0.1:81/v1/responses -H "Authorization: Bearer $SLUICE_KEY" -H'),
        ("::", False, "curl http://[::1]:81/v1/responses -H"),
    ],
)
def test_the_line_to_try_names_a_reachable_address(host: str, keyed: bool, start: str) -> None:
    line = curl_line(host, 81, keyed=keyed)
    assert line.startswith(start)
    assert line.endswith("""-d '{"model": "sandbox/echo", "input": "Hello"}'""")
