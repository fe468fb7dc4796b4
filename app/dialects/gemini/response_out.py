"""Canonical answers as GenerateContentResponse (server half): candidates, why they ended,
grounding, log probabilities, usage, errors.

Source of the shapes: google-genai's types, Google's error model (google.rpc), the recorded
exchanges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from app.canonical.request import Native, RefusalPart, Request, TextPart
from app.canonical.response import Choice, Finish, FinishReason, Response, Usage
from app.dialects.base import ServerContext
from app.dialects.gemini.contents_out import NAME
from app.dialects.gemini.parts_out import PartWriter
from app.dialects.gemini.usage import REASONS
from app.dialects.shared.lenient_json import as_str, count, dicts
from app.errors import GatewayError

Members = dict[str, Any]

_FINISH_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "fault": "OTHER",
    "error": "OTHER",
}


def encode_response(response: Response, request: Request, context: ServerContext) -> Members:
    """Return a GenerateContentResponse."""
    native = own_members(response.native)
    answer: Members = {
        "candidates": [_candidate(choice, native, request, context) for choice in response.choices],
        **{name: value for name, value in native.items() if name != "candidates"},
        **head(response.id, response.model, context),
    }
    if response.usage is not None:
        answer["usageMetadata"] = encode_usage(response.usage, response.service_tier)
    return answer


def head(upstream: str | None, model: str | None, context: ServerContext) -> Members:
    """Return the members that name an answer, on every chunk."""
    identity = context.response_id or upstream or context.new_id("resp")
    return {"modelVersion": model or context.model or "", "responseId": identity}


def own_members(native: Native | None) -> Mapping[str, Any]:
    """Return native members of this dialect, else none."""
    return native[1] if native is not None and native[0] == NAME else {}


def _candidate(
    choice: Choice, native: Mapping[str, Any], request: Request, context: ServerContext
) -> Members:
    parts = [part for message in choice.messages for part in message.parts]
    writer = PartWriter(request, context)
    written = [wire for part in parts for wire in writer.write(part)] + writer.close()
    grounding = Grounding()
    for part in parts:
        if isinstance(part, TextPart):
            grounding.add(part.text, part.annotations)
    rows = [row for part in parts if isinstance(part, TextPart) for row in part.logprobs or ()]
    return {
        "content": {"parts": written, "role": "model"},
        "finishReason": finish_word(choice.finish, refused=any(isinstance(p, RefusalPart) for p in parts)),
        "index": choice.index,
        **logprobs_members(rows),
        **(candidate_native(native, choice.index) or grounding.members()),
    }


def candidate_native(native: Mapping[str, Any], index: int) -> Members:
    """Return what only Gemini told of a candidate: safety ratings, grounding, citations."""
    own = (entry for entry in dicts(native.get("candidates")) if entry.get("index") == index)
    return next(({name: value for name, value in entry.items() if name != "index"} for entry in own), {})


def finish_word(finish: Finish | None, *, refused: bool = False) -> str:
    """Return the finish reason, Google's own word where it is one; a refusal is SAFETY."""
    if finish is None:
        return "STOP"
    if finish.raw is not None and finish.raw in REASONS and not finish.raw.isdigit():
        return finish.raw
    if refused and finish.reason == "stop":
        return "SAFETY"
    return _FINISH_REASONS[finish.reason]


class Grounding:
    """Annotations of another maker's texts as ``groundingMetadata``: sources, and the bytes of the
    visible text that each supports."""

    def __init__(self) -> None:
        self._before = 0
        self._chunks: dict[str, int] = {}
        self._titles: list[str] = []
        self._supports: list[Members] = []

    def add(self, text: str, annotations: Iterable[Mapping[str, Any]]) -> None:
        """Take one text with the web citations on it."""
        for note in annotations:
            if note.get("type") == "url_citation":
                self._add(text, note)
        self._before += len(text.encode("utf-8", "surrogatepass"))

    def _add(self, text: str, note: Mapping[str, Any]) -> None:
        url = as_str(note.get("url"))
        if url not in self._chunks:
            self._chunks[url] = len(self._titles)
            self._titles.append(as_str(note.get("title")))
        start, end = count(note.get("start_index")) or 0, count(note.get("end_index"))
        words = text[start : len(text) if end is None else end]
        if words:
            at = self._before + len(text[:start].encode("utf-8", "surrogatepass"))
            size = len(words.encode("utf-8", "surrogatepass"))
            segment = {"startIndex": at, "endIndex": at + size, "text": words}
            self._supports.append({"segment": segment, "groundingChunkIndices": [self._chunks[url]]})

    def members(self) -> Members:
        """Return ``groundingMetadata``, nothing without a source."""
        if not self._chunks:
            return {}
        chunks = [{"web": {"uri": url, "title": self._titles[at]}} for url, at in self._chunks.items()]
        return {"groundingMetadata": {"groundingChunks": chunks, "groundingSupports": self._supports}}


def logprobs_members(rows: Sequence[Mapping[str, Any]]) -> Members:
    """Return OpenAI's token objects as ``logprobsResult``, nothing without any."""
    if not rows:
        return {}
    tops = [{"candidates": [_token(top) for top in dicts(row.get("top_logprobs"))]} for row in rows]
    chosen = [_token(row) for row in rows]
    result: Members = {"chosenCandidates": chosen}
    if any(top["candidates"] for top in tops):
        result["topCandidates"] = tops
    return {"logprobsResult": result}


def _token(row: Mapping[str, Any]) -> Members:
    return {"token": as_str(row.get("token")), "logProbability": row.get("logprob")}


def encode_usage(usage: Usage, tier: str | None = None) -> Members:
    """Return ``usageMetadata``: thoughts are counted beside the candidates."""
    if usage.native is not None and usage.native[0] == NAME:
        return dict(usage.native[1])
    thoughts = min(usage.reasoning_tokens, usage.output_tokens)  # some hosts tell more than they count
    counted: Members = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - thoughts,
        "totalTokenCount": usage.total,
    }
    if usage.cached_tokens:
        counted["cachedContentTokenCount"] = usage.cached_tokens
    if thoughts:
        counted["thoughtsTokenCount"] = thoughts
    return {**counted, **({"serviceTier": tier} if tier else {})}


# errors

_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_status(error: GatewayError) -> int:
    """Return the HTTP status of an error at this door: a model that is not there is 404."""
    return 404 if error.kind.name == "model_not_found" else error.status


def encode_error(error: GatewayError) -> Members:
    """Return Google's error body; a member's path and a wait are its details."""
    status = error_status(error)
    word = _STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    body: Members = {"code": status, "message": error.message, "status": word}
    if details := _details(error):
        body["details"] = details
    return {"error": body}


def _details(error: GatewayError) -> list[Members]:
    faults = [(detail.get("param"), detail.get("message")) for detail in error.details] or [
        (error.param, error.message)
    ]
    violations = [
        {"field": str(param), "description": str(message)} for param, message in faults if param is not None
    ]
    found: list[Members] = []
    if violations:
        found.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    if error.retry_after is not None:
        delay = f"{error.retry_after}s"
        found.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return found
