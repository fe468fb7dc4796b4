"""Rerank, from both ends: documents in the order of their relevance to a query.

Requests are Cohere's v2 (``documents`` are texts) or Jina's (they may be ``{"text": …}``, and
``return_documents`` asks for them back). Answers are read in both forms. Documents are put
back by us, so no provider is asked to send them. Members: the cohere SDK's ``V2Client.rerank``
and Jina's reranker API.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from app.canonical.media import Ranked, RerankRequest, RerankResponse
from app.canonical.record import record
from app.canonical.request import Origin
from app.canonical.response import Billing, Usage
from app.dialects.base import ClientContext, EncodedRequest, ServerContext
from app.dialects.chat.errors import decode_error
from app.dialects.media.base import WholeDialect
from app.dialects.shared.lenient_json import as_dict, as_list, count, number, rest
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type
from app.errors import GatewayError

_READ: Final = frozenset(
    {"model", "query", "documents", "top_n", "max_tokens_per_doc", "return_documents", "fallbacks"}
)
_SUPPORTED: Final = frozenset({"priority"})


@record(kw_only=True)
class RerankDialect(WholeDialect[RerankRequest, RerankResponse]):
    """A wire of rerank, one call a request."""


def decode_request(body: Mapping[str, Any], context: ServerContext) -> RerankRequest:
    """Return what a rerank body asks for; raises ``bad_request`` by path."""
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
        extra={name: value for name, value in rest(body, _READ).items() if value is not None},
        origin=Origin("rerank", body),
    )


def _text(document: Any, path: str) -> str:
    text = document.get("text") if isinstance(document, Mapping) else document
    if not isinstance(text, str):
        raise wrong_type(path, "a string or an object with a 'text'", document)
    return text


def encode_request(request: RerankRequest, context: ClientContext) -> EncodedRequest:
    """Return Cohere's v2 body."""
    body: dict[str, Any] = {
        "model": context.model,
        "query": request.query,
        "documents": list(request.documents),
    }
    if request.top_n is not None:
        body["top_n"] = request.top_n
    if request.tokens_per_document is not None:
        body["max_tokens_per_doc"] = request.tokens_per_document
    for name, value in request.extra.items():
        if name in _SUPPORTED:
            body[name] = value
        else:
            context.losses.report("extra", param=name)
    return EncodedRequest(body)


def decode_response(body: Any, request: RerankRequest, context: ClientContext) -> RerankResponse:
    """Read Cohere's answer (``meta.billed_units``), Jina's (``usage``), or SGLang's bare list of scores."""
    members = as_dict(body)
    entries = as_list(body) or as_list(members.get("results"))
    ranked = tuple(_read_result(entry, request) for entry in entries)
    if not ranked:
        raise _invalid("without results", body)
    billed, usage = as_dict(as_dict(members.get("meta")).get("billed_units")), as_dict(members.get("usage"))
    tokens = count(billed.get("input_tokens")) or count(usage.get("total_tokens")) or 0
    units = count(billed.get("search_units"))
    if units is None:
        units = count(usage.get("search_units"))
    cost = number(usage.get("cost"))
    used = Usage(
        input_tokens=tokens,
        total_tokens=tokens,
        cost=None if cost is None else {"total_cost": cost},
        billing=Billing(units={"search_units": units} if units else {}),
    )
    return RerankResponse(context.model, ranked[: request.top_n], used, units)


def _read_result(entry: Any, request: RerankRequest) -> Ranked:
    members = as_dict(entry)
    index, score = count(members.get("index")), members.get("relevance_score", members.get("score"))
    if index is None or index >= len(request.documents):
        raise _invalid("with a result of no document", entry)
    if isinstance(score, bool) or not isinstance(score, int | float) or not isfinite(score):
        raise _invalid("with a score that is no number", entry)
    return Ranked(index, score)


def _invalid(what: str, raw: Any) -> GatewayError:
    return GatewayError("upstream_invalid", f"The provider answered a rerank {what}.", raw=raw)


def results(response: RerankResponse, request: RerankRequest) -> list[dict[str, Any]]:
    """Return the results, with their documents where they were asked for."""
    return [
        {"index": one.index, "relevance_score": one.score, **_document(one, request)}
        for one in response.results
    ]


def _document(one: Ranked, request: RerankRequest) -> dict[str, Any]:
    return {"document": {"text": request.documents[one.index]}} if request.return_documents else {}


def encode_response(
    response: RerankResponse, request: RerankRequest, context: ServerContext
) -> dict[str, Any]:
    """Return Jina's answer, which is also OpenRouter's; ``search_units`` where they are known."""
    units = {} if response.search_units is None else {"search_units": response.search_units}
    total = response.usage.total if response.usage is not None else 0
    return {
        "id": context.new_id("rerank"),
        "model": response.model or request.model,
        "results": results(response, request),
        "usage": {**units, "total_tokens": total},
    }


DIALECT: Final = RerankDialect(
    name="rerank",
    encode_request=encode_request,
    decode_response=decode_response,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
)
