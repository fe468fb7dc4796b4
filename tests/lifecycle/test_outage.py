"""The database is down: what must be durable is 503, what needs no state goes on."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from app.state.sqlite import open_engine
from tests.lifecycle.house import Client, House, eventually, running_house
from tests.lifecycle.outage import unavailable
from tests.running import free_port, running_gateway
from tests.traffic.load import exchange
from tests.traffic.replay import Reply


@pytest.fixture(scope="module")
def dark() -> Iterator[House]:
    """A house whose database was never there."""
    with running_house(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing") as house:
        yield house


DURABLE: list[tuple[str, str, Any]] = [
    ("POST", "responses", {}),
    ("POST", "responses", {"stream": True}),
    ("POST", "responses", {"background": True}),
    ("POST", "responses", {"background": True, "stream": True}),
    ("POST", "responses", {"store": False, "previous_response_id": "resp_1"}),
    ("POST", "responses", {"store": False, "conversation": "conv_1"}),
    ("GET", "responses/resp_1", None),
    ("GET", "responses/resp_1?stream=true", None),
    ("GET", "responses/resp_1/input_items", None),
    ("POST", "responses/resp_1/cancel", None),
    ("DELETE", "responses/resp_1", None),
    ("POST", "conversations", {}),
    ("GET", "conversations/conv_1", None),
    ("GET", "conversations/conv_1/items", None),
]


@pytest.mark.parametrize(("method", "path", "body"), DURABLE)
def test_what_must_be_durable_is_refused(dark: House, method: str, path: str, body: Any) -> None:
    sent = None if body is None else {"model": "sandbox/echo", "input": "say exactly: x", **body}
    unavailable(dark.client().send(method, f"/v1/{path}", sent))


TOOL = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}
CALLED = [
    {"role": "user", "content": "call tool add"},
    {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "5"},
]
CHATTED = [
    {"role": "user", "content": "call tool add"},
    {
        "role": "assistant",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "5"},
]


@pytest.mark.parametrize("stream", [False, True])
def test_what_needs_no_state_goes_on(dark: House, stream: bool) -> None:
    ann = dark.client()
    assert ann.create("say exactly: x", store=False, stream=stream).text == "x"
    assert ann.create(CALLED, tools=[TOOL], store=False, stream=stream).status == 200
    chat = {"model": "sandbox/echo", "messages": CHATTED, "stream": stream}
    assert ann.post("/v1/chat/completions", chat).status == 200
    assert ann.get("/v1/models?provider=sandbox").status == 200
    assert ann.post("/v1/responses/input_tokens", {"model": "sandbox/echo", "input": "x"}).status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_signed_tool_call_is_answered_although_its_signature_is_not_kept(dark: House, stream: bool) -> None:
    dark.fresh()
    recording = exchange("gemini-chat_completion-signed-tool-call")
    dark.upstream.add(Reply.of(recording), path="*:generateContent")
    dark.upstream.add(Reply.of(recording), path="*:streamGenerateContent")
    body = {"model": "gemini/gemini-3-flash-preview", "messages": [{"role": "user", "content": "x"}]}
    answer = dark.client().post("/v1/chat/completions", body | {"stream": stream})
    assert answer.status == 200, answer.body
    assert b"tool_calls" in answer.body


def test_wrapped_reasoning_comes_back_without_a_store(dark: House) -> None:
    dark.fresh()
    ann = dark.client()
    recording = exchange("openai-responses_stream-encrypted-reasoning")
    dark.upstream.add(Reply.of(recording, chunk=0), path="*/responses")
    members = {"store": False, "include": ["reasoning.encrypted_content"], "model": "openai/gpt-5-nano"}
    items = ann.create("Think.", stream=True, **members).events[-1]["response"]["output"]
    secret = next(item["encrypted_content"] for item in items if item["type"] == "reasoning")
    assert secret.startswith("slr1.")
    ann.make([*items, {"role": "user", "content": "x"}], **members)
    sent = dark.upstream.requests[-1].json()["input"]
    inner = next(item["encrypted_content"] for item in sent if item.get("type") == "reasoning")
    assert inner in recording.content().decode()


def test_a_file_that_another_process_holds_delays_no_call_without_state(tmp_path: Path) -> None:
    """A worker that opens it waits for long, but beside its loop."""
    file = tmp_path / "held.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        env = {"DATABASE_URL": f"sqlite:///{file}", "SLUICE_SECRET_KEY": "s", "SLUICE_KEYS": "ann:sk-ann"}
        with running_gateway(env) as gateway:
            client = Client(gateway.port, "sk-ann")
            for _ in range(40):
                body = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "hi"}]}
                assert client.post("/v1/chat/completions", body).status == 200
                time.sleep(0.05)
            assert "cannot be opened" not in gateway.log  # it still waits
            holder.execute("ROLLBACK")
            assert eventually(lambda: client.create("hi").status == 200)


def test_a_file_that_cannot_be_changed_is_no_file_that_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it. SQLite calls both an operational error."""
    sqlite3.connect(tmp_path / "s.db").close()
    tries: list[None] = []
    monkeypatch.setattr("app.state.sqlite.original", lambda *name: lambda seconds: tries.append(None))
    monkeypatch.setattr("app.state.sqlite._PRAGMAS", ("PRAGMA query_only=ON", "CREATE TABLE t (a)"))
    with pytest.raises(OperationalError, match="readonly"):
        open_engine(str(tmp_path / "s.db"), write=False).connect()
    assert tries == []
