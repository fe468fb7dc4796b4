"""Rerank, server and client half: documents in the order of their relevance to a query.

Clients send requests of Cohere's v2 (``documents`` are texts) or Jina's (also ``{"text": …}``, and
``return_documents`` requests them back). Responses may have either format. The gateway adds the
documents to the response itself. Sources: the cohere SDK's ``V2Client.rerank``, Jina's reranker
API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.media import RankedDocument, RerankRequest, RerankResponse
from app.canonical.record import record
from app.canonical.request import Origin
from app.canonical.response import Billing, Usage
from app.dialects.base import ClientContext, EncodedRequest, ServerContext
from app.dialects.chat.errors import decode_error
from app.dialects.media.base import WholeDialect
from app.dialects.shared.lenient_json import as_dict, as_list, count, number, rest, without_nulls
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type
from app.dialects.shared.unmapped_members import known_extras
from app.errors import GatewayError

_CANONICAL: Final = frozenset(
    {"model", "query", "documents", "top_n", "max_tokens_per_doc", "return_documents", "fallbacks"}
)
_SUPPORTED: Final = frozenset({"priority"})


@record(kw_only=True)
class RerankDialect(WholeDialect[RerankRequest, RerankResponse]):
    """A dialect of rerank, with one call per request."""


def decode_request(body: Mapping[str, Any], context: ServerContext) -> RerankRequest:
    """Return the canonical request; raises ``bad_request`` with the path of a wrong member."""
    members = ClientObject(body)
    documents = tuple(_text(one, f"documents[{at}]") for at, one in enumerate(body.get("documents") or ()))
    if not documents:
        raise missing("documents")
    return RerankRequest(
        model=members.text("model") or context.model or "",
        query=members.required_text("query"),
        documents=documents,
        top_n=members.integer("top_n"),
        tokens_per_document=members.integer("max_tokens_per_doc"),
        return_documents=body.get("return_documents") is True,
        extra=without_nulls(rest(body, _CANONICAL)),
        origin=Origin("rerank", body),
    )


def _text(document: Any, path: str) -> str:
    text = document.get("text") if isinstance(document, Mapping) else document
    if not isinstance(text, str):
        raise wrong_type(path, "a string or an object with a 'text'", document)
    return text


def encode_request(request: RerankRequest, context: ClientContext) -> EncodedRequest:
    """Return the request of Cohere's v2."""
    members = {
        "model": context.model,
        "query": request.query,
        "documents": list(request.documents),
        "top_n": request.top_n,
        "max_tokens_per_doc": request.tokens_per_document,
    }
    extras = known_extras(request.extra, _SUPPORTED, context.losses)
    return EncodedRequest({**without_nulls(members), **extras})


def report_others(request: RerankRequest, context: ClientContext) -> None:
    """Report the members of Cohere's API that a provider without them ignores."""
    if request.tokens_per_document is not None:
        context.losses.report("max_tokens_per_doc")
    known_extras(request.extra, (), context.losses)


def decode_response(body: Any, request: RerankRequest, context: ClientContext) -> RerankResponse:
    """Return the results of a response of Cohere (``meta.billed_units``), Jina (``usage``) or SGLang (a list of scores)."""
    members = as_dict(body)
    entries = as_list(body) or as_list(members.get("results"))
    results = tuple(_result(entry, request) for entry in entries)
    if not results:
        raise _invalid("without results", body)
    bill, usage = as_dict(as_dict(members.get("meta")).get("billed_units")), as_dict(members.get("usage"))
    tokens = count(bill.get("input_tokens")) or count(usage.get("total_tokens")) or 0
    units = count(bill.get("search_units", usage.get("search_units")))
    cost = number(usage.get("cost"))
    total = Usage(
        input_tokens=tokens,
        total_tokens=tokens,
        cost=None if cost is None else {"total_cost": cost},
        billing=Billing(units={"search_units": units} if units else {}),
    )
    return RerankResponse(context.model, results[: request.top_n], total, units)


def _result(entry: Any, request: RerankRequest) -> RankedDocument:
    members = as_dict(entry)
    index, score = count(members.get("index")), number(members.get("relevance_score", members.get("score")))
    if index is None or index >= len(request.documents):
        raise _invalid("with a result of no document", entry)
    if score is None:
        raise _invalid("with a score that is no number", entry)
    return RankedDocument(index, score)


def _invalid(what: str, raw: Any) -> GatewayError:
    return GatewayError("upstream_invalid", f"The provider answered a rerank {what}.", raw=raw)


def results(response: RerankResponse, request: RerankRequest) -> list[dict[str, Any]]:
    """Return the results, with their documents if the client requested them."""
    texts = request.documents if request.return_documents else ()
    documents = {index: {"document": {"text": text}} for index, text in enumerate(texts)}
    return [
        {"index": one.index, "relevance_score": one.score, **documents.get(one.index, {})}
        for one in response.results
    ]


def units_members(response: RerankResponse) -> dict[str, Any]:
    """Return the member ``search_units``, none if the provider reports none."""
    return without_nulls({"search_units": response.search_units})


def encode_response(
    response: RerankResponse, request: RerankRequest, context: ServerContext
) -> dict[str, Any]:
    """Return the response in Jina's format, which is also OpenRouter's."""
    total = response.usage.total if response.usage is not None else 0
    return {
        "id": context.new_id("rerank"),
        "model": response.model or request.model,
        "results": results(response, request),
        "usage": {**units_members(response), "total_tokens": total},
    }


DIALECT: Final = RerankDialect(
    name="rerank",
    encode_request=encode_request,
    decode_response=decode_response,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
)
