"""Bedrock's InvokeModel for embeddings as a server speaks it: the bodies of Titan and of Cohere.

The shape of the body tells the family, and the answer has the family's form. How many tokens
were read also goes into the header ``x-amzn-bedrock-input-token-count``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.media import EmbeddingRequest, EmbeddingResponse
from app.canonical.request import Origin
from app.dialects.base import ServerContext
from app.dialects.media import embeddings_cohere_server as cohere
from app.dialects.shared.lenient_json import rest
from app.dialects.shared.strict_json import ClientObject, missing, wrong_value
from app.errors import GatewayError

NAME: Final = "embeddings_bedrock"

_TITAN_READ: Final = frozenset({"model", "inputText", "dimensions", "embeddingTypes", "fallbacks"})


def decode_request(body: Mapping[str, Any], context: ServerContext) -> EmbeddingRequest:
    """Return what a body of either family asks for; the model is the view's ``model``.

    Raises ``bad_request`` by path, and for a body of neither.
    """
    if "inputText" in body:
        return _titan(body, context)
    if body.keys().isdisjoint({"texts", "inputs", "images"}):
        raise missing("inputText")
    made = cohere.decode_request(body, context)
    return replace(made, origin=Origin(NAME, body))


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
        extra={name: value for name, value in rest(body, _TITAN_READ).items() if value is not None},
        origin=Origin(NAME, body),
    )


def encode_response(
    response: EmbeddingResponse, request: EmbeddingRequest, context: ServerContext
) -> dict[str, Any]:
    """Return the answer in its family's form; Cohere's is a bare list unless types were asked for."""
    body = request.origin.body if request.origin is not None else {}
    tokens = response.usage.input_tokens if response.usage is not None else 0
    if "inputText" in body:
        vector = list(response.vectors[0]) if response.vectors else []
        by_type = {"embeddingsByType": {"float": vector}} if body.get("embeddingTypes") else {}
        return {"embedding": vector, "inputTextTokenCount": tokens, **by_type}
    types = tuple(dict.fromkeys(ClientObject(body).texts("embedding_types")))
    answer = cohere.by_type(response, request, types or ("float",), context)
    if types:
        return answer
    return {**answer, "embeddings": answer["embeddings"]["float"], "response_type": "embeddings_floats"}
