"""Cohere v2 rerank (server half): the response has ``meta.billed_units`` in place of a usage.

Source: the cohere SDK's ``V2RerankResponse``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from app.canonical.media import RerankRequest, RerankResponse
from app.dialects.base import ServerContext
from app.dialects.cohere.response_out import encode_error
from app.dialects.media import rerank


def encode_response(
    response: RerankResponse, request: RerankRequest, context: ServerContext
) -> dict[str, Any]:
    """Return the response in Cohere's format."""
    return {
        "id": context.new_id("rerank"),
        "results": rerank.results(response, request),
        "meta": {"api_version": {"version": "2"}, "billed_units": rerank.units_members(response)},
    }


DIALECT: Final = replace(
    rerank.DIALECT, name="rerank_cohere", encode_response=encode_response, encode_error=encode_error
)
