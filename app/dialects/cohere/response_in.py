"""Decode a Cohere v2 chat response (client half): content, plans, calls, citations, usage, errors.

Sources: docs/contract/providers.md (Others), the cohere SDK's ``V2ChatResponse``, recorded traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.canonical.request import OpaquePart, Part, ReasoningPart, TextPart
from app.canonical.response import Choice, FinishReason, Response, Usage
from app.dialects.base import ClientContext
from app.dialects.cohere.options import NAME, PLAN
from app.dialects.shared.decoder_parts import call_part, counts_at, finish_of, items_of
from app.dialects.shared.failures import upstream_failure
from app.dialects.shared.lenient_json import (
    JSON,
    as_dict,
    as_list,
    as_str,
    count,
    dicts,
    label,
    number,
    opt_str,
)
from app.dialects.shared.members import native_rest
from app.dialects.shared.tool_forms import custom_tool_names
from app.dialects.shared.usage_repair import native_usage
from app.dialects.shared.usage_sides import sides
from app.errors import GatewayError

FINISHES: Final[Mapping[str, FinishReason]] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
    "ERROR_TOXIC": "content_filter",
}
STRAY_CITATION: Final = "a citation outside of texts"
_KNOWN: Final = frozenset({"id", "message", "finish_reason", "usage", "logprobs"})
_DETAILS: Final[Mapping[tuple[str, str], str]] = {
    ("billed_units", "input_tokens"): "input.billed_tokens",
    ("billed_units", "output_tokens"): "output.billed_tokens",
    ("tokens", "image_tokens"): "input.image_tokens",
}


def decode_response(body: Any, context: ClientContext) -> Response:
    """Return the canonical response of a body; raises ``upstream_invalid`` if it has no message."""
    answer = as_dict(body)
    if not isinstance(answer.get("message"), dict):
        raise GatewayError("upstream_invalid", "The provider's answer has no message.", raw=body)
    parts = _parts(answer, context)
    return Response(
        opt_str(answer.get("id")),
        None,
        (Choice(0, items_of(parts), finish_of(answer.get("finish_reason"), FINISHES, parts)),),
        decode_usage(answer.get("usage")),
        native=native_rest(NAME, answer, _KNOWN),
    )


def _parts(answer: Mapping[str, Any], context: ClientContext) -> list[Part]:
    message = as_dict(answer.get("message"))
    parts: list[Part] = []
    if plan := opt_str(message.get("tool_plan")):
        parts.append(ReasoningPart(plan, native=PLAN))
    content = message.get("content")
    content = [{"text": content}] if isinstance(content, str) else as_list(content)
    texts = [i for i, block in enumerate(content) if as_dict(block).get("type", "text") == "text"]
    if not texts and dicts(message.get("citations")):
        context.losses.report_answer(STRAY_CITATION)
    for index, block in enumerate(content):
        citations = [c for c in dicts(message.get("citations")) if _cites(c, index, texts)]
        parts.append(_part(as_dict(block), citations, answer if index in texts[:1] else {}))
    for call in dicts(message.get("tool_calls")):
        function = as_dict(call.get("function"))
        call_id = opt_str(call.get("id")) or context.new_id("call")
        name, arguments = as_str(function.get("name")), as_str(function.get("arguments"))
        parts.append(call_part(call_id, name, arguments, custom_tool_names(context.request)))
    return parts


def _cites(citation: Mapping[str, Any], index: int, texts: list[int]) -> bool:
    """Tell whether a citation belongs to the block at ``index``: it names its block, else the first text."""
    target = count(citation.get("content_index"))
    if target not in texts:
        target = texts[0] if texts else None
    return index == target


def _part(block: JSON, citations: list[JSON], answer: Mapping[str, Any]) -> Part:
    kind = block.get("type", "text")
    if kind == "thinking":
        return ReasoningPart(as_str(block.get("thinking")))
    if kind != "text":
        return OpaquePart(as_str(kind, "unknown") or "unknown", (NAME, block))
    notes = tuple(note for citation in citations for note in annotations_of(citation))
    native = (NAME, {"citations": citations}) if citations else None
    return TextPart(as_str(block.get("text")), notes, logprobs_of(answer.get("logprobs")), native)


_OF_THOUGHTS: Final = frozenset({"PLAN", "THINKING_CONTENT"})


def annotations_of(citation: Mapping[str, Any]) -> Iterator[JSON]:
    """Yield a flat OpenAI annotation for each source of a citation of the text: ``url_citation`` if it has a
    URL, else ``file_citation`` of the document or tool output. Those of plans and thoughts have none."""
    if citation.get("type") in _OF_THOUGHTS:
        return
    start, end = count(citation.get("start")) or 0, count(citation.get("end")) or 0
    for index, source in enumerate(dicts(citation.get("sources"))):
        data = as_dict(source.get("document")) or as_dict(source.get("tool_output"))
        title, url = as_str(data.get("title")), opt_str(data.get("url"))
        if url is not None:
            yield {"type": "url_citation", "url": url, "title": title, "start_index": start, "end_index": end}
        else:
            yield {
                "type": "file_citation",
                "file_id": as_str(source.get("id")),
                "filename": title,
                "index": index,
            }


def logprobs_of(value: Any) -> tuple[JSON, ...] | None:
    """Return OpenAI token objects, None without any.

    An entry of several tokens gets the sum of their log probabilities.
    """
    if value is None:
        return None
    tokens = []
    for entry in dicts(value if isinstance(value, list) else [value]):
        numbers = [n for n in map(number, as_list(entry.get("logprobs"))) if n is not None]
        text = as_str(entry.get("text"))
        if numbers:
            tokens.append(
                {"token": text, "logprob": sum(numbers), "bytes": list(text.encode()), "top_logprobs": []}
            )
    return tuple(tokens) or None


def decode_usage(value: Any) -> Usage | None:
    """Return the usage: the tokens that the model processed, with the billed ones in the details.

    None if the response reports neither input nor output tokens.
    """
    raw = as_dict(value)
    tokens = as_dict(raw.get("tokens")) or as_dict(raw.get("billed_units"))
    both = sides(count(tokens.get("input_tokens")), count(tokens.get("output_tokens")))
    if len(both.missing) == 2:
        return None
    return Usage(
        input_tokens=both.input,
        output_tokens=both.output,
        cached_tokens=count(raw.get("cached_tokens")) or 0,
        reasoning_tokens=count(tokens.get("reasoning_tokens")) or 0,
        details=counts_at(raw, _DETAILS),
        missing=both.missing,
        native=native_usage(NAME, raw),
    )


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Return the error of a response with status 400 or above: ``message`` and, at times, ``error_type``."""
    error = as_dict(body)
    return upstream_failure(
        status,
        opt_str(error.get("message")) or opt_str(body),
        type=label(error.get("error_type")),
        headers=headers,
        raw=body,
    )
