"""What a call leaves to the garbage collector: nothing of it waits in a cycle.

In process, the collector off, and by count: whatever a cycle holds stays until the next collection,
and under load that is megabytes a second.
"""

from __future__ import annotations

import gc
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

import gevent
import pytest

from app import create_app
from app.config_loading import load
from app.gateway.core import gateway_of
from app.gateway.garbage_collection import settle
from app.surfaces.application import drop_frames
from tests.traffic.replay import Reply, Upstream

TIMES = 5
Ask = Callable[..., str]


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


STREAM = Reply(
    body=_chunk({"role": "assistant", "content": "a"})
    + _chunk({"content": "b"}) * 5
    + _chunk({}, "stop")
    + b"data: [DONE]\n\n",
    headers={"content-type": "text/event-stream"},
    chunk=100,
    framing="chunked",
)
REFUSAL = Reply.json({"error": {"message": "no", "type": "invalid_request_error"}}, status=400)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Ask:
    """Put a body to a path, as the server does, and return the status."""
    folder = tmp_path_factory.mktemp("garbage")
    environ = {"DATABASE_URL": f"sqlite:///{folder}/sluice.db", "OPENAI_API_KEY": "sk-x", "GROQ_API_KEY": "x"}
    bases = {f"{name}_BASE_URL": f"{upstream.url}/v1" for name in ("OPENAI", "GROQ")}
    app = create_app(load({**environ, **bases}))
    gateway_of(app).state()  # opened beside a call, it would leave what alembic leaves

    def call(path: str, **members: Any) -> str:
        raw = json.dumps(members).encode()
        status: list[str] = []
        pieces = app(_environ(path, raw), lambda line, headers, error=None: status.append(line))
        b"".join(pieces)
        if hasattr(pieces, "close"):
            pieces.close()
        return status[0][:3]

    return call


def _environ(path: str, raw: bytes) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(raw)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(raw),
    }


CHAT = {"messages": [{"role": "user", "content": "hello"}]}
CASES: dict[str, tuple[str, str, dict[str, Any], Reply | None]] = {
    "sandbox": ("200", "/v1/chat/completions", {"model": "sandbox/echo", **CHAT}, None),
    "sandbox's stream": (
        "200",
        "/v1/chat/completions",
        {"model": "sandbox/echo", "stream": True, **CHAT},
        None,
    ),
    "passed stream": ("200", "/v1/chat/completions", {"model": "openai/m", "stream": True, **CHAT}, STREAM),
    "translated stream": (
        "200",
        "/anthropic/v1/messages",
        {"model": "openai/m", "stream": True, "max_tokens": 9, **CHAT},
        STREAM,
    ),
    "stored stream": ("200", "/v1/responses", {"model": "sandbox/echo", "stream": True, "input": "hi"}, None),
    "refusal": ("400", "/v1/chat/completions", {"model": "openai/m", **CHAT}, REFUSAL),
    "refused stream": ("400", "/v1/chat/completions", {"model": "openai/m", "stream": True, **CHAT}, REFUSAL),
    "translated to a Responses stream": (
        "200",
        "/v1/responses",
        {"model": "groq/m", "stream": True, "store": False, "input": "hi"},
        STREAM,
    ),
    "faulty body": (
        "400",
        "/v1/chat/completions",
        {"model": "openai/m", "messages": 3, "temperature": "x"},
        None,
    ),
    "no such model": ("400", "/v1/chat/completions", {"model": "nobody/m", **CHAT}, None),
    "stored whole": ("200", "/v1/responses", {"model": "sandbox/echo", "input": "hi"}, None),
    "no such path": ("404", "/v1/nothing", {}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_of_a_call_waits_for_the_collector(name: str, ask: Ask, upstream: Upstream) -> None:
    status, path, members, reply = CASES[name]
    upstream.forget()
    if reply is not None:
        upstream.add(reply, times=2 * TIMES)
    for _ in range(TIMES):  # what is made once
        assert ask(path, **members) == status
    assert _garbage_of(lambda: [ask(path, **members) for _ in range(TIMES)]) == Counter()


def test_a_frame_in_a_cycle_is_counted() -> None:
    def fail() -> None:
        try:
            raise ValueError
        except ValueError as error:
            held = error  # noqa: F841 - the cycle: error, traceback, frame

    assert _garbage_of(fail)["frame"] == 1


def test_the_frames_of_errors_that_cause_each_other_are_dropped() -> None:
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    with pytest.raises(ValueError, match="one") as caught:
        raise one
    drop_frames(caught.value)
    assert caught.value.__traceback__ is None


def test_no_full_collection_comes_while_a_large_answer_is_read() -> None:
    """A look at all objects of an answer of a million takes a quarter of a second, in which every call waits."""
    before, full = gc.get_threshold(), 0

    def count(phase: str, info: dict[str, int]) -> None:
        nonlocal full
        full += phase == "start" and info["generation"] == 2

    gc.collect()  # sets the counts to zero
    settle()
    gc.callbacks.append(count)
    try:
        answer = [[number] for number in range(1_000_000)]
    finally:
        gc.callbacks.remove(count)
        gc.set_threshold(*before)
        gc.unfreeze()
    assert len(answer) == 1_000_000
    assert full == 0


def _garbage_of(work: Callable[[], object]) -> Counter[str]:
    gevent.sleep(0)
    gc.collect()
    gc.disable()
    try:
        work()
        gevent.sleep(0)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return Counter(type(one).__name__ for one in gc.garbage if _counts(one))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _counts(one: object) -> bool:
    """Tell whether an object is a frame, or of a class of ours or a library's: a ring of a call's has one.

    SQLAlchemy's are not counted, since rows are written and swept beside; built-in ones hang on others, or are
    werkzeug's matcher, a function that holds itself.
    """
    modules = {kind.__module__.partition(".")[0] for kind in type(one).__mro__}
    frames = isinstance(one, FrameType | TracebackType)
    return frames or (modules != {"builtins"} and "sqlalchemy" not in modules)
