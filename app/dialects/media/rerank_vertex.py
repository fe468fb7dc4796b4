"""Rerank by Google's ranking API (Discovery Engine): records with ids, scores by id.

Members: ``RankRequest`` and ``RankingRecord`` of Google's reference of the Discovery Engine API v1 (read 2026-11-28).
It counts neither tokens nor units.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from app.canonical.media import RerankRequest, RerankResponse
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.gemini.errors import decode_error
from app.dialects.media import rerank
from app.dialects.shared.lenient_json import as_dict, as_str, dicts


def encode_request(request: RerankRequest, context: ClientContext) -> EncodedRequest:
    """Return the body; a record's id is its place."""
    body: dict[str, Any] = {
        "model": context.model,
        "query": request.query,
        "records": [{"id": str(at), "content": text} for at, text in enumerate(request.documents)],
        "ignoreRecordDetailsInResponse": True,
    }
    if request.top_n is not None:
        body["topN"] = request.top_n
    if request.tokens_per_document is not None:
        context.losses.report("max_tokens_per_doc")
    for name in request.extra:
        context.losses.report("extra", param=name)
    return EncodedRequest(body)


def decode_response(body: Any, request: RerankRequest, context: ClientContext) -> RerankResponse:
    """Read an answer, whose records stand by their scores."""
    records = [
        {"index": _index_of(as_str(record.get("id"))), "relevance_score": record.get("score")}
        for record in dicts(as_dict(body).get("records"))
    ]
    return rerank.decode_response({"results": records}, request, context)


def _index_of(identity: str) -> int | None:
    fits = identity.isascii() and identity.isdigit() and len(identity) < 10
    return int(identity) if fits else None


DIALECT: Final = replace(
    rerank.DIALECT,
    name="rerank_vertex",
    encode_request=encode_request,
    decode_response=decode_response,
    decode_error=decode_error,
)
