"""The sandbox's rerank: a document's score is how similar its words are to those of the query."""

from __future__ import annotations

from typing import Final

from app.canonical.media import RankedDocument, RerankResponse
from app.canonical.response import Usage
from app.dialects import dialect_of
from app.dialects.media.rerank import RerankDialect
from app.providers.sandbox.limits import MAX_CHARACTERS, check_size, count_words
from app.providers.sandbox.scripts import json_object, json_script, read_directives, server_context
from app.providers.sandbox.transport import HttpRequest, Script
from app.providers.sandbox.vectors import DIMENSIONS, MAX_NUMBERS, embed

_DOCUMENTS_OF_A_UNIT: Final = 100  # as Cohere bills


def rerank(http_request: HttpRequest, words_per_second: float) -> Script:
    """Answer with the documents in order of their scores: the cosine of their vector and the query's, 0 to 1."""
    context, wire = server_context(), dialect_of(RerankDialect, "rerank")
    request = wire.decode_request(json_object(http_request), context)
    documents = request.documents
    check_size("numbers", len(documents) * DIMENSIONS, MAX_NUMBERS, "documents")
    check_size("ranked characters", sum(map(len, documents)), MAX_CHARACTERS, "documents")
    check_size("ranked characters", len(request.query), MAX_CHARACTERS, "query")
    query = embed(request.query)
    results = [RankedDocument(at, _similarity(query, text)) for at, text in enumerate(documents)]
    results.sort(key=lambda one: -one.score)
    tokens = count_words(request.query) + sum(map(count_words, documents))
    units = -(-len(documents) // _DOCUMENTS_OF_A_UNIT)
    response = RerankResponse(request.model, tuple(results[: request.top_n]), Usage(tokens), units)
    return json_script(
        wire.encode_response(response, request, context), read_directives(request.query, request.model)
    )


def _similarity(query: list[float], text: str) -> float:
    return round(min(1.0, max(0.0, sum(map(float.__mul__, query, embed(text))))), 6)
