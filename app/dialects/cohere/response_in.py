"""Whole Cohere v2 chat answers: content, plans, calls, citations, usage, errors.

Sources: contract/providers.md 3.7, the cohere SDK's ``V2ChatResponse``, the recorded
exchanges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.canonical.request import OpaquePart, Part, ReasoningPart, TextPart
from app.canonical.response import Choice, Finish, FinishReason, Response, Usage
from app.dialects.base import ClientContext
from app.dialects.cohere.options import NAME, PLAN
from app.dialects.shared import decoder_parts
from app.dialects.shared.decoder_parts import call_part, counts_at, items_of, native_rest
from app.dialects.shared.failures import upstream_failure
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, count, dicts, label, number, opt_str
from app.dialects.shared.tool_forms import custom_tool_names
from app.dialects.shared.usage_repair import native_usage
from app.errors import GatewayError

Members = dict[str, Any]

FINISHES: Final[Mapping[str, FinishReason]] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
    "ERROR_TOXIC": "content_filter",
}
_KNOWN: Final = frozenset({"id", "message", "finish_reason", "usage", "logprobs"})
_DETAILS: Final[Mapping[tuple[str, str], str]] = {
    ("billed_units", "input_tokens"): "input.billed_tokens",
    ("billed_units", "output_tokens"): "output.billed_tokens",
    ("tokens", "image_tokens"): "input.image_tokens",
}


def decode_response(body: Any, context: ClientContext) -> Response:
    """Return the answer that a body is; raises ``upstream_invalid`` for one without message."""
    answer = as_dict(body)
    if not isinstance(answer.get("message"), dict):
        raise GatewayError("upstream_invalid", "The provider's answer has no message.", raw=body)
    parts = _parts(answer, context)
    return Response(
        opt_str(answer.get("id")),
        None,
        (Choice(0, items_of(parts), finish_of(answer.get("finish_reason"), parts)),),
        decode_usage(answer.get("usage")),
        native=native_rest(NAME, answer, _KNOWN),
    )


def _parts(answer: Mapping[str, Any], context: ClientContext) -> list[Part]:
    message = as_dict(answer.get("message"))
    parts: list[Part] = []
    if plan := opt_str(message.get("tool_plan")):
        parts.append(ReasoningPart(plan, native=PLAN))
    content = as_list(message.get("content"))
    texts = [i for i, block in enumerate(content) if as_dict(block).get("type", "text") == "text"]
    for index, block in enumerate(content):
        cited = [c for c in dicts(message.get("citations")) if _cites(c, index, texts)]
        parts.append(_block(as_dict(block), cited, answer if index in texts[:1] else {}))
    for call in dicts(message.get("tool_calls")):
        function = as_dict(call.get("function"))
        identity = opt_str(call.get("id")) or context.new_id("call")
        name, arguments = as_str(function.get("name")), as_str(function.get("arguments"))
        parts.append(call_part(identity, name, arguments, custom_tool_names(context.request)))
    return parts


def _cites(citation: Mapping[str, Any], index: int, texts: list[int]) -> bool:
    """A citation names its block; where it does not, it is the first text's."""
    named = count(citation.get("content_index"))
    target = named if named in texts else texts[0] if texts else None
    return index == target


def _block(block: Members, citations: list[Members], answer: Mapping[str, Any]) -> Part:
    kind = block.get("type", "text")
    if kind == "thinking":
        return ReasoningPart(as_str(block.get("thinking")))
    if kind != "text":
        return OpaquePart(as_str(kind, "unknown") or "unknown", (NAME, block))
    notes = tuple(note for citation in citations for note in annotations_of(citation))
    native = (NAME, {"citations": citations}) if citations else None
    return TextPart(as_str(block.get("text")), notes, logprobs_of(answer.get("logprobs")), native)


def annotations_of(citation: Mapping[str, Any]) -> Iterator[Members]:
    """Yield a flat OpenAI annotation for each source: ``url_citation`` where it has an
    address, else ``file_citation`` of the document or tool output."""
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


def logprobs_of(value: Any) -> tuple[Members, ...] | None:
    """Return OpenAI token objects; a piece of several tokens has the sum of their logarithms."""
    if not isinstance(value, list | dict):
        return None
    made = []
    for piece in dicts(value if isinstance(value, list) else [value]):
        numbers = [n for n in map(number, as_list(piece.get("logprobs"))) if n is not None]
        text = as_str(piece.get("text"))
        if numbers:
            row = {"token": text, "logprob": sum(numbers), "bytes": list(text.encode()), "top_logprobs": []}
            made.append(row)
    return tuple(made) or None


def finish_of(raw: Any, parts: list[Part]) -> Finish:
    """Return why the answer ended; a TOOL_CALL of the answer's own tool is a plain stop."""
    return decoder_parts.finish_of(raw, FINISHES, parts)


def decode_usage(value: Any) -> Usage | None:
    """Return the usage by the tokens that the model saw; what is billed is in the details."""
    raw = as_dict(value)
    counted = as_dict(raw.get("tokens")) or as_dict(raw.get("billed_units"))
    before, after = count(counted.get("input_tokens")), count(counted.get("output_tokens"))
    if before is None and after is None:
        return None
    return Usage(
        input_tokens=before or 0,
        output_tokens=after or 0,
        cached_tokens=count(raw.get("cached_tokens")) or 0,
        reasoning_tokens=count(counted.get("reasoning_tokens")) or 0,
        details=counts_at(raw, _DETAILS),
        native=native_usage(NAME, raw),
    )


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Read Cohere's error body: ``message`` and sometimes ``error_type``."""
    error = as_dict(body)
    return upstream_failure(
        status,
        opt_str(error.get("message")) or opt_str(body),
        type=label(error.get("error_type")),
        headers=headers,
        raw=body,
    )
