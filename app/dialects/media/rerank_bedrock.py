"""Rerank by Bedrock's InvokeModel: Amazon's and Cohere's models, with Cohere's request without its model (client half).

Cohere's models need ``api_version`` 2 (cohere's client for Bedrock, ``cohere/aws_client.py``). Neither family reports
tokens or search units.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from app.canonical.media import RerankRequest
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.converse.response_in import decode_error
from app.dialects.media import rerank
from app.dialects.shared.lenient_json import without_nulls

_COHERE: Final = "cohere.rerank"
_FAMILIES: Final = ("amazon.rerank", _COHERE)


def ranks(model: str) -> bool:
    """Tell whether a model ranks documents; its id may have a region or an ARN before it."""
    return any(name in model for name in _FAMILIES)


def encode_request(request: RerankRequest, context: ClientContext) -> EncodedRequest:
    """Return the request; the model is part of the URL."""
    members = {
        "query": request.query,
        "documents": list(request.documents),
        "top_n": request.top_n,
        "api_version": 2 if _COHERE in context.model else None,
    }
    rerank.report_others(request, context)
    return EncodedRequest(without_nulls(members))


DIALECT: Final = replace(
    rerank.DIALECT, name="rerank_bedrock", encode_request=encode_request, decode_error=decode_error
)
