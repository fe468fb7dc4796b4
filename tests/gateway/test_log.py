"""The log: a line for every request of a surface, the operator's cause in it, and no reader it waits for."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from app.gateway.layers import log
from app.wire.line_writer import LineWriter
from tests.behaviour.world import World, chat_body, raw_request, running_world
from tests.running import free_port
from tests.traffic.replay import Reply

KEY = "sk-log-0123456789"
UPSTREAM_KEY = "gsk-upstream-0123456789"


@pytest.fixture(scope="module")
def logged() -> Iterator[World]:
    env = {
        "SLUICE_METRICS": "1",
        "SLUICE_KEYS": f"ann:{KEY}",
        "SLUICE_MAX_RETRIES": "0",
        "SLUICE_MAX_BODY_BYTES": "100000",
        "GROQ_API_KEY": UPSTREAM_KEY,
        "MISTRAL_API_KEY": "m-key",
        "MISTRAL_BASE_URL": f"http://127.0.0.1:{free_port()}/v1",
        "CEREBRAS_API_KEY": "c-key",
        "CEREBRAS_BASE_URL": "https://no-such-host.invalid/v1",
    }
    with running_world(env, key=KEY) as world:
        yield world


def lines(world: World, before: int = 0) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in world.gateway.log.splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] in ("call", "request")][before:]


def the_line(world: World, method: str, path: str, body: Any = None, key: str | None = KEY) -> dict[str, Any]:
    """Ask, and return the one line that the request left."""
    before = len(lines(world))
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    with world.connect() as connection:
        connection.sendall(raw_request(method, path, data, key, ["Connection: close"]))
        with suppress(ConnectionResetError):  # what was not read of a body too large
            while connection.recv(65536):
                pass
    (line,) = lines(world, before)
    return line


def test_every_refusal_leaves_one_line_and_one_count(logged: World) -> None:
    asked = {"model": "groq/x", "messages": [{"role": "user", "content": "hi"}]}
    chat = "/v1/chat/completions"
    cases = [
        ("POST", chat, asked, "wrong", 401),
        ("GET", "/v1/nothing", None, KEY, 404),
        ("DELETE", chat, None, KEY, 405),
        ("POST", chat, b"{", KEY, 400),
        ("POST", chat, {"messages": []}, KEY, 400),
        ("POST", chat, {**asked, "model": "nobody"}, KEY, 400),
        ("GET", "/v1/responses/resp_none", None, KEY, 404),
        ("DELETE", "/v1/conversations/conv_none", None, KEY, 404),
        ("POST", chat, b'{"a": "' + b"x" * 200_000 + b'"}', KEY, 413),
        ("GET", "/openai/v1/models?api-version=nonsense", None, KEY, 400),
    ]
    for method, path, body, key, status in cases:
        line = the_line(logged, method, path, body, key)
        assert (line["status"], line["level"]) == (status, "warning"), line
        assert line["error"] or status in (404, 413)
        assert line["request_id"]
        assert line["cause"]
        assert KEY not in json.dumps(line)
    page = logged.send("GET", "/metrics").body.decode()
    counted = sum(
        float(row.rpartition(" ")[2])
        for row in page.splitlines()
        if row.startswith("sluice_requests_total{") and 'status="4' in row
    )
    assert counted == len(cases)


def test_what_is_served_from_the_store_leaves_a_line_too(logged: World) -> None:
    body = logged.ask("responses", model="sandbox/echo").json
    line = the_line(logged, "GET", f"/v1/responses/{body['id']}")
    assert (line["event"], line["status"], line["level"], line["door"]) == ("request", 200, "info", "unified")
    assert line["tenant"] == "ann"


@pytest.mark.parametrize(
    ("model", "status", "cause"),
    [
        ("mistral/x", 502, "refused"),
        ("cerebras/x", 502, "no-such-host.invalid"),
        ("groq/refused", 500, "the deployment is asleep"),
    ],
)
def test_a_failed_call_tells_its_operator_the_cause_and_its_client_nothing(
    logged: World, model: str, status: int, cause: str
) -> None:
    told = {"error": {"message": f"the deployment is asleep; key {UPSTREAM_KEY}", "note": "z" * 4_000}}
    logged.upstream.script = lambda request: Reply.json(told, status=500)
    before = len(lines(logged))
    answer = logged.ask("chat", model=model, stream=False)
    (line,) = lines(logged, before)
    assert (answer.status, line["status"]) == (status, status)
    assert cause in line["cause"]
    assert len(line["cause"]) <= 500
    assert UPSTREAM_KEY not in json.dumps(line)
    provider, _, name = model.partition("/")
    assert (line["provider"], line["sent_model"]) == (provider, name)
    assert line["upstream_status"] == (500 if provider == "groq" else None)
    assert "cause" not in answer.body.decode()


@pytest.mark.parametrize("body", [b"<html>no", b"", b'{"id": "\xff', b"\xff\xfe"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_nobody_can_read_leaves_a_line(logged: World, body: bytes, stream: bool) -> None:
    logged.upstream.script = lambda request: Reply(200, body, {"content-type": "application/json"})
    before = len(lines(logged))
    assert logged.ask("chat", model="groq/x", stream=stream).status == 502
    (line,) = lines(logged, before)
    assert (line["event"], line["status"], line["error"]) == ("call", 502, "upstream_invalid_response")
    assert line["cause"]


def test_a_call_that_ends_well_has_no_cause(logged: World) -> None:
    logged.upstream.script = lambda request: Reply.json(chat_body("fine"))
    before = len(lines(logged))
    assert logged.ask("chat", model="groq/x", stream=False).status == 200
    (line,) = lines(logged, before)
    assert "cause" not in line


def _read_all(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    data = b""
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except BlockingIOError:
            return data
        if not piece:
            return data
        data += piece


@pytest.mark.parametrize("make", [os.pipe, lambda: tuple(s.detach() for s in socket.socketpair()[::-1])])
def test_a_reader_that_stalls_costs_lines_and_not_the_worker(make: Any) -> None:
    reader, target = make()
    writer = LineWriter(target)
    line = b'{"n": "' + b"x" * 900 + b'"}\n'
    for _ in range(2_000):  # far more than a pipe or a socket holds
        writer.write(line)
    first = _read_all(reader)
    assert line in first
    writer.write(line)
    writer.write(line)
    rest = first + _read_all(reader)
    told = [json.loads(found) for found in rest.splitlines()]  # no line is torn
    dropped = [row["lines"] for row in told if row.get("event") == "log_dropped"]
    assert sum(dropped) > 0
    assert len(told) - len(dropped) + sum(dropped) == 2_002
    os.close(reader)
    writer.write(line)  # a reader that is gone is none to wait for either
    os.close(target)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/anthropic/v1/messages", "/cohere/v2/chat"])
def test_the_status_in_the_log_is_the_one_that_the_client_got(logged: World, path: str) -> None:
    body = {"model": "nobody", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    answer = logged.send("POST", path, body, {"authorization": f"Bearer {KEY}"})
    line = the_line(logged, "POST", path, body)
    assert line["status"] == answer.status >= 400


def test_a_command_that_logs_nothing_still_tells_a_fault_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log._LOG, "mute", False)  # put back afterwards
    log.mute()
    log.log_line(level="info", event="request")
    shown = log.fault_of(ZeroDivisionError("by a key"), "req_1", lambda text: text.replace("key", "***"))
    output = capsys.readouterr()
    (line,) = [json.loads(line) for line in output.err.splitlines()]
    assert (output.out, line["event"], line["error"]) == ("", "fault", "ZeroDivisionError('by a ***')")
    assert shown.message == "The gateway met an internal error."
