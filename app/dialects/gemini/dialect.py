"""Google's generateContent and streamGenerateContent, server and client half.

This is the format of the Gemini API and of Vertex; their differences are ``GeminiOptions``.
Streams are requested with ``alt=sse``; model and streaming are part of the URL. A body that passes gets
the signatures that the target made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from app.canonical.events import Accumulator
from app.canonical.response import Response, Usage
from app.dialects.base import ClientContext, Dialect, Frame, PassThrough, status_of_error
from app.dialects.gemini.contents_out import SKIP_SIGNATURE
from app.dialects.gemini.members import unpack
from app.dialects.gemini.options import NAME, family_of
from app.dialects.gemini.request_in import decode_count_request, decode_request
from app.dialects.gemini.request_out import encode_count, encode_request
from app.dialects.gemini.response_in import decode_error, decode_usage
from app.dialects.gemini.response_out import encode_error, encode_response, encode_usage
from app.dialects.gemini.stream_in import GeminiStreamDecoder
from app.dialects.gemini.stream_out import GeminiEncoder
from app.dialects.shared.decoder_parts import token_count
from app.dialects.shared.lenient_json import as_dict, dicts, objects_of, opt_str, rest
from app.dialects.shared.plain_patch import Body, Opener, PlainPatch
from app.dialects.shared.usage_repair import counts_only
from app.dialects.shared.usage_sides import lacks_side
from app.errors import GatewayError


def decode_response(body: Any, context: ClientContext) -> Response:
    """Return the canonical response of a body, which has the format of a single chunk.

    Raises the error of a body that has one, and ``upstream_invalid`` for a body without a
    finished candidate.
    """
    if not isinstance(body, dict | list):
        raise GatewayError("upstream_invalid", "The provider's answer is not a JSON object.", raw=body)
    decoder, accumulator = GeminiStreamDecoder(context), Accumulator()
    for event in (*decoder.feed(None, body), *decoder.end_whole()):
        accumulator.feed(event)
    if accumulator.error is None:
        return accumulator.response()
    if accumulator.error.kind.name == "upstream_cut":
        raise GatewayError("upstream_invalid", "The provider's answer has no finished candidate.", raw=body)
    raise accumulator.error


def identity(frame: Frame) -> dict[str, Any]:
    """Return the members that all chunks of one stream have in common."""
    data = as_dict(frame.data)
    return {name: data[name] for name in ("responseId", "modelVersion") if name in data}


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls of earlier turns, in camelCase or snake_case."""
    for content in objects_of(body.get("contents")):
        for part in objects_of(content.get("parts")):
            call = as_dict(part.get("functionCall") or part.get("function_call"))
            if (call_id := opt_str(call.get("id"))) is not None:
                yield call_id


_SIGNATURES: Final = ("thoughtSignature", "thought_signature")
_USAGE: Final = "usageMetadata"
_CALLS: Final = ("functionCall", "function_call")


def fit(body: Body, passage: PassThrough) -> Body:
    """Return a body for the target.

    It is without model and stream, which the URL has. It has the signatures that the target made,
    and Google's placeholder for a call without one if the family needs it.
    """
    body = {name: value for name, value in body.items() if name not in {"model", "stream"}}
    opener = Opener(passage, NAME, "contents")
    signs_calls = family_of(passage.client.model).signs_calls
    contents = body.get("contents")
    if isinstance(contents, dict | list):
        turns = [contents] if isinstance(contents, dict) else contents
        body["contents"] = [_content(turn, opener, signs_calls) for turn in turns]
    return body


def _content(content: Any, opener: Opener, signs_calls: bool) -> Any:
    parts = as_dict(content).get("parts")
    if not isinstance(parts, list):
        return content
    parts = [copy for part in parts if (copy := _open_part(part, opener)) is not None]
    if signs_calls and content.get("role") == "model":
        _add_placeholder(parts)
    return {**content, "parts": parts or [{"text": ""}]}


def _open_part(part: Any, opener: Opener) -> Any:
    """Return a part with its signature opened; another provider's thought is left out."""
    name = next((name for name in _SIGNATURES if name in as_dict(part)), None)
    text = part[name] if name is not None else None
    ours, value = opener.open(unpack(text) if isinstance(text, str) else None)
    if name is None or not ours:
        return part
    if value is not None:
        return {**part, name: value}
    return None if part.get("thought") is True else rest(part, frozenset({name}))


def _add_placeholder(parts: list[Any]) -> None:
    """Add the placeholder to the first call if it has no signature."""
    calls = (at for at, part in enumerate(parts) if any(name in as_dict(part) for name in _CALLS))
    at = next(calls, None)
    if at is not None and not any(name in parts[at] for name in _SIGNATURES):
        parts[at] = {**parts[at], "thoughtSignature": SKIP_SIGNATURE}


class _Patch(PlainPatch):
    """Changes to one stream.

    Each chunk may report the usage; the last one counts. The format has no terminal frame: while no
    usage was reported, a chunk that finishes a candidate is held back until the next one or the end.
    """

    _has_usage = False

    def frames(self, event: str | None, data: Body) -> list[Frame]:
        """Return a chunk without an invalid usage, after the one held back before."""
        usage = as_dict(data.get(_USAGE))
        if not counts_only(usage):
            del data[_USAGE]
        elif not lacks_side(decode_usage(usage)):
            self._has_usage = True
        before, self._waiting = self._waiting, []
        finishes = any(choice.get("finishReason") for choice in dicts(data.get("candidates")))
        return [*before, *self._forward(Frame(event, data), lacks_usage=finishes and not self._has_usage)]

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the chunk held back, or one of our own with the usage."""
        if not (self._has_usage or self._waiting or usage is None):
            self._waiting.append(Frame(None, {}))
        return super().closing(usage)

    def _write_usage(self, data: Body, usage: Usage) -> None:
        data[_USAGE] = encode_usage(usage)


GeminiPatch: Final = partial(_Patch, fit=fit)


DIALECT: Final = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=GeminiEncoder,
    decode_count_request=decode_count_request,
    encode_count_response=lambda tokens, *, estimated=False: {"totalTokens": tokens},
    reports_cost=False,
    encode_error=encode_error,
    error_status=status_of_error,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=GeminiStreamDecoder,
    decode_error=decode_error,
    encode_count=encode_count,
    decode_count=partial(token_count, member="totalTokens"),
    identity=identity,
    call_ids=call_ids,
    write_usage=encode_usage,
    patch=GeminiPatch,
    usage_member="usageMetadata",
)
