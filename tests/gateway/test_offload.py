"""Large bodies do not hold up other calls: counted in turns of the loop and in lines that run on it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

import gevent
import pytest
from gevent import monkey

from app import create_app
from app.config_loading import load
from app.gateway.core import gateway_of
from app.wire.json import dumps_ascii, loads, loads_lenient
from app.wire.offload import LARGE, aside
from tests.behaviour.world import CHAT_DONE, ROLE, chat_body, chat_chunk
from tests.traffic.replay import Reply, Upstream

MODELS = {
    "translated": "sandbox/echo",
    "passed": "sandbox/chat-echo",
    "of another dialect": "sandbox/messages-echo",
}


PARTS = (
    *("/app/dialects/", "/app/surfaces/body/", "/app/responses_form/"),
    *("/app/state/history.py", "/app/state/items.py", "/app/gateway/estimates.py"),
    *("/app/canonical/events.py", "/app/gateway/event_streams.py", "/app/gateway/redaction.py"),
    *("/app/gateway/run.py", "/app/gateway/cost.py"),
)


_let_threads_run = monkey.get_original("time", "sleep")
"""A loop that never waits keeps the interpreter's lock from the thread that reads rows, 5 ms for each row: on a busy machine
until the store is given up."""


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("aside")
    settings = load({"DATABASE_URL": f"sqlite:///{folder}/sluice.db", "SLUICE_MAX_BODY_BYTES": "50000000"})
    return create_app(settings).test_client()


def _longest_run(work: Any) -> int:
    """Run ``work`` while a second greenlet takes every turn it gets; return the most lines of ``PARTS``
    that ran on the loop's thread between two of its turns."""
    longest = lines = 0
    over = False

    def turns() -> None:
        nonlocal longest, lines
        while not over:
            longest, lines = max(longest, lines), 0
            _let_threads_run(0.0001)
            gevent.sleep(0)

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        name = frame.f_code.co_filename
        if not any(part in name for part in PARTS):
            return None
        lines += event == "line"
        return trace

    other = gevent.spawn(turns)
    gevent.sleep(0)
    sys.settrace(trace)  # of this thread alone
    try:
        work()
    finally:
        sys.settrace(None)
        over = True
        other.join()
    return max(longest, lines)


def _many_messages(count: int) -> list[dict[str, str]]:
    turn = [{"role": "user", "content": "one two"}, {"role": "assistant", "content": "three"}]
    return turn * (count // 2) + [{"role": "user", "content": "say exactly: done"}]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_body_of_many_messages_leaves_the_loop_to_others(client: Any, model: str) -> None:
    def ask(count: int) -> int:
        body = json.dumps({"model": model, "messages": _many_messages(count)})
        answers = []

        def post() -> None:
            answers.append(client.post("/v1/chat/completions", data=body, content_type="application/json"))

        longest = _longest_run(post)
        assert answers[0].json["choices"][0]["message"]["content"] == "done"
        return longest

    small, large = ask(20), ask(18_000)
    assert large < 50 * small  # nine hundred times the messages


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/input_tokens"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_long_history_leaves_the_loop_to_others(client: Any, model: str, path: str) -> None:
    def ask(count: int) -> int:
        first = {"model": "sandbox/echo", "input": _many_messages(count)}
        found = client.post("/v1/responses", json=first).json["id"]
        answers = []
        body = {"model": model, "input": "say exactly: done", "previous_response_id": found}
        longest = _longest_run(lambda: answers.append(client.post(path, json=body)))
        assert answers[0].status_code == 200
        return longest

    small, large = ask(20), ask(9_000)
    assert large < small + 12 * 9_000  # lines: few an item


def test_a_large_body_is_parsed_beside_the_loop(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def parse(data: bytes, **options: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return loads(data, **options)

    monkeypatch.setattr("app.surfaces.body.reader.loads", parse)
    for count in (20, 9_000):
        body = {"model": "sandbox/echo", "messages": _many_messages(count)}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
    assert threads == [True, False]


def _calls(count: int) -> list[dict[str, Any]]:
    function = {"name": "f", "arguments": "{}"}
    return [{"id": f"c{i}", "type": "function", "function": function} for i in range(count)]


def _streamed_calls(count: int) -> Reply:
    chunks = [chat_chunk({"tool_calls": [{"index": i, **call}]}) for i, call in enumerate(_calls(count))]
    return Reply.sse(ROLE + b"".join(chunks) + chat_chunk({}, "tool_calls") + CHAT_DONE)


def _whole_calls(count: int) -> Reply:
    body = chat_body()
    body["choices"][0]["message"]["tool_calls"] = _calls(count)
    return Reply.json(body)


def _odd_answer(count: int) -> Reply:
    return Reply.json({"output": _calls(count)})


def _whole_choices(count: int) -> Reply:
    body = chat_body()
    return Reply.json({**body, "choices": [{**body["choices"][0], "index": i} for i in range(count)]})


PROMPTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"input": "hi"},
    "/v1/completions": {"prompt": "hi"},
}
ANSWERS = {
    "choices": (_whole_choices, 200),
    "streamed": (_streamed_calls, 200),
    "whole": (_whole_calls, 200),
    "whole, streamed": (_whole_calls, 200),
    "unreadable": (_odd_answer, 502),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def asked(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the client of an application before ``upstream``."""
    environ = {
        "DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('asked')}/sluice.db",
        "GROQ_API_KEY": "gsk-1234567890abcdef",
        "GROQ_BASE_URL": upstream.url,
        "OPENAI_API_KEY": "sk-1234567890abcdef",
        "OPENAI_BASE_URL": upstream.url,
        "GEMINI_API_KEY": "gemini-1234567890abcdef",
        "GEMINI_BASE_URL": upstream.url,
    }
    return create_app(load(environ)).test_client()


@pytest.mark.parametrize("path", PROMPTS)
@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_of_many_calls_leaves_the_loop_to_others(
    kind: str, path: str, asked: Any, upstream: Upstream
) -> None:
    """At its end blocks are closed, folded, stored and logged, all of them at once."""
    make, status = ANSWERS[kind]
    body = {"model": "groq/x", "stream": "streamed" in kind, **PROMPTS[path]}

    def ask(count: int) -> int:
        upstream.script = lambda request: reply
        reply, found = make(count), []
        longest = _longest_run(lambda: found.append(asked.post(path, json=body)) or found[0].data)
        assert found[0].status_code == status
        return longest

    small, large = ask(20), ask(9_000)
    assert large < small + 12 * 9_000


def _sound(fields: Mapping[str, str]) -> dict[str, Any]:
    return {"data": {"model": "openai/x", "file": (BytesIO(b"RIFF"), "a.wav"), **fields}}


WORD = {"word": "a", "text": "a", "start": 0.5, "end": 1.5}
MEDIA: dict[str, tuple[str, Callable[[], dict[str, Any]], Callable[[int], Any]]] = {
    # what is asked: path, the request, the answer of a size
    "words of a transcript": (
        "/v1/audio/transcriptions",
        lambda: _sound({"response_format": "verbose_json"}),
        lambda n: {"text": "a", "words": [WORD] * n, "segments": [WORD] * n},
    ),
    "subtitles": (
        "/v1/audio/transcriptions",
        lambda: _sound({"response_format": "srt"}),
        lambda n: {"text": "a", "segments": [WORD] * n},
    ),
    "pictures": (
        "/v1/images/generations",
        lambda: {"json": {"model": "openai/x", "prompt": "a"}},
        lambda n: {"created": 1, "data": [{"url": "a" * 30}] * n},
    ),
    "speech": (
        "/v1/audio/speech",
        lambda: {"json": {"model": "gemini/x", "input": "a", "voice": "a"}},
        lambda n: {"candidates": [{"content": {"parts": [{"inlineData": {"data": "AAAA"}}] * n}}]},
    ),
}


@pytest.mark.parametrize("kind", MEDIA)
def test_a_large_answer_of_media_leaves_the_loop_to_others(kind: str, asked: Any, upstream: Upstream) -> None:
    path, request, answer = MEDIA[kind]

    def ask(count: int) -> int:
        reply, found = Reply.json(answer(count)), []
        upstream.script = lambda request: reply
        longest = _longest_run(lambda: found.append(asked.post(path, **request())))
        assert found[0].status_code in (200, 502)
        return longest

    small, large = ask(10), ask(9_000)
    assert large < small + 9_000


@pytest.mark.parametrize("background", [False, True], ids=["request", "background"])
def test_the_end_of_a_response_of_many_items_is_written_beside_the_loop(
    background: bool, tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its terminal event has all its items; that of a background response is also read from its log."""
    places = dict[str, set[bool]]()

    def watch(place: str, work: Any, is_end: Any) -> None:
        def watched(value: Any) -> Any:
            if is_end(value):
                places.setdefault(place, set()).add(threading.current_thread() is threading.main_thread())
            return work(value)

        monkeypatch.setattr(place, watched)

    def is_end(value: Any) -> bool:
        return b"response.completed" in (value if isinstance(value, bytes) else value["type"].encode())

    view = "app.surfaces.views.stored" if background else "app.surfaces.replies.framing"
    watch(f"{view}.dumps_ascii", dumps_ascii, is_end)
    if background:
        watch("app.state.event_log.loads_lenient", loads_lenient, is_end)
    environ = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/sluice.db",
        "OPENAI_API_KEY": "sk-1234567890abcdef",
        "OPENAI_BASE_URL": upstream.url,
    }
    app = create_app(load(environ))
    gateway_of(app).start_background()
    body = {"model": "openai/gpt-5", "input": "hi", "stream": True, "background": background}
    try:
        for count, text, on_loop in ((20, "", True), (1_500, "", False), (20, "x" * LARGE, False)):
            places.clear()
            reply = _items(count, text)
            upstream.script = lambda request: reply  # noqa: B023
            answer = app.test_client().post("/v1/responses", json=body).data
            assert answer.count(b'"id":"msg_') == 3 * count
            assert places
            assert all(found == {on_loop} for found in places.values()), (count, places)
    finally:
        gateway_of(app).close()


def _items(count: int, text: str) -> Reply:
    response = {"id": "resp_1", "object": "response", "status": "in_progress", "model": "gpt-5", "output": []}
    items = [
        {"type": "message", "id": f"msg_{i}", "role": "assistant", "status": "completed", "content": []}
        for i in range(count)
    ]
    items[0]["content"] = [{"type": "output_text", "text": text, "annotations": []}]
    events = [{"type": "response.created", "response": response}]
    for place, item in enumerate(items):
        events += [
            {"type": f"response.output_item.{step}", "output_index": place, "item": item}
            for step in ("added", "done")
        ]
    events.append(
        {"type": "response.completed", "response": {**response, "status": "completed", "output": items}}
    )
    return Reply.sse(b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events))


def test_what_work_raises_comes_back_from_the_other_thread_and_is_not_printed(capfd: Any) -> None:
    def fail() -> None:
        raise ValueError(threading.current_thread() is threading.main_thread())

    with pytest.raises(ValueError, match="False"):
        aside(LARGE, fail)
    with pytest.raises(ValueError, match="False"):
        aside(LARGE, lambda: aside(LARGE, fail))  # on the same thread
    with pytest.raises(ValueError, match="True"):
        aside(LARGE - 1, fail)
    assert capfd.readouterr().err == ""
