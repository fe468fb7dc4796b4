"""Encode a canonical response as a Converse response (server half): blocks, stop reasons, usage, errors.

Sources: botocore's service model of ``bedrock-runtime``, recorded traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Finish, FinishReason, Response, Usage
from app.dialects.base import ServerContext, status_of_error
from app.dialects.converse.options import IMAGE_FORMATS, NAME
from app.dialects.converse.response_in import FINISHES
from app.dialects.shared import block_encoder
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.lenient_json import JSON, as_str, count, dicts, encode_base64
from app.dialects.shared.members import drawn_picture, own_members
from app.dialects.shared.tool_forms import call_object
from app.errors import GatewayError

_STOPS: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "fault": "malformed_model_output",
    "error": "malformed_model_output",
}


def encode_response(response: Response, request: Request, context: ServerContext) -> JSON:
    """Return a Converse response with the first choice.

    ``metrics.latencyMs`` is what a Bedrock upstream reported, else 0: a dialect has no clock.
    """
    choice = response.first
    content = [block for part in choice.parts for block in encode_part(part, context)]
    return {
        "metrics": {"latencyMs": 0},
        **own_members(response.native, NAME),
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_word(choice.finish, refused=choice.refused),
        "usage": encode_usage(response.usage),
        **tier_members(response.service_tier),
    }


def encode_part(part: Part, context: ServerContext) -> list[JSON]:
    """Return the blocks of a response's part, none if Converse has no block for it."""
    writer = _WRITERS.get(type(part))
    return writer(part, context) if writer is not None else []


def _text(part: TextPart, context: ServerContext) -> list[JSON]:
    if own := dicts(own_members(part.native, NAME).get("citations")):
        return [{"citationsContent": {"content": [{"text": part.text}], "citations": own}}]
    citations = citations_of(part.annotations, part.text)
    text: list[JSON] = [{"text": part.text}]
    return [*text, {"citationsContent": {"content": [], "citations": citations}}] if citations else text


def citations_of(notes: Iterable[Mapping[str, Any]], text: str) -> list[JSON]:
    """Return another API's annotations of ``text`` as citations of web pages and documents."""
    return list(map(_citation, block_encoder.citations_in(text, notes)))


def _citation(citation: block_encoder.Citation) -> JSON:
    note = citation.note
    url, title = as_str(note.get("url")), as_str(note.get("title")) or as_str(note.get("filename"))
    if not url:
        place = {"documentIndex": count(note.get("index")) or 0, "start": 0, "end": 0}
        return {"title": title, "source": as_str(note.get("file_id")), "location": {"documentChar": place}}
    domain = url.partition("://")[2].partition("/")[0]
    source = [{"text": citation.span}] if citation.span else []
    return {"title": title, "sourceContent": source, "location": {"web": {"url": url, "domain": domain}}}


def reasoning_content(part: ReasoningPart, context: ServerContext) -> JSON | None:
    """Return a thought as ``reasoningText``, or as ``redactedContent`` if it is hidden; None if it has neither.

    ``redactedContent`` is a member of bytes: a sealed signature is base64 there.
    """
    token = context.wrap(part.signature) if part.signature is not None else ""
    if part.form != "hidden" or (part.signature is not None and part.signature.value.startswith(OMITTED)):
        seal = {"signature": token.removeprefix(OMITTED)} if token else {}
        return {"reasoningText": {"text": part.text, **seal}}
    if part.signature is None or not token:
        return None
    is_own = token == part.signature.value and part.signature.dialect == NAME
    return {"redactedContent": token if is_own else encode_base64(token)}


def _reasoning(part: ReasoningPart, context: ServerContext) -> list[JSON]:
    content = reasoning_content(part, context)
    return [] if content is None else [{"reasoningContent": content}]


def _call(part: ToolCallPart, context: ServerContext) -> list[JSON]:
    return [{"toolUse": {"toolUseId": part.id, "name": part.name, "input": call_object(part)}}]


def _image(part: ImagePart, context: ServerContext) -> list[JSON]:
    kind = IMAGE_FORMATS.get(part.media_type or "image/png")
    if part.data is None or kind is None:
        return []
    return [{"image": {"format": kind, "source": {"bytes": part.data}}}]


def _audio(part: AudioPart, context: ServerContext) -> list[JSON]:
    words: list[JSON] = [{"text": part.transcript}] if part.transcript else []
    if not part.data:
        return words
    return [{"audio": {"format": part.format or "wav", "source": {"bytes": part.data}}}, *words]


def _opaque(part: OpaquePart, context: ServerContext) -> list[JSON]:
    if (picture := drawn_picture(part)) is not None:
        return _image(picture, context)
    block = dict(own_members(part.native, NAME))
    return [block] if block else []  # a block without a member has no kind


_WRITERS: Final[Mapping[type, Callable[[Any, ServerContext], list[JSON]]]] = {
    TextPart: _text,
    RefusalPart: lambda part, context: [{"text": part.text}],
    ReasoningPart: _reasoning,
    ToolCallPart: _call,
    ImagePart: _image,
    AudioPart: _audio,
    OpaquePart: _opaque,
}


def stop_word(finish: Finish | None, *, refused: bool) -> str:
    """Return the value of ``stopReason``."""
    return block_encoder.finish_word(finish, _STOPS, FINISHES, "stop_sequence", refused=refused)


def encode_usage(usage: Usage | None) -> JSON:
    """Return the usage; ``inputTokens`` excludes tokens read from and written to the cache."""
    if usage is None:
        return {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
    own = own_members(usage.native, NAME)
    if own and not usage.estimated:
        return dict(own)
    cached = min(usage.cached_tokens, usage.input_tokens)  # some hosts report more than the whole input
    tokens = {
        **own,
        "inputTokens": max(0, usage.input_tokens - cached - usage.cache_write_tokens),
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total,
    }
    if not usage.cached_tokens and not usage.cache_write_tokens:
        return tokens
    tokens |= {"cacheReadInputTokens": cached, "cacheWriteInputTokens": usage.cache_write_tokens}
    writes = {ttl: usage.details.get(f"input.cache_write_{ttl}_tokens") for ttl in ("5m", "1h")}
    details = [{"ttl": ttl, "inputTokens": count} for ttl, count in writes.items() if count]
    return {**tokens, "cacheDetails": details} if details else tokens


def tier_members(tier: str | None) -> JSON:
    """Return the member ``serviceTier``, none without a tier."""
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


def error_name(error: GatewayError) -> str:
    """Return the exception's name, the value of the header ``x-amzn-ErrorType``."""
    status = status_of_error(error)
    return _NAMES.get(status, "ValidationException" if status < 500 else "InternalServerException")


def encode_error(error: GatewayError) -> JSON:
    """Return AWS's error body; ``error_name`` is the value of its header."""
    return {"message": error.message}


_STREAM_NAMES: Final = {
    "ThrottlingException": "throttlingException",
    "ServiceUnavailableException": "serviceUnavailableException",
    "ValidationException": "validationException",
    "InternalServerException": "internalServerException",
}
"""The exceptions of a stream, beside ``modelStreamErrorException`` (botocore's service model)."""


def exception_of(error: GatewayError) -> tuple[str, JSON]:
    """Return the name and body of the exception that ends a stream."""
    name, body = _STREAM_NAMES.get(error_name(error)), encode_error(error)
    if name is not None:
        return name, body
    original = {"originalStatusCode": status_of_error(error), "originalMessage": error.message}
    return "modelStreamErrorException", {**body, **original}
