"""Estimate tokens where a provider does not report them; the result is always marked as an estimate.

Four characters of text are a token; an image has 765 (OpenAI's figure for a small picture in
high detail); a message or tool has a few more for its frame.

Tests: tests/replay, tests/behaviour/test_odd_shapes.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.media import CompletionRequest
from app.canonical.request import (
    FilePart,
    ImagePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.canonical.response import Response, Usage
from app.wire.json import dumps

CHARACTERS: Final = 4
_IMAGE: Final = 765
_FRAME: Final = 4
_BYTES: Final = 4
_MEDIA: Final[Mapping[str, int]] = {"image": _IMAGE, "audio": 500, "video": 3_000, "file": 1_500}
"""Tokens of media: a picture, half a minute of sound, ten seconds of film, some pages."""
_MEDIA_PARTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("image_url", "input_image", "image"), "image"),
    **dict.fromkeys(("input_audio", "audio"), "audio"),
    **dict.fromkeys(("input_file", "file", "document"), "file"),
    "video": "video",
}
_TYPED_MEMBERS: Final = ("inlineData", "inline_data", "fileData", "file_data")
_SOURCE_MEMBERS: Final = ("image", "document", "video")
_MEDIA_MEMBERS: Final = frozenset(("type", *_TYPED_MEMBERS, *_SOURCE_MEMBERS))
"""Members that an object with a medium has one of."""
_DATA_URL: Final = re.compile(r"data:([^,;]{0,64})[^,]{0,128};base64,")
_ARRAYS: Final = frozenset({list, tuple})
_SCALARS: Final = frozenset({int, float, bool, type(None)})
NO_INPUT: Final = frozenset(
    {
        *("model", "metadata", "user", "fallbacks", "safety_identifier", "prompt_cache_key", "service_tier"),
        *("type", "role", "id", "call_id", "tool_call_id", "tool_use_id", "previous_response_id"),
        *("voice", "encoding_format", "stream_format", "tool_choice", "truncation", "effort", "verbosity"),
        *("conversation", "include", "encrypted_content", "signature", "thoughtSignature"),
    }
)
"""Members that are no part of the prompt."""


def tokens_of_text(text: str) -> int:
    """Return the estimated tokens of a text."""
    return -(-len(text) // CHARACTERS)


def tokens_of_body(body: Any) -> int:
    """Return the estimated input tokens of a client's body in any dialect, as it came.

    UTF-8 bytes of text by four, a token array as it is, and pictures, sound and files by a table, never by
    the length of their base64. Linear in the body."""
    size, total = 0, 0
    stack = [body]
    while stack:
        value = stack.pop()
        kind = type(value)
        if kind is str:
            medium = _medium_of_url(value) if value[:5] == "data:" else None
            size += 0 if medium else _bytes_of(value)
            total += _MEDIA[medium] if medium else 0
        elif kind is dict:
            medium = None if _MEDIA_MEMBERS.isdisjoint(value) else _medium_of(value)
            if medium:
                total += _MEDIA[medium]
                continue
            for name, inner in value.items():
                if name not in NO_INPUT and type(inner) is not int:
                    stack.append(inner)
        elif kind in _ARRAYS:
            for inner in value:
                if type(inner) is int:
                    total += 1
                else:
                    stack.append(inner)
        elif kind in _SCALARS:
            continue
        elif isinstance(value, Mapping):
            stack.append(dict(value))
        elif isinstance(value, bytes):
            total += _MEDIA["audio"]
    return total - (-size // _BYTES)


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _medium_of_url(text: str) -> str | None:
    match = _DATA_URL.match(text)
    return _medium_of_type(match[1]) if match else None


def _medium_of_type(media_type: Any) -> str:
    kind = str(media_type).partition("/")[0]
    return kind if kind in _MEDIA else "file"


def _medium_of(value: Mapping[str, Any]) -> str | None:
    """Return the row of the table for a member that is a picture, sound or file, in any dialect's words."""
    kind = value.get("type")
    if isinstance(kind, str) and kind in _MEDIA_PARTS:
        source = value.get("source")
        is_text = isinstance(source, Mapping) and source.get("type") in ("text", "content")
        return None if is_text else _MEDIA_PARTS[kind]
    for name in _TYPED_MEMBERS:
        data = value.get(name)
        if isinstance(data, Mapping):
            return _medium_of_type(data.get("mimeType") or data.get("mime_type"))
    for name in _SOURCE_MEMBERS:
        data = value.get(name)
        if isinstance(data, Mapping) and "source" in data:
            return _MEDIA_PARTS[name]
    return None


def tokens_of_parts(parts: Iterable[Part]) -> int:
    """Return the estimated tokens of message parts."""
    return sum(_tokens_of(part) for part in parts)


def _tokens_of(part: Part) -> int:
    if isinstance(part, TextPart | ReasoningPart | RefusalPart):
        return tokens_of_text(part.text)
    if isinstance(part, ToolCallPart):
        return tokens_of_text(part.name) + tokens_of_text(part.arguments)
    if isinstance(part, ToolResultPart):
        return tokens_of_parts(part.content)
    if isinstance(part, FilePart):
        return tokens_of_text(part.text or part.data or "")
    return _IMAGE if isinstance(part, ImagePart) else _FRAME


def tokens_of_request(request: Request) -> int:
    """Return the estimated input tokens of a request: instructions, messages and tools."""
    total = tokens_of_text(request.instructions or "")
    total += sum(_FRAME + tokens_of_parts(message.parts) for message in request.messages)
    for tool in request.tools:
        total += _FRAME + tokens_of_text(tool.name) + tokens_of_text(tool.description or "")
        total += tokens_of_text(dumps(dict(tool.parameters)).decode()) if tool.parameters else 0
    return total


def estimated_usage(request: Request, response: Response) -> Usage:
    """Return the estimated usage of an answer without usage."""
    messages = [message for choice in response.choices for message in choice.messages]
    return Usage(
        input_tokens=tokens_of_request(request),
        output_tokens=sum(tokens_of_parts(message.parts) for message in messages),
        reasoning_tokens=sum(
            tokens_of_text(part.text)
            for message in messages
            for part in message.parts
            if isinstance(part, ReasoningPart)
        ),
        estimated=True,
    )


def complete_usage(usage: Usage | None, estimate: Callable[[], Usage]) -> Usage:
    """Return a usage with both sides: those that the provider did not count are estimated.

    A side is at least what is known of it. If no side is counted, the total is divided.
    """
    if usage is None or not usage.missing:
        return usage or estimate()
    own, total = estimate(), usage.total_tokens or 0
    before, after = usage.input_tokens, usage.output_tokens
    if "input" in usage.missing:
        before = max(
            before, min(own.input_tokens, total) if total and len(usage.missing) == 2 else own.input_tokens
        )
    if "output" in usage.missing:
        after = max(after, total - before if total and len(usage.missing) == 2 else own.output_tokens)
    if (before, after) == (usage.input_tokens, usage.output_tokens):
        return usage
    return replace(
        usage, input_tokens=before, output_tokens=after, total_tokens=None, estimated=True, missing=()
    )


def estimated_completion_usage(request: CompletionRequest, texts: Iterable[str]) -> Usage:
    """Return the estimated usage of text completions without usage; a token array is counted exactly, an echo is no output."""
    before = sum(len(p) if isinstance(p, tuple) else tokens_of_text(p) for p in request.prompts)
    echo = request.prompts[0] if request.echo and len(request.prompts) == 1 else ""
    own = [text.removeprefix(echo) if isinstance(echo, str) else text for text in texts]
    return Usage(input_tokens=before, output_tokens=sum(map(tokens_of_text, own)), estimated=True)
