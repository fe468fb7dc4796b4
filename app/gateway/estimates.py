"""Token counts where nobody tells: a rough guess, always marked as one.

Four characters of text make a token, an image 765 (OpenAI's figure for a small picture in
high detail), a message or tool a few more for its frame.

Tests: tests/replay, tests/behaviour/test_odd_shapes.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

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

_CHARACTERS: Final = 4
_IMAGE: Final = 765
_FRAME: Final = 4


def tokens_of_text(text: str) -> int:
    """Return the guessed tokens of a text."""
    return -(-len(text) // _CHARACTERS)


def tokens_of_parts(parts: Iterable[Part]) -> int:
    """Return the guessed tokens of message parts."""
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
    """Return the guessed input tokens of a request: instructions, messages and tools."""
    total = tokens_of_text(request.instructions or "")
    total += sum(_FRAME + tokens_of_parts(message.parts) for message in request.messages)
    for tool in request.tools:
        total += _FRAME + tokens_of_text(tool.name) + tokens_of_text(tool.description or "")
        total += tokens_of_text(dumps(dict(tool.parameters)).decode()) if tool.parameters else 0
    return total


def estimated_usage(request: Request, response: Response) -> Usage:
    """Return the guessed usage of an answer whose wire told none."""
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


def estimated_completion_usage(request: CompletionRequest, texts: Iterable[str]) -> Usage:
    """Return the guessed usage of text completions whose wire told none; a token array counts as it is."""
    before = sum(len(p) if isinstance(p, tuple) else tokens_of_text(p) for p in request.prompts)
    return Usage(
        input_tokens=before, output_tokens=sum(tokens_of_text(text) for text in texts), estimated=True
    )
