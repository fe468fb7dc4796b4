"""Decode a Converse response (client half): content blocks, stop reasons, usage, errors.

Sources: docs/contract/providers.md (Bedrock's Converse), botocore's service model, recorded traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.record import record
from app.canonical.request import (
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    Signature,
    TextPart,
)
from app.canonical.response import Choice, FinishReason, Response, Usage
from app.dialects.base import ClientContext
from app.dialects.converse.options import NAME
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.decoder_parts import call_part, finish_of, items_of
from app.dialects.shared.failures import upstream_failure
from app.dialects.shared.lenient_json import (
    JSON,
    as_dict,
    as_str,
    count,
    dicts,
    json_text,
    opt_str,
    without_nulls,
)
from app.dialects.shared.members import native_rest
from app.dialects.shared.tool_forms import custom_tool_names
from app.dialects.shared.usage_repair import native_usage
from app.dialects.shared.usage_sides import sides
from app.errors import GatewayError

FINISHES: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "fault",
    "malformed_tool_use": "fault",
}
_EXCEPTIONS: Final[Mapping[str, int]] = {
    # exception's name in lower case without "exception": HTTP status
    "throttling": 429,
    "servicequotaexceeded": 429,
    "serviceunavailable": 503,
    "modelnotready": 503,
    "internalserver": 500,
    "modelstreamerror": 500,
    "modelerror": 500,
    "modeltimeout": 504,
    "validation": 400,
    "accessdenied": 403,
    "resourcenotfound": 404,
}
_CANONICAL: Final = frozenset({"output", "stopReason", "usage", "serviceTier"})
_IMAGE_TYPES: Final = {"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}


@record
class BlockReader:
    """Decode content blocks.

    ``realm`` is that of signatures, ``customs`` are the names of free-text tools, ``new_id`` makes
    the id of a call without one.
    """

    realm: str | None
    customs: frozenset[str]
    new_id: Callable[[str], str]

    def parts(self, blocks: list[JSON]) -> list[Part]:
        """Return the parts of a response.

        Citations without a text belong to the text before them, as Nova's web grounding sends
        them (AWS, Nova 2 user guide, "Web Grounding", read 2026-11-28).
        """
        parts: list[Part] = []
        for block in blocks:
            part, before = self.part(block), parts[-1] if parts else None
            if isinstance(part, TextPart) and not part.text and part.native and isinstance(before, TextPart):
                parts[-1] = with_citations(before, part.native[1]["citations"])
            else:
                parts.append(part)
        return parts

    def part(self, block: Mapping[str, Any]) -> Part:
        """Return the part of one block; unknown kinds are opaque."""
        block = without_nulls(block)
        for kind, reader in _READERS.items():
            if kind in block:
                return reader(self, block)
        return opaque(block)

    def sign(self, value: str) -> Signature:
        """Return a signature that the target made."""
        return Signature(value, NAME, self.realm)

    def reasoning(self, text: str, signature: str, redacted: str) -> ReasoningPart:
        """Return a thought; if its text was withheld, the signature's value begins with ``OMITTED``."""
        if redacted:
            return ReasoningPart("", "hidden", self.sign(redacted))
        if not signature:
            return ReasoningPart(text)
        return ReasoningPart(text, signature=self.sign(signature if text else OMITTED + signature))

    def tool_call(self, call_id: str | None, name: str, arguments: str) -> Part:
        """Return a call with its input as JSON text; a call that stands for a JSON answer is its text."""
        return call_part(call_id or self.new_id("tooluse"), name, arguments, self.customs)

    def _reasoning(self, block: Mapping[str, Any]) -> Part:
        thought = as_dict(block.get("reasoningContent"))
        text = as_dict(thought.get("reasoningText"))
        return self.reasoning(
            as_str(text.get("text")), as_str(text.get("signature")), as_str(thought.get("redactedContent"))
        )

    def _tool_use(self, block: Mapping[str, Any]) -> Part:
        call = as_dict(block.get("toolUse"))
        if call.get("type") == "server_tool_use":
            return OpaquePart("server_tool_use", (NAME, dict(block)))
        return self.tool_call(
            opt_str(call.get("toolUseId")), as_str(call.get("name")), json_text(as_dict(call.get("input")))
        )

    def _text_with_citations(self, block: Mapping[str, Any]) -> Part:
        content = as_dict(block.get("citationsContent"))
        text = "".join(as_str(piece.get("text")) for piece in dicts(content.get("content")))
        return with_citations(TextPart(text), dicts(content.get("citations")))

    def _image(self, block: Mapping[str, Any]) -> Part:
        image = as_dict(block.get("image"))
        data = opt_str(as_dict(image.get("source")).get("bytes"))
        if data is None:
            return opaque(block)
        return ImagePart(data, _IMAGE_TYPES.get(as_str(image.get("format"))))


_READERS: Final[Mapping[str, Callable[[BlockReader, Mapping[str, Any]], Part]]] = {
    "text": lambda _, block: TextPart(as_str(block.get("text"))),
    "reasoningContent": BlockReader._reasoning,
    "toolUse": BlockReader._tool_use,
    "citationsContent": BlockReader._text_with_citations,
    "image": BlockReader._image,
}


def reader_of(context: ClientContext) -> BlockReader:
    """Return a reader for the response to the context's request."""
    return BlockReader(context.realm, custom_tool_names(context.request), context.new_id)


def opaque(block: Mapping[str, Any]) -> OpaquePart:
    """Return a block as an opaque part; the name of its one member is the type."""
    return OpaquePart(next(iter(block), "unknown"), (NAME, dict(block)))


def with_citations(part: TextPart, citations: list[JSON]) -> TextPart:
    """Return a text with its citations, as annotations and as native members."""
    if not citations:
        return part
    notes = tuple(note for citation in citations if (note := annotation_of(citation, part.text)) is not None)
    earlier = part.native[1]["citations"] if part.native is not None else []
    native = (NAME, {"citations": [*earlier, *citations]})
    return replace(part, annotations=part.annotations + notes, native=native)


def annotation_of(citation: Mapping[str, Any], text: str) -> JSON | None:
    """Return a flat OpenAI annotation of the whole ``text``: ``url_citation`` for a web page or a search result,
    ``file_citation`` for a place in a document, None for any other citation."""
    location = without_nulls(as_dict(citation.get("location")))
    web = as_dict(location.get("web"))
    title = as_str(citation.get("title"))
    if web or "searchResultLocation" in location:
        return {
            "type": "url_citation",
            "url": as_str(web.get("url")) or as_str(citation.get("source")),
            "title": title or as_str(web.get("domain")),
            "start_index": 0,
            "end_index": len(text),
        }
    place = next((as_dict(value) for name, value in location.items() if name.startswith("document")), None)
    if place is None:
        return None
    return {
        "type": "file_citation",
        "file_id": as_str(citation.get("source")),
        "filename": title,
        "index": count(place.get("documentIndex")) or 0,
    }


def decode_response(body: Any, context: ClientContext) -> Response:
    """Return the canonical response of a body; raises ``upstream_invalid`` if it has no message."""
    answer = as_dict(body)
    message = as_dict(as_dict(answer.get("output")).get("message"))
    if not isinstance(message.get("content"), list):
        raise GatewayError("upstream_invalid", "The provider's answer has no message.", raw=body)
    reader = reader_of(context)
    parts = reader.parts(dicts(message["content"]))
    return Response(
        context.new_id("msg"),
        None,
        (Choice(0, items_of(parts), finish_of(answer.get("stopReason"), FINISHES, parts)),),
        decode_usage(answer.get("usage")),
        service_tier=tier_of(answer),
        native=native_rest(NAME, answer, _CANONICAL),
    )


def tier_of(members: Mapping[str, Any]) -> str | None:
    """Return the service tier that served the call."""
    return opt_str(as_dict(members.get("serviceTier")).get("type"))


def decode_usage(value: Any) -> Usage | None:
    """Return the usage, None if neither input nor output tokens are reported.

    ``inputTokens`` excludes tokens read from and written to the cache; ``totalTokens`` includes them.
    """
    raw = as_dict(value)
    uncached, output = count(raw.get("inputTokens")), count(raw.get("outputTokens"))
    if uncached is None and output is None:
        return None
    cached = count(raw.get("cacheReadInputTokens")) or 0
    cache_writes = count(raw.get("cacheWriteInputTokens")) or 0
    total = count(raw.get("totalTokens"))
    before = None if uncached is None else uncached + cached + cache_writes
    tokens = sides(before, output, total)
    return Usage(
        input_tokens=max(tokens.input, cached + cache_writes),
        output_tokens=tokens.output,
        total_tokens=total,
        cached_tokens=cached,
        cache_write_tokens=cache_writes,
        details=dict(_writes_by_ttl(raw)),
        missing=tokens.missing,
        native=native_usage(NAME, raw),
    )


def _writes_by_ttl(raw: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for entry in dicts(raw.get("cacheDetails")):
        tokens = count(entry.get("inputTokens"))
        if tokens and entry.get("ttl") in ("5m", "1h"):
            yield f"input.cache_write_{entry['ttl']}_tokens", tokens


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Return the error of a response with status 400 or above.

    AWS's error body has a ``message``; the exception's name is in the header ``x-amzn-errortype``.
    """
    error = as_dict(body)
    text = opt_str(error.get("message")) or opt_str(error.get("Message"))
    name = headers.get("x-amzn-errortype", "").partition(":")[0] or opt_str(error.get("__type"))
    return upstream_failure(status, text or opt_str(body), type=name or None, headers=headers, raw=body)


def exception_error(name: str, payload: Any) -> GatewayError:
    """Return the error of an exception message inside a stream (``throttlingException`` …)."""
    error = as_dict(payload)
    status = count(error.get("originalStatusCode"))
    if status is None or not 400 <= status <= 599:
        status = _EXCEPTIONS.get(name.lower().removesuffix("exception"), 500)
    texts = (opt_str(error.get(member)) for member in ("originalMessage", "message", "Message"))
    return upstream_failure(status, next(filter(None, texts), None), type=name, raw=payload)
