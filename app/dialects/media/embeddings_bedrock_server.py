"""Embeddings of Bedrock's InvokeModel (server half): requests of Titan and of Cohere.

The members of the request decide the family; the response has the format of the same family.
The view also sends the input tokens in the header ``x-amzn-bedrock-input-token-count``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.media import EmbeddingRequest, EmbeddingResponse
from app.canonical.request import Origin
from app.dialects.base import ServerContext
from app.dialects.media import embeddings_cohere_server as cohere
from app.dialects.shared.lenient_json import rest, without_nulls
from app.dialects.shared.strict_json import ClientObject, missing, wrong_value
from app.errors import GatewayError

NAME: Final = "embeddings_bedrock"

_TITAN_MEMBERS: Final = frozenset({"model", "inputText", "dimensions", "embeddingTypes", "fallbacks"})


def decode_request(body: Mapping[str, Any], context: ServerContext) -> EmbeddingRequest:
    """Return the canonical request; the view puts the model of the URL into ``model``.

    Raises ``bad_request`` with the path of a wrong member, and for a request of another family.
    """
    if "inputText" in body:
        return _titan(body, context)
    if body.keys().isdisjoint({"texts", "inputs", "images"}):
        raise missing("inputText")
    return replace(cohere.decode_request(body, context), origin=Origin(NAME, body))


def _titan(body: Mapping[str, Any], context: ServerContext) -> EmbeddingRequest:
    members = ClientObject(body)
    text = members.required_text("inputText")
    if not text:
        raise missing("inputText")
    for index, name in enumerate(members.texts("embeddingTypes")):
        if name == "binary":
            message = "Binary vectors are made by Titan alone; 'float' is served."
            raise GatewayError("unsupported_parameter", message, param=f"embeddingTypes[{index}]")
        if name != "float":
            raise wrong_value(f"embeddingTypes[{index}]", name, "'float'")
    members.flag("normalize")
    return EmbeddingRequest(
        model=members.text("model") or context.model or "",
        inputs=(text,),
        dimensions=members.integer("dimensions"),
        extra=without_nulls(rest(body, _TITAN_MEMBERS)),
        origin=Origin(NAME, body),
    )


def encode_response(
    response: EmbeddingResponse, request: EmbeddingRequest, context: ServerContext
) -> dict[str, Any]:
    """Return the response of the request's family; Cohere's has a plain list unless the client requested types."""
    body = request.origin.body if request.origin is not None else {}
    tokens = response.usage.input_tokens if response.usage is not None else 0
    if "inputText" in body:
        vector = list(response.vectors[0]) if response.vectors else []
        typed = {"embeddingsByType": {"float": vector}} if body.get("embeddingTypes") else {}
        return {"embedding": vector, "inputTextTokenCount": tokens, **typed}
    types = tuple(dict.fromkeys(ClientObject(body).texts("embedding_types")))
    answer = cohere.by_type(response, request, types or ("float",), context)
    if types:
        return answer
    return {**answer, "embeddings": answer["embeddings"]["float"], "response_type": "embeddings_floats"}
