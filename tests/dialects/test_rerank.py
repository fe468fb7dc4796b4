"""Answers of rerank as Cohere, Jina and SGLang write them, and those that are none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.canonical.media import RerankRequest
from app.dialects.base import ClientContext
from app.dialects.media import rerank_bedrock
from app.dialects.media.rerank import decode_response, encode_request
from app.errors import GatewayError
from tests.dialects import generic

ASKED = RerankRequest("m", "red fruit", ("car", "fruit"), top_n=1, return_documents=True)
RESULTS = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]


def context() -> ClientContext:
    """Return what a provider's side is given."""
    return generic.client_context("m")


@pytest.mark.parametrize(
    ("body", "units", "tokens"),
    [
        ({"results": RESULTS, "meta": {"billed_units": {"search_units": 1}}}, 1, 0),
        ({"results": RESULTS, "usage": {"total_tokens": 7}}, None, 7),
        ({"results": RESULTS, "usage": {"search_units": 2, "total_tokens": 7}}, 2, 7),
        ([{"score": 0.9, "document": "fruit", "index": 1}, {"score": 0.1, "index": 0}], None, 0),
    ],
)
def test_each_form_is_read_and_cut(body: Any, units: int | None, tokens: int) -> None:
    answer = decode_response(body, ASKED, context())
    assert [(one.index, one.score) for one in answer.results] == [(1, 0.9)]
    assert answer.search_units == units
    assert answer.usage is not None
    assert answer.usage.total == tokens


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"results": []},
        {"results": [{"index": 2, "relevance_score": 0.5}]},
        {"results": [{"index": -1, "relevance_score": 0.5}]},
        {"results": [{"index": 0, "relevance_score": "high"}]},
        {"results": [{"index": 0}]},
    ],
)
def test_what_is_no_ranking_is_the_providers_fault(body: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(body, ASKED, context())
    assert caught.value.kind.name == "upstream_invalid"


@pytest.mark.parametrize(
    ("model", "more"), [("us.amazon.rerank-v1:0", {}), ("cohere.rerank-v3-5:0", {"api_version": 2})]
)
def test_bedrocks_families_are_told_no_model(model: str, more: dict[str, int]) -> None:
    asked = replace(ASKED, tokens_per_document=9, extra={"priority": 1})
    context = generic.client_context(model)
    body = rerank_bedrock.encode_request(asked, context).body
    assert body == {"query": "red fruit", "documents": ["car", "fruit"], "top_n": 1, **more}
    assert [loss.param for loss in context.losses.items] == ["max_tokens_per_doc", "priority"]
    assert rerank_bedrock.ranks(model)
    assert not rerank_bedrock.ranks("cohere.embed-english-v3")


def test_documents_are_not_asked_back() -> None:
    body = encode_request(ASKED, context()).body
    assert body == {"model": "m", "query": "red fruit", "documents": ["car", "fruit"], "top_n": 1}
