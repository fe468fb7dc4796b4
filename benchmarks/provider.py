"""A provider that is never the bottleneck: chat and Responses answers of fixed bytes.

``python -m benchmarks.provider PORT``. A prompt that holds ``bench n=100 d=20`` is answered,
when it asks for a stream, by 100 numbered chunks 20 ms apart (0: as fast as they go).
"""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final

import gevent
from gevent.server import StreamServer

_ASKED: Final = re.compile(rb"bench n=(\d+) d=(\d+)")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TEXT: Final = " ".join(["a gateway keeps each request short and plain"] * 40)
_TOLD: Final = {"prompt_tokens": 42, "completion_tokens": 300, "total_tokens": 342}
_CHUNK: Final = {
    "id": "chatcmpl-bench",
    "object": "chat.completion.chunk",
    "created": 1760000000,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_bench",
}


def _chat() -> dict[str, Any]:
    message = {"role": "assistant", "content": _TEXT, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**_CHUNK, "object": "chat.completion", "choices": [choice], "usage": _TOLD}


def _response() -> dict[str, Any]:
    text = {"type": "output_text", "text": _TEXT, "annotations": [], "logprobs": []}
    item = {"id": "msg_bench", "type": "message", "status": "completed", "role": "assistant"}
    return {
        "id": "resp_bench",
        "object": "response",
        "created_at": 1760000000,
        "status": "completed",
        "model": "gpt-4o-mini-2024-07-18",
        "output": [{**item, "content": [text]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "metadata": {},
        "usage": {"input_tokens": 42, "output_tokens": 300, "total_tokens": 342},
    }


def _whole(value: Any) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _framed(data: str) -> bytes:
    body = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(body), body)


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _framed(json.dumps({**_CHUNK, "choices": [choice], "usage": None}))


def _event(kind: str, number: int, **members: Any) -> bytes:
    data = {"type": kind, **members, "sequence_number": number}
    body = f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(body), body)


_WHOLE: Final = {b"/chat/completions": _whole(_chat()), b"/responses": _whole(_response())}
_NOT_FOUND: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_NUMBERED: Final = [_chunk({"content": f"#{number:05d} token"}) for number in range(2000)]


_PLACE: Final = {"item_id": "msg_bench", "output_index": 0, "content_index": 0}
_OPENING: Final = 4  # events before the first delta of a Responses stream
_DELTAS: Final = [
    _event(
        "response.output_text.delta", number + _OPENING, **_PLACE, delta=f"#{number:05d} token", logprobs=[]
    )
    for number in range(2000)
]


def _responses_stream(count: int) -> Iterator[bytes]:
    whole = _response()
    (item,) = whole["output"]
    (part,) = item["content"]
    shell = {**whole, "status": "in_progress", "output": [], "usage": None}
    yield (
        _HEAD
        + _event("response.created", 0, response=shell)
        + _event("response.in_progress", 1, response=shell)
        + _event("response.output_item.added", 2, output_index=0, item={**item, "content": []})
        + _event("response.content_part.added", 3, **_PLACE, part={**part, "text": ""})
    )
    yield from _DELTAS[:count]
    part["text"] = text = "".join(f"#{number:05d} token" for number in range(count))
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("output_text.done", {**_PLACE, "text": text, "logprobs": []}),
        ("content_part.done", {**_PLACE, "part": part}),
        ("output_item.done", {"output_index": 0, "item": item}),
        ("completed", {"response": whole}),
    )
    events = [
        _event(f"response.{kind}", count + _OPENING + at, **members)
        for at, (kind, members) in enumerate(kinds)
    ]
    yield b"".join(events) + b"0\r\n\r\n"


def _stream(count: int) -> Iterator[bytes]:
    yield _HEAD + _chunk({"role": "assistant", "content": "", "refusal": None})
    yield from _NUMBERED[:count]
    usage = _framed(json.dumps({**_CHUNK, "choices": [], "usage": _TOLD}))
    yield _chunk({}, "stop") + usage + _framed("[DONE]") + b"0\r\n\r\n"


def _serve(client: socket.socket, address: Any) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = b""
    while True:
        head, gap, rest = buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        missing = int(length[1]) - len(rest) if length else 0
        if gap and missing <= 0:
            body, buffer = (rest[: int(length[1])], rest[int(length[1]) :]) if length else (b"", rest)
            _answer(client, head, body)
        elif piece := client.recv(65536):
            buffer += piece
        else:
            return


def _answer(client: socket.socket, head: bytes, body: bytes) -> None:
    asked, path = _ASKED.search(body), head.split(b" ", 2)[1]
    if not asked or not re.search(rb'"stream": *true', body):
        client.sendall(next((answer for end, answer in _WHOLE.items() if path.endswith(end)), _NOT_FOUND))
        return
    pause = int(asked[2]) / 1000
    stream = _responses_stream if path.endswith(b"/responses") else _stream
    for piece in stream(int(asked[1])):
        client.sendall(piece)
        gevent.sleep(pause)


if __name__ == "__main__":
    server = StreamServer(("127.0.0.1", int(sys.argv[1])), _serve, backlog=4096)
    gevent.get_hub().NOT_ERROR += (OSError,)  # who left in the middle of a stream
    server.serve_forever()
