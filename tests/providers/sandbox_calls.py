"""A canonical request put to the sandbox through one dialect, both halves of it, and read back."""

import json
from dataclasses import replace
from typing import Any

from app.canonical.events import Event, Failed
from app.canonical.request import (
    AudioPart,
    Message,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from app.canonical.response import Response
from app.dialects import dialect
from app.dialects.base import ClientContext
from app.providers.sandbox import DIALECT_WIRES
from app.providers.sandbox.routes import Sandbox
from app.providers.sandbox.transport import HttpRequest, Script
from tests.dialects.generic import counter, decoded, fold, parts_of, sse_frames

DIALECTS = ("chat", "responses", "messages")
WIRES = {name: next(iter(DIALECT_WIRES[f"{name}-"].values())) for name in DIALECTS}

WEATHER = Tool(
    "function",
    "get_weather",
    "The weather of a city.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "detailed": {"type": "boolean"},
            "unit": {"enum": ["C", "F"]},
        },
        "required": ["city"],
    },
)
CLOCK = Tool(
    "function",
    "clock",
    None,
    {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
)


def user(text: str) -> Message:
    """A user message."""
    return Message("user", (TextPart(text),))


def asking(text: str, **members: Any) -> Request:
    """A request whose last user message is ``text``."""
    return Request("some-model", (user(text),), **members)


def with_result(request: Request, *calls: tuple[str, str]) -> Request:
    """``request`` after the model called tools: ``calls`` are names and the results' texts."""
    made = tuple(ToolCallPart(f"call_{i}", name, "{}") for i, (name, _) in enumerate(calls))
    results = tuple(
        ToolResultPart(f"call_{i}", (TextPart(text),), name=name) for i, (name, text) in enumerate(calls)
    )
    return replace(
        request, messages=(*request.messages, Message("assistant", made), Message("tool", results))
    )


def context_of(request: Request, name: str) -> ClientContext:
    """The client's context for one dialect."""
    return ClientContext(
        request.model, counter(), 1_700_000_000, options=WIRES[name].options, request=request
    )


def script_of(request: Request, name: str, *, stream: bool, words_per_second: float = 0.0) -> Script:
    """The script that the sandbox writes for ``request`` over dialect ``name``."""
    request = replace(request, stream=stream)
    body = dialect(name).encode_request(request, context_of(request, name)).body
    return sandbox_script(
        "POST", WIRES[name].path, json.dumps(body).encode(), words_per_second=words_per_second
    )


def sandbox_script(
    method: str,
    path: str,
    body: bytes = b"",
    *,
    content_type: str = "application/json",
    words_per_second: float = 0.0,
) -> Script:
    """The script that answers raw bytes."""
    return Sandbox(words_per_second).write(HttpRequest(method, path, {"content-type": content_type}, body))


def body_of(script: Script) -> bytes:
    """All bytes of a script that ends."""
    return b"".join(arrival.data for arrival in script.body)


def answer_to(request: Request, name: str, *, stream: bool) -> Response:
    """The answer read back; raises the GatewayError that the dialect reads in a failure."""
    script = script_of(request, name, stream=stream)
    if script.status != 200:
        raise dialect(name).decode_error(script.status, json.loads(body_of(script)), script.headers)
    if not stream:
        found: Response = dialect(name).decode_response(
            json.loads(body_of(script)), context_of(request, name)
        )
        return found
    events = events_of(script, request, name)
    if isinstance(events[-1], Failed):
        raise events[-1].error
    return fold(events).response()


def events_of(script: Script, request: Request, name: str) -> list[Event]:
    """The canonical events that a client decodes from a streamed script."""
    decoder = dialect(name).stream_decoder(context_of(request, name))
    return decoded(decoder, sse_frames(body_of(script), 1 << 30))


def summary_of(response: Response) -> dict[str, Any]:
    """The first choice in a few words: what a test compares."""
    choice = response.choices[0]
    parts = parts_of(choice)
    assert choice.finish is not None
    found: dict[str, Any] = {
        "text": "".join(part.text for part in parts if isinstance(part, TextPart)),
        "reasoning": "".join(part.text for part in parts if isinstance(part, ReasoningPart)),
        "refusal": "".join(part.text for part in parts if isinstance(part, RefusalPart)),
        "calls": [
            (part.name, json.loads(part.arguments) if part.kind == "function" else part.arguments)
            for part in parts
            if isinstance(part, ToolCallPart)
        ],
        "audio": "".join(part.transcript or "" for part in parts if isinstance(part, AudioPart)),
        "finish": choice.finish.reason,
    }
    return {name: value for name, value in found.items() if value}
