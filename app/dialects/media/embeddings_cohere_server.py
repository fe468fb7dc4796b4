"""Cohere v2 embed as a server speaks it, and the older form that Bedrock's Cohere models answer in.

Vectors are written as floats or base64; those of whole numbers (``int8`` …) are their maker's own.
Members: the cohere SDK's ``V2Client.embed`` and ``EmbedByTypeResponse``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.media import EmbeddingRequest, EmbeddingResponse
from app.canonical.request import Origin
from app.dialects.base import ServerContext
from app.dialects.media.base import pack
from app.dialects.shared.checking import Checked, missing, wrong_value
from app.dialects.shared.reading import rest
from app.errors import GatewayError

NAME: Final = "embeddings_cohere"

_READ: Final = frozenset({"model", "texts", "inputs", "output_dimension", "embedding_types", "fallbacks"})
_TYPES: Final = frozenset({"float", "base64"})
_QUANTIZED: Final = frozenset({"int8", "uint8", "binary", "ubinary"})


def decode_request(body: Mapping[str, Any], context: ServerContext) -> EmbeddingRequest:
    """Return what an embed body asks for.

    Raises ``bad_request`` by path, and ``unsupported_parameter`` for images.
    """
    members = Checked(body)
    inputs = _inputs(members)
    if not inputs:
        raise missing("texts")
    types = _types(members)
    members.text("input_type")
    return EmbeddingRequest(
        model=members.text("model") or context.model or "",
        inputs=inputs,
        dimensions=members.integer("output_dimension"),
        extra={name: value for name, value in rest(body, _READ).items() if value is not None},
        origin=Origin(NAME, body),
        quantized=tuple(name for name in types if name in _QUANTIZED),
        floats=not _QUANTIZED.issuperset(types) or not types,
    )


def _inputs(members: Checked) -> tuple[str, ...]:
    if members.items("images"):
        raise GatewayError("unsupported_parameter", "Images cannot be embedded here.", param="images")
    if members.items("inputs") is None:
        return members.texts("texts")
    return tuple("\n".join(_words(entry)) for entry in members.objects("inputs"))


def _words(entry: Checked) -> list[str]:
    words = []
    for block in entry.objects("content"):
        if block.required_text("type") != "text":
            message = "Only texts can be embedded here."
            raise GatewayError("unsupported_parameter", message, param=block.at("type"))
        words.append(block.required_text("text"))
    return words


def _types(members: Checked) -> tuple[str, ...]:
    types = members.texts("embedding_types")
    for index, name in enumerate(types):
        path = f"embedding_types[{index}]"
        if name not in _TYPES | _QUANTIZED:
            raise wrong_value(path, name, "'float', 'base64', 'int8', 'uint8', 'binary' and 'ubinary'")
    return tuple(dict.fromkeys(types))


def encode_response(
    response: EmbeddingResponse, request: EmbeddingRequest, context: ServerContext
) -> dict[str, Any]:
    """Return vectors by type, each type that was asked for."""
    types = _types(Checked(request.origin.body if request.origin is not None else {})) or ("float",)
    tokens = response.usage.input_tokens if response.usage is not None else 0
    return {
        **by_type(response, request, types, context),
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}},
    }


def by_type(
    response: EmbeddingResponse, request: EmbeddingRequest, types: tuple[str, ...], context: ServerContext
) -> dict[str, Any]:
    """Return the members that both of Cohere's hosts answer with."""
    embeddings = {name: _written(response, name) for name in types}
    texts = [text for text in request.inputs if isinstance(text, str)]
    identity = context.response_id or context.new_id("emb")
    return {"id": identity, "embeddings": embeddings, "texts": texts, "response_type": "embeddings_by_type"}


def _written(response: EmbeddingResponse, name: str) -> list[Any]:
    if name in _QUANTIZED:
        return [list(vector) for vector in response.quantized[name]]
    return [pack(vector) if name == "base64" else list(vector) for vector in response.vectors]
