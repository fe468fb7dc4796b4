"""Rerank by Bedrock's InvokeModel: Amazon's and Cohere's families, Cohere's body without its model.

Cohere's family wants ``api_version`` 2, as cohere's own client for Bedrock sends it (``cohere/aws_client.py``); neither
counts tokens or search units.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from app.canonical.media import RerankRequest
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.converse.response_in import decode_error
from app.dialects.media import rerank

_COHERE: Final = "cohere.rerank"
_FAMILIES: Final = ("amazon.rerank", _COHERE)


def ranks(model: str) -> bool:
    """Tell whether a model, whose id a region or an ARN may precede, is of a family that ranks."""
    return any(name in model for name in _FAMILIES)


def encode_request(request: RerankRequest, context: ClientContext) -> EncodedRequest:
    """Return the body; the model is in the URL."""
    body: dict[str, Any] = {"query": request.query, "documents": list(request.documents)}
    if request.top_n is not None:
        body["top_n"] = request.top_n
    if _COHERE in context.model:
        body["api_version"] = 2
    if request.tokens_per_document is not None:
        context.losses.report("max_tokens_per_doc")
    for name in request.extra:
        context.losses.report("extra", param=name)
    return EncodedRequest(body)


DIALECT: Final = replace(
    rerank.DIALECT, name="rerank_bedrock", encode_request=encode_request, decode_error=decode_error
)
