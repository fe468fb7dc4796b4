"""Losses of answers: what a provider sent and the client's API has no place for.

Encoders of answers write what their wire can carry. What is left over is found here, in the canonical
response, by one table for all dialects; tests/dialects/test_answer_losses.py compares the table with what
the encoders write. This concerns content: counts of tokens are in the row of the call and in the ledger, and
signatures that a later turn needs are in the vault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Native,
    OpaquePart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.canonical.response import Choice, Response
from app.dialects.shared.lenient_json import as_dict, dicts
from app.dialects.shared.losses import Losses
from app.dialects.shared.members import drawn_picture, flat_members

_ALWAYS: Final = frozenset({"stop", "picture by id", "tool result", "item", "member", "unread citation"})
"""What no dialect carries for another one; ``stop`` is an end by an unknown word."""
_FAMILIAR: Final = _ALWAYS | {"file", "nested citation", "top"}
_BLOCKS: Final = _FAMILIAR | {"choices", "odd picture", "picture by URL", "logprobs"}
_WITHOUT_MEDIA: Final = _BLOCKS | {"picture", "sound"}

_LACKS: Final[Mapping[str, frozenset[str]]] = {
    "chat": _ALWAYS | {"file", "file citation", "fault"},
    "completions": _WITHOUT_MEDIA - {"choices", "logprobs"}
    | {"transcript", "reasoning", "call", "URL citation", "file citation", "fault"},
    "responses": _ALWAYS | {"choices"},
    "messages": _WITHOUT_MEDIA | {"file citation", "fault"},
    "gemini": _FAMILIAR,
    "converse": _BLOCKS,
    "cohere": _WITHOUT_MEDIA - {"logprobs"},
}
"""The features that answers of a dialect cannot hold."""

_STREAMS_LACK: Final[Mapping[str, frozenset[str]]] = {"converse": frozenset({"sound"})}
"""The features that only whole answers of a dialect can hold."""

_STRUCTURE: Final = frozenset(
    """
    as_document as_source caller channel citations content_filter_result content_filter_results created_by expires_at
    explains finishMessage format function_call groundingMetadata citationMetadata avgLogprobs id index item
    matched_stop message mimeType model namespace native_finish_reason parsed phase plan provider_specific_fields
    reasoning_details role safetyRatings signed status stop_reason token_ids tokenCount type whole
    """.split()
)
"""Native members that are no content: identity, form, verdicts, and what the decoder has read already."""

_STOPS: Final = frozenset(
    """
    1 compaction complete completed end_turn eos eos_token function_call incomplete pause_turn stop stop_sequence
    tool_call tool_calls tool_use
    """.split()
)
"""Words for an ordinary end; decoders read a word that they do not know as a stop."""

_TOP: Final = ("images", "related_questions", "videos")
"""Native members of a whole answer that are content; others (fingerprints, times, verdicts) are about the answer."""

Feature = tuple[str, str]
"""The key of a feature, and its name in a warning."""


def report_losses(response: Response, dialect: str, losses: Losses, *, streamed: bool = False) -> None:
    """Report what ``response`` has and an answer of the client's ``dialect`` cannot hold."""
    lacks = _LACKS[dialect] | (_STREAMS_LACK.get(dialect, frozenset()) if streamed else frozenset())
    for feature, name in _features(response, dialect):
        if feature in lacks:
            losses.report_answer(name)


def _features(response: Response, dialect: str) -> Iterator[Feature]:
    """Yield the features of a response that some dialect lacks."""
    if len(response.choices) > 1:
        yield "choices", "further choices"
    for choice in response.choices:
        yield from _choice_features(choice, dialect)
    members = {} if response.native is None else response.native[1]
    for name in _TOP:
        if members.get(name):
            yield "top", f"the member '{name}'"
    for row in (*dicts(members.get("choices")), *dicts(members.get("candidates"))):
        yield from _members((response.native[0], row), dialect)  # type: ignore[index]
        yield from _members((response.native[0], as_dict(row.get("message"))), dialect)  # type: ignore[index]


def _choice_features(choice: Choice, dialect: str) -> Iterator[Feature]:
    finish = choice.finish
    if finish is not None and (finish.reason == "fault" or (finish.raw or "stop").lower() not in _STOPS):
        yield finish.reason, f"the finish reason '{finish.raw}'"
    for message in choice.messages:
        yield from _members(message.native, dialect)
        for part in message.parts:
            if isinstance(part, OpaquePart):
                if part.native[0] != dialect or (
                    dialect == "chat" and "reasoning_details" not in part.native[1]
                ):
                    yield _item(part)
                continue
            if (features := _PARTS.get(type(part))) is not None:
                yield from features(part)
            if part.native is not None:
                yield from _members(part.native, dialect)


def _item(part: OpaquePart) -> Feature:
    picture = drawn_picture(part)
    return ("item", f"an item of type '{part.type}'") if picture is None else next(_image(picture))


def _members(native: Native | None, dialect: str) -> Iterator[Feature]:
    """Yield the native members of another dialect that may be content."""
    if native is None or native[0] == dialect:
        return
    for name, value in flat_members(native).items():
        if name not in _STRUCTURE and value not in (None, "", [], {}):
            yield "member", f"the member '{name}'"


def _text(part: TextPart) -> Iterator[Feature]:
    for note in part.annotations:
        kind = note.get("type")
        place = "nested" if isinstance(note.get(str(kind)), dict) else "URL" if "url" in note else "file"
        yield f"{place} citation", f"a citation of type '{kind}'"
    if part.logprobs:
        yield "logprobs", "log probabilities"
    if part.native is not None and len(dicts(part.native[1].get("citations"))) > len(part.annotations):
        yield "unread citation", "a citation of an unknown type"


def _image(part: ImagePart) -> Iterator[Feature]:
    where = "picture by URL" if part.url is not None else "picture by id"
    if part.data is not None:
        where = "picture" if part.media_type in _USUAL else "odd picture"
    yield where, "a picture"


_USUAL: Final = frozenset({None, "image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp"})


def _audio(part: AudioPart) -> Iterator[Feature]:
    if part.data:
        yield "sound", "sound"
    if part.transcript:
        yield "transcript", "the transcript of sound"


_PARTS: Final[Mapping[type, Callable[[Any], Iterator[Feature]]]] = {
    TextPart: _text,
    ImagePart: _image,
    AudioPart: _audio,
    FilePart: lambda _: iter([("file", "a file")]),
    ReasoningPart: lambda _: iter([("reasoning", "reasoning")]),
    ToolCallPart: lambda _: iter([("call", "a tool call")]),
    ToolResultPart: lambda _: iter([("tool result", "the result of a tool")]),
}
