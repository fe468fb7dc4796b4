"""Encode a canonical response as GenerateContentResponse (server half): candidates, finish reasons,
grounding, log probabilities, usage, errors.

Sources: google-genai's types, Google's error model (google.rpc), recorded traffic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from app.canonical.request import Request, TextPart
from app.canonical.response import Choice, Finish, FinishReason, Response, Usage
from app.dialects.base import ServerContext, status_of_error
from app.dialects.gemini.options import NAME
from app.dialects.gemini.parts_out import PartWriter
from app.dialects.gemini.response_in import MODALITIES, REASONS
from app.dialects.shared.block_encoder import citations_in
from app.dialects.shared.lenient_json import JSON, as_str, dicts, rest
from app.dialects.shared.members import own_members
from app.errors import GatewayError

_FINISH_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "fault": "OTHER",
    "error": "OTHER",
}


def encode_response(response: Response, request: Request, context: ServerContext) -> JSON:
    """Return a GenerateContentResponse."""
    native = own_members(response.native, NAME)
    return {
        "candidates": [_candidate(choice, native, request, context) for choice in response.choices],
        **rest(native, frozenset({"candidates"})),
        **head(response.id, response.model, context),
        **usage_members(response.usage, response.service_tier),
    }


def head(upstream: str | None, model: str | None, context: ServerContext) -> JSON:
    """Return the id and model of a response, which every chunk has."""
    response_id = context.response_id or upstream or context.new_id("resp")
    return {"modelVersion": model or context.model or "", "responseId": response_id}


def _candidate(choice: Choice, native: Mapping[str, Any], request: Request, context: ServerContext) -> JSON:
    parts = choice.parts
    writer = PartWriter(request, context)
    wire_parts = [wire for part in parts for wire in writer.write(part)] + writer.close()
    grounding = Grounding()
    for part in parts:
        if isinstance(part, TextPart):
            grounding.add(part.text, part.annotations)
    tokens = [token for part in parts if isinstance(part, TextPart) for token in part.logprobs or ()]
    return {
        "content": {"parts": wire_parts, "role": "model"},
        "finishReason": finish_word(choice.finish, refused=choice.refused),
        "index": choice.index,
        **logprobs_members(tokens),
        **(candidate_native(native, choice.index) or grounding.members()),
    }


def candidate_native(native: Mapping[str, Any], index: int) -> JSON:
    """Return a candidate's members that only Gemini has: safety ratings, grounding, citations."""
    own = (entry for entry in dicts(native.get("candidates")) if entry.get("index") == index)
    return rest(next(own, {}), frozenset({"index"}))


def finish_word(finish: Finish | None, *, refused: bool = False) -> str:
    """Return the value of ``finishReason``; Google's own word is kept, and a stop with a refusal is SAFETY."""
    if finish is None:
        return "STOP"
    if finish.raw is not None and finish.raw in REASONS and not finish.raw.isdigit():
        return finish.raw
    if refused and finish.reason == "stop":
        return "SAFETY"
    return _FINISH_REASONS[finish.reason]


class Grounding:
    """Encode other APIs' citations as ``groundingMetadata``: web pages and documents, and the spans that they support."""

    def __init__(self) -> None:
        self._before = 0  # bytes of the texts before
        self._chunks: list[JSON] = []
        self._places: dict[tuple[str, str], int] = {}  # in ``_chunks``, by kind and address
        self._supports: list[JSON] = []

    def add(self, text: str, annotations: Iterable[Mapping[str, Any]]) -> None:
        """Take one text with its annotations."""
        citations = list(citations_in(text, annotations))
        sizes = _sizes(text, {place for citation in citations for place in (citation.start, citation.end)})
        for citation in citations:
            source = self._source(citation.note)
            if citation.start < min(citation.end, len(text)):
                first, last = self._before + sizes[citation.start], self._before + sizes[citation.end]
                segment = {"startIndex": first, "endIndex": last, "text": citation.span}
                self._supports.append({"segment": segment, "groundingChunkIndices": [source]})
        self._before += _size(text)

    def _source(self, note: Mapping[str, Any]) -> int:
        """Return the place of the page or document that an annotation names."""
        url, title = as_str(note.get("url")), as_str(note.get("title")) or as_str(note.get("filename"))
        kind = "web" if url else "retrievedContext"
        key = kind, url or as_str(note.get("file_id")) or title
        place = self._places.setdefault(key, len(self._chunks))
        if place == len(self._chunks):
            self._chunks.append({kind: {"uri": url, "title": title} if url else {"title": title or key[1]}})
        return place

    def members(self) -> JSON:
        """Return ``groundingMetadata``, nothing without a source."""
        if not self._chunks:
            return {}
        return {"groundingMetadata": {"groundingChunks": self._chunks, "groundingSupports": self._supports}}


def _sizes(text: str, places: Iterable[int]) -> dict[int, int]:
    """Return the bytes of the text before each of some places."""
    sizes, before, size = dict[int, int](), 0, 0
    for place in sorted(places):
        size, before = size + _size(text[before:place]), place
        sizes[place] = size
    return sizes


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def logprobs_members(tokens: Sequence[Mapping[str, Any]]) -> JSON:
    """Return OpenAI's token objects as ``logprobsResult``, nothing without any."""
    if not tokens:
        return {}
    tops = [{"candidates": [_token(top) for top in dicts(token.get("top_logprobs"))]} for token in tokens]
    top_candidates = {"topCandidates": tops} if any(top["candidates"] for top in tops) else {}
    return {"logprobsResult": {"chosenCandidates": [_token(token) for token in tokens], **top_candidates}}


def _token(token: Mapping[str, Any]) -> JSON:
    return {"token": as_str(token.get("token")), "logProbability": token.get("logprob")}


def usage_members(usage: Usage | None, tier: str | None) -> JSON:
    """Return the member ``usageMetadata``, none without usage."""
    return {} if usage is None else {"usageMetadata": encode_usage(usage, tier)}


def encode_usage(usage: Usage, tier: str | None = None) -> JSON:
    """Return ``usageMetadata``; ``candidatesTokenCount`` excludes thoughts."""
    own = own_members(usage.native, NAME)
    if own and not usage.estimated:
        return dict(own)
    thoughts = min(
        usage.reasoning_tokens, usage.output_tokens
    )  # some hosts report more than the whole output
    tokens = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - thoughts,
        "totalTokenCount": usage.total,
    }
    optional = {
        "cachedContentTokenCount": usage.cached_tokens,
        "thoughtsTokenCount": thoughts,
        "promptTokensDetails": _modalities(usage, "input"),
        "candidatesTokensDetails": _modalities(usage, "output"),
        "serviceTier": tier,
    }
    return {**own, **tokens, **{name: value for name, value in optional.items() if value}}


def _modalities(usage: Usage, side: str) -> list[JSON]:
    counts = {name: usage.details.get(f"{side}.{name}_tokens") for name in sorted(MODALITIES)}
    return [{"modality": name.upper(), "tokenCount": tokens} for name, tokens in counts.items() if tokens]


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


def encode_error(error: GatewayError) -> JSON:
    """Return Google's error body; its details are the members at fault and the wait."""
    status = status_of_error(error)
    word = _STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    body = {"code": status, "message": error.message, "status": word}
    details = [*_details(error)]
    return {"error": {**body, "details": details} if details else body}


def _details(error: GatewayError) -> Iterator[JSON]:
    faults = [(detail.get("param"), detail.get("message")) for detail in error.details]
    violations = [
        {"field": str(param), "description": str(message)}
        for param, message in faults or [(error.param, error.message)]
        if param is not None
    ]
    if violations:
        yield {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
    if error.retry_after is not None:
        delay = f"{error.retry_after}s"
        yield {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
