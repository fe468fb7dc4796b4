"""Canonical answers as Converse answers (server half): blocks, stop reasons, usage, errors.

Source of the shapes: botocore's service model of ``bedrock-runtime``, the recorded exchanges.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.request import (
    ImagePart,
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, FinishReason, Response, Usage
from app.dialects.base import ServerContext
from app.dialects.converse.options import NAME
from app.dialects.converse.response_in import FINISHES
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.lenient_json import as_str, count, dicts
from app.dialects.shared.tool_forms import call_object
from app.errors import GatewayError

Members = dict[str, Any]

_STOPS: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "fault": "malformed_model_output",
    "error": "malformed_model_output",
}
_FORMATS: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}


def encode_response(response: Response, request: Request, context: ServerContext) -> Members:
    """Return a Converse answer; of several choices the first.

    ``metrics.latencyMs`` is what the upstream told, else 0: a dialect has no clock.
    """
    choice = response.choices[0] if response.choices else Choice(0, ())
    parts = [part for message in choice.messages for part in message.parts]
    content = [block for part in parts for block in encode_part(part, context)]
    refused = any(isinstance(part, RefusalPart) for part in parts)
    return {
        "metrics": {"latencyMs": 0},
        **own_members(response.native),
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_word(choice.finish, refused=refused),
        "usage": encode_usage(response.usage),
        **tier_members(response.service_tier),
    }


def own_members(native: Native | None) -> Mapping[str, Any]:
    """Return native members of this dialect, else none."""
    return native[1] if native is not None and native[0] == NAME else {}


def encode_part(part: Part, context: ServerContext) -> list[Members]:
    """Return the blocks of an answer's part, none for what this wire cannot say."""
    writer = _WRITERS.get(type(part))
    return writer(part, context) if writer is not None else []


def _text(part: TextPart, context: ServerContext) -> list[Members]:
    if own := dicts(own_members(part.native).get("citations")):
        return [{"citationsContent": {"content": [{"text": part.text}], "citations": own}}]
    cited = [citation_of(note, part.text) for note in part.annotations]
    text: list[Members] = [{"text": part.text}]
    return [*text, {"citationsContent": {"content": [], "citations": cited}}] if cited else text


def citation_of(note: Mapping[str, Any], text: str) -> Members:
    """Return another maker's annotation of ``text`` as a citation: a web page, or a document."""
    url, title = as_str(note.get("url")), as_str(note.get("title")) or as_str(note.get("filename"))
    if not url:
        place = {"documentIndex": count(note.get("index")) or 0, "start": 0, "end": 0}
        return {"title": title, "source": as_str(note.get("file_id")), "location": {"documentChar": place}}
    start, end = count(note.get("start_index")) or 0, count(note.get("end_index"))
    words = text[start : len(text) if end is None else end]
    domain = url.partition("://")[2].partition("/")[0]
    source = [{"text": words}] if words else []
    return {"title": title, "sourceContent": source, "location": {"web": {"url": url, "domain": domain}}}


def reasoning_content(part: ReasoningPart, context: ServerContext) -> Members | None:
    """Return what carries a thought's signature and, but for a hidden one, its text; None for nothing.

    A sealed signature is a token; the member of bytes holds it as base64.
    """
    token = signature_text(part.signature, context)
    if part.form != "hidden" or (part.signature is not None and part.signature.value.startswith(OMITTED)):
        signed = {"signature": token.removeprefix(OMITTED)} if token else {}
        return {"reasoningText": {"text": part.text, **signed}}
    if part.signature is None or not token:
        return None
    plain = token == part.signature.value and part.signature.dialect == NAME
    return {"redactedContent": token if plain else base64.b64encode(token.encode()).decode("ascii")}


def signature_text(signature: Signature | None, context: ServerContext) -> str:
    """Return a signature's text for the client, empty without one."""
    return context.wrap(signature) if signature is not None else ""


def _reasoning(part: ReasoningPart, context: ServerContext) -> list[Members]:
    content = reasoning_content(part, context)
    return [] if content is None else [{"reasoningContent": content}]


def _call(part: ToolCallPart, context: ServerContext) -> list[Members]:
    return [{"toolUse": {"toolUseId": part.id, "name": part.name, "input": call_object(part)}}]


def _image(part: ImagePart, context: ServerContext) -> list[Members]:
    kind = _FORMATS.get(part.media_type or "image/png")
    if part.data is None or kind is None:
        return []
    return [{"image": {"format": kind, "source": {"bytes": part.data}}}]


def _opaque(part: OpaquePart, context: ServerContext) -> list[Members]:
    block = dict(own_members(part.native))
    return [block] if block else []  # one without a member has no kind, and would be none


_WRITERS: Final[Mapping[type, Callable[[Any, ServerContext], list[Members]]]] = {
    TextPart: _text,
    RefusalPart: lambda part, context: [{"text": part.text}],
    ReasoningPart: _reasoning,
    ToolCallPart: _call,
    ImagePart: _image,
    OpaquePart: _opaque,
}


def stop_word(finish: Finish | None, *, refused: bool = False) -> str:
    """Return the stop reason, the wire's own word where it is one; a refusal is filtered content."""
    if finish is None:
        return "end_turn"
    if refused and finish.reason == "stop":
        return "content_filtered"
    if finish.raw is not None and FINISHES.get(finish.raw) == finish.reason:
        return finish.raw
    return "stop_sequence" if finish.stop_sequence else _STOPS[finish.reason]


def encode_usage(usage: Usage | None) -> Members:
    """Return the usage in this wire's sense: ``inputTokens`` without cached and written ones."""
    if usage is None:
        return {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
    if usage.native is not None and usage.native[0] == NAME:
        return dict(usage.native[1])
    cached = min(usage.cached_tokens, usage.input_tokens)  # some hosts tell more than they count
    written: Members = {
        "inputTokens": max(0, usage.input_tokens - cached - usage.cache_write_tokens),
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total,
    }
    if usage.cached_tokens or usage.cache_write_tokens:
        written["cacheReadInputTokens"] = cached
        written["cacheWriteInputTokens"] = usage.cache_write_tokens
    return written


def tier_members(tier: str | None) -> Members:
    """Return the service tier, nothing where none is told."""
    return {"serviceTier": {"type": tier}} if tier else {}


# errors

_NAMES: Final = {
    400: "ValidationException",
    401: "AccessDeniedException",
    402: "ServiceQuotaExceededException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    409: "ConflictException",
    429: "ThrottlingException",
    500: "InternalServerException",
    502: "ModelErrorException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
}


def error_status(error: GatewayError) -> int:
    """Return the HTTP status of an error at this door: a model that is not there is 404."""
    return 404 if error.kind.name == "model_not_found" else error.status


def error_name(error: GatewayError) -> str:
    """Return the exception's name, which goes into the header ``x-amzn-ErrorType``."""
    status = error_status(error)
    return _NAMES.get(status, "ValidationException" if status < 500 else "InternalServerException")


def encode_error(error: GatewayError) -> Members:
    """Return AWS's error body; ``error_name`` is its header."""
    return {"message": error.message}


_STREAM_NAMES: Final = {
    "ThrottlingException": "throttlingException",
    "ServiceUnavailableException": "serviceUnavailableException",
    "ValidationException": "validationException",
    "InternalServerException": "internalServerException",
}


def exception_of(error: GatewayError) -> tuple[str, Members]:
    """Return the name and body of the exception that ends a stream: the five that the
    service model knows there."""
    name = _STREAM_NAMES.get(error_name(error), "modelStreamErrorException")
    if name != "modelStreamErrorException":
        return name, {"message": error.message}
    status = error_status(error)
    return name, {"message": error.message, "originalStatusCode": status, "originalMessage": error.message}
