"""JSON within the texts of tool calls and tool results: bounded for all of a request, or of a whole answer, together.

Each text is read as JSON by itself, up to ``MAX_ELEMENTS`` (``lenient_json``), and a body's own limit counts it as one element.
So many texts could make objects without a bound. Tests: tests/behaviour/test_nested_json.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from app.canonical.json_structure import elements_in, openers_in
from app.canonical.request import Message, Part, TextPart, ToolCallPart, ToolResultPart
from app.dialects.shared.lenient_json import is_moderate

MAX_NESTED: Final = 1_000_000
"""Members and elements in all texts together; as many tokens are more than models read."""


def has_too_much(messages: Iterable[Message]) -> bool:
    """Tell whether the texts of ``messages`` that are read as JSON have more than ``MAX_NESTED`` members and elements."""
    texts = [text for message in messages for part in message.parts for text in _texts(part)]
    if sum(map(len, texts)) <= MAX_NESTED:
        return False
    bodies = [text.encode("utf-8", "surrogatepass") for text in texts if text.lstrip()[:1] in ("{", "[")]
    if sum(openers_in(body) + body.count(b",") for body in bodies) <= MAX_NESTED:
        return False
    return sum(elements_in(body) for body in bodies if is_moderate(body)) > MAX_NESTED


def _texts(part: Part) -> Iterator[str]:
    if isinstance(part, ToolCallPart):
        yield part.arguments
    elif isinstance(part, ToolResultPart):
        yield from (inner.text for inner in part.content if isinstance(inner, TextPart))
