"""Read a request of the sandbox: the last user message, tool results since then, words, history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.providers.sandbox.limits import count_words, part_text


def last_user(request: Request) -> int | None:
    """Return the index of the last user message that says something, else of the last one."""
    indexes = [index for index, message in enumerate(request.messages) if message.role == "user"]
    with_text = [index for index in indexes if text_of(request.messages[index].parts).strip()]
    return with_text[-1] if with_text else indexes[-1] if indexes else None


def since_user(request: Request) -> tuple[Message, ...]:
    """Return the messages after the last user message: calls made for it and their results."""
    index = last_user(request)
    return request.messages if index is None else request.messages[index + 1 :]


def user_text(request: Request) -> str:
    """Return the text of the last user message, parts on lines of their own."""
    index = last_user(request)
    return "" if index is None else text_of(request.messages[index].parts)


def text_of(parts: Iterable[Part]) -> str:
    """Return the texts of ``parts``, each on lines of its own."""
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


def attachments(request: Request) -> str:
    """Name what the user's last turn holds besides text (``1 image and 2 files (a.pdf, b.pdf)``);
    empty where that is nothing."""
    parts = [part for message in _last_turn(request) for part in message.parts]
    counts = Counter(_KINDS[type(part)] for part in parts if type(part) in _KINDS)
    names = [part.filename for part in parts if isinstance(part, FilePart) and part.filename]
    *others, last = [f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items()] or [""]
    sentence = f"{', '.join(others)} and {last}" if others else last
    return f"{sentence} ({', '.join(names)})" if names else sentence


_KINDS: Final[Mapping[type, str]] = {ImagePart: "image", AudioPart: "recording", FilePart: "file"}


def _last_turn(request: Request) -> Iterator[Message]:
    """Yield the last user message and the user messages that stand directly around it."""
    index = last_user(request)
    if index is None:
        return
    start = end = index
    while start > 0 and request.messages[start - 1].role == "user":
        start -= 1
    while end < len(request.messages) and request.messages[end].role == "user":
        end += 1
    yield from request.messages[start:end]


def input_words(request: Request) -> int:
    """Count the words of everything that the model reads: instructions, texts, calls, results."""
    count = sum(_part_words(part) for message in request.messages for part in message.parts)
    return count + count_words(request.instructions or "")


def _part_words(part: Part) -> int:
    results = part.content if isinstance(part, ToolResultPart) else ()
    return count_words(part_text(part)) + sum(map(_part_words, results))


def history(request: Request) -> str:
    """Return the conversation as lines ``role: text``, with other parts in brackets."""
    lines = [] if not request.instructions else [f"system: {request.instructions}"]
    for message in request.messages:
        text = " ".join(piece for part in message.parts if (piece := describe_part(part)))
        lines.append(f"{message.role}: {text}")
    return "\n".join(lines)


def describe_part(part: Part) -> str:
    """Return one part in words."""
    return _DESCRIPTIONS[type(part)](part)


def _reasoning(part: ReasoningPart) -> str:
    suffix = ", signed" if part.signature is not None else ""
    return f"[reasoning{suffix}: {part.text}]" if part.text else f"[reasoning{suffix}]"


def _file(part: FilePart) -> str:
    name = f" {part.filename}" if part.filename else ""
    return f"[file{name}: {part.text}]" if part.text else f"[file{name}]"


_DESCRIPTIONS: Final[Mapping[type, Callable[[Any], str]]] = {
    TextPart: lambda part: part.text,
    RefusalPart: lambda part: f"[refusal: {part.text}]",
    ReasoningPart: _reasoning,
    ToolCallPart: lambda part: f"[call {part.name} {part.arguments}]",
    ToolResultPart: lambda part: f"[result: {' '.join(map(describe_part, part.content))}]",
    ImagePart: lambda part: "[image]",
    AudioPart: lambda part: "[recording]",
    FilePart: _file,
    OpaquePart: lambda part: f"[{part.type}]",
}


def results(request: Request) -> list[ToolResultPart]:
    """Return the tool results that came after the last user message."""
    return [
        part for message in since_user(request) for part in message.parts if isinstance(part, ToolResultPart)
    ]


def count_calls(request: Request) -> int:
    """Count the calls that the model has made since the last user message."""
    return sum(isinstance(part, ToolCallPart) for message in since_user(request) for part in message.parts)


def tool_names(request: Request) -> dict[str, str]:
    """Return the tool's name of every call in the conversation, by call id."""
    return {
        part.id: part.name
        for message in request.messages
        for part in message.parts
        if isinstance(part, ToolCallPart)
    }
