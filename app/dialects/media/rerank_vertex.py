"""Rerank by Google's ranking API of the Discovery Engine: records with ids, and scores by id (client half).

It reports neither tokens nor search units. Source: ``RankRequest`` and ``RankingRecord`` of Google's reference of the
Discovery Engine API v1 (read 2026-11-28).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from app.canonical.media import RerankRequest, RerankResponse
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.gemini.response_in import decode_error
from app.dialects.media import rerank
from app.dialects.shared.lenient_json import as_dict, dicts, small_integer, without_nulls


def encode_request(request: RerankRequest, context: ClientContext) -> EncodedRequest:
    """Return the request; the id of a record is its index."""
    members = {
        "model": context.model,
        "query": request.query,
        "records": [{"id": str(at), "content": text} for at, text in enumerate(request.documents)],
        "ignoreRecordDetailsInResponse": True,
        "topN": request.top_n,
    }
    rerank.report_others(request, context)
    return EncodedRequest(without_nulls(members))


def decode_response(body: Any, request: RerankRequest, context: ClientContext) -> RerankResponse:
    """Return the results of a response, whose records are ordered by score."""
    records = [
        {"index": small_integer(record.get("id"), digits=9), "relevance_score": record.get("score")}
        for record in dicts(as_dict(body).get("records"))
    ]
    return rerank.decode_response({"results": records}, request, context)


DIALECT: Final = replace(
    rerank.DIALECT,
    name="rerank_vertex",
    encode_request=encode_request,
    decode_response=decode_response,
    decode_error=decode_error,
)
