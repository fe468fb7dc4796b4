"""Configurations that mean harm or are broken: each is one sentence with its place, soon, and never a traceback."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from marshmallow import Schema, fields

from app.config_loading import ConfigError, load
from app.config_loading.display import describe, visible_members
from app.config_loading.members import EGRESS_VARIABLES, KEYS_VARIABLE, MEMBERS
from app.config_loading.schemas import FILE
from app.config_loading.tables import TableOf
from app.diagnostics.configuration import advice_of
from app.providers import PROVIDERS
from app.providers.registry import configured_names

DEEP = "a." * 20_000 + 'b = "x"\n'
FILES: dict[str, tuple[bytes, str]] = {
    "a folder": (b"", "own.toml: cannot be read: Is a directory"),
    "a pipe": (b"", "own.toml: cannot be read: it is a pipe or a device, no file"),
    "in UTF-16": ("[server]".encode("utf-16"), "own.toml: cannot be read: it is not UTF-8"),
    "in Latin-1": ('[keys."ä"]'.encode("latin-1"), "own.toml: cannot be read: it is not UTF-8"),
    "huge": (b"#" * 5_000_000, "own.toml: cannot be read: it has more than 4,194,304 characters"),
    "a long number": (
        b"[server]\nport=" + b"9" * 5000,
        "own.toml: holds a whole number of too many digits",
    ),
    "deep arrays": (
        b"server=" + b"[" * 20_000 + b"]" * 20_000,
        "own.toml: is nested deeper than 32 levels",
    ),
    "deep names": (DEEP.encode(), "own.toml: is nested deeper than 32 levels"),
    "deep options": (
        f"[providers.groq.options]\n x = {{{DEEP.strip()}}}".encode(),
        "own.toml: is nested deeper than 32 levels",
    ),
    "a deep section": (f"[keys.{DEEP[:-8]}c]".encode(), "own.toml: is nested deeper than 32 levels"),
    "deep tables": (
        b"server=" + b"{a=" * 40 + b"1" + b"}" * 40,
        "own.toml: is nested deeper than 32 levels",
    ),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _end() -> Iterator[None]:
    """A hang ends the test."""
    signal.alarm(60)
    yield
    signal.alarm(0)


def faults(text: str | bytes = "", **environ: str) -> list[str]:
    """Return the faults of a file and variables; settings without any must bear to be shown."""
    Path("own.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return faults_of_file(**environ)


def faults_of_file(**environ: str) -> list[str]:
    try:
        settings = load({**environ, "SLUICE_CONFIG": "own.toml"})
    except ConfigError as error:
        return str(error).split("\n")
    list(advice_of(settings, environ))
    list(describe(settings, configured_names(settings)))
    visible_members(settings)
    return []


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_cannot_be_taken_is_one_fault(kind: str) -> None:
    content, fault = FILES[kind]
    if kind == "a folder":
        Path("own.toml").mkdir()
    elif kind == "a pipe":
        os.mkfifo("own.toml")
    else:
        Path("own.toml").write_bytes(content)
    assert faults_of_file() == [fault]


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf[server]\nport=8080\n", b"[server]\r\nport=8080\r\n"])
def test_a_file_as_windows_writes_it_is_read(content: bytes) -> None:
    Path("own.toml").write_bytes(content)
    assert load({}, "own.toml").port == 8080


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("pipe", "cannot be read: it is a pipe or a device, no file"),
        ("folder", "cannot be read: Is a directory"),
        ("absent", "cannot be read: No such file or directory"),
        ("long", "cannot be read: it has more than 65,536 characters"),
        ("binary", "cannot be read: it is not UTF-8"),
        ("blank", "is empty"),
    ],
)
def test_a_secret_in_a_file_that_cannot_be_taken_is_one_fault(kind: str, fault: str) -> None:
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("long").write_bytes(b"x" * 70_000)
    Path("binary").write_bytes(b"\xff\xfe\x00")
    Path("blank").write_bytes(b" \n")
    text = f'[providers.groq]\napi_key = "file:{kind}"\n'
    assert faults(text) == [f"providers.groq.api_key: names a file that {fault}"]


def test_authorities_in_a_pipe_are_a_fault() -> None:
    os.mkfifo("pipe")
    fault = "the CA bundle pipe is neither a file nor a folder"
    assert faults(SSL_CERT_FILE="pipe") == [f"environment: SSL_CERT_FILE: {fault}"]


VALUES = [
    *("1", "-1", "1.5", "1e308", "nan", "-inf", "9" * 30, "true", "1979-05-27", "07:32:00"),
    *('""', '"a\\u0000b"', '"a\\nb"', '"\\U0010FFFF"', '"а/*"', '"(a+)+$"', '"*"', '"redis://[::1"'),
    *('"https://u:p@h"', '"http://h:99999"', '"http://[::1"', '"file:/tmp"', '"env:NOPE"', '"5m"'),
    *("[]", "{}", "[[]]", "[1]", '["a"]', "[{}]", "{a=1}", "{a={}}", '[1.5,"x",[]]', "[{ttl=1}]"),
]


def _places(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in schema.fields.items():
        yield from _places_below(field, (*path, name))


def _places_below(field: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(field, TableOf):
        yield from _places_below(field.value, (*path, "openai" if path[-1] == "providers" else "n"))
    elif isinstance(field, fields.List):
        yield from _places_below(field.inner, (*path, "[]"))
    elif isinstance(field, fields.Nested):
        yield from _places(field.schema, path)


@pytest.mark.parametrize("value", VALUES)
def test_no_value_at_any_place_of_the_file_is_an_internal_error(value: str) -> None:
    for first, *rest in _places(FILE):
        text = value
        for step in reversed(rest):
            text = f"[{text}]" if step == "[]" else f"{{{step}={text}}}"
        for fault in faults(f"{first} = {text}\n"):
            assert fault.startswith(first), text


def _variables() -> set[str]:
    ours = {KEYS_VARIABLE, *EGRESS_VARIABLES, *(member.variable for member in MEMBERS)}
    for row in PROVIDERS.values():
        ours |= {*row.keys, *row.urls, *row.chain}
        ours |= {name for option in row.options.values() for name in option.variables}
    return ours


@pytest.mark.parametrize(
    "value",
    [
        *(
            "-1",
            "1e400",
            "nan",
            "inf",
            "9" * 5000,
            "9" * 30,
            "x" * 100_000,
            "٣",
            "１",
            "1_000",
            ",:,",
            "a:b:c:d",
        ),
        *("http://[::1", "redis://[::1", "postgresql://[::1", "http://h:99999", "redis://h:99999"),
        *(
            "http://u:p@h/",
            "http://h\n/",
            "file:/nowhere",
            "file:/tmp",
            "env:NOPE",
            "\udc80",
            "\x01",
            "whsec_@",
        ),
    ],
)
def test_no_value_of_any_variable_is_an_internal_error(value: str) -> None:
    for name in sorted(_variables()):
        faults(**{name: value})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("log_rows = " + "9" * 18, "server.log_rows: must be a whole number above 0, and below 10^15"),
        ("port = " + "9" * 18, "server.port: must be a port number from 0 to 65535"),
        ("workers = 1_000_000", "server.workers: must be a whole number from 1 to 1000"),
        ("redis_url = 'redis://[::1'", "server.redis_url: must be a redis:// or rediss:// URL"),
        ('spool = "a\\u0000b"', "server.spool: must be a text"),
        ("budgets = [{ usd = 1 }]", "server.budgets[0].per: is missing"),
        ("cache = { semantic = { threshold = 1 } }", "server.cache.semantic.model: is missing"),
    ],
)
def test_a_value_that_would_fail_later_is_refused(text: str, fault: str) -> None:
    assert faults(f"[server]\n{text}") == [fault]


def test_many_faults_and_long_names_are_told_in_short() -> None:
    told = faults(f"[server]\n{'x' * 100_000} = 1\n" + "".join(f"x{i} = 1\n" for i in range(999)))
    assert (len(told), told[-1]) == (101, "the configuration: has 900 more faults")
    assert max(map(len, told)) < 1_000


def test_a_client_certificate_in_a_pipe_is_a_fault() -> None:
    os.mkfifo("pipe")
    assert faults("[providers.groq]\nclient_cert='pipe'") == [
        "providers.groq.client_cert: names a pipe or a device"
    ]


def test_a_penalty_without_end_is_no_number() -> None:
    target = 'targets = [{ target = "groq/x", defaults = { presence_penalty = inf } }]'
    (fault,) = faults(f"[models.m]\n{target}")
    assert fault == "models.m.targets[0].defaults.presence_penalty: must be a number"
