"""Cohere v2 embed as a server speaks it, and the older form that Bedrock's Cohere models answer in.

Vectors are written as floats or base64; those of whole numbers (``int8`` …) are their maker's own.
Members: the cohere SDK's ``V2Client.embed`` and ``EmbedByTypeResponse``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.media import EmbeddingRequest, EmbeddingResponse, MixedInput
from app.canonical.request import ImagePart, Origin, TextPart
from app.dialects.base import ServerContext
from app.dialects.media.base import pack
from app.dialects.shared.lenient_json import rest, split_data_url
from app.dialects.shared.strict_json import ClientObject, missing, wrong_value
from app.errors import GatewayError

NAME: Final = "embeddings_cohere"

_READ: Final = frozenset(
    {"model", "texts", "images", "inputs", "output_dimension", "embedding_types", "fallbacks"}
)
_TYPES: Final = frozenset({"float", "base64"})
_QUANTIZED: Final = frozenset({"int8", "uint8", "binary", "ubinary"})


def decode_request(body: Mapping[str, Any], context: ServerContext) -> EmbeddingRequest:
    """Return what an embed body asks for.

    Raises ``bad_request`` by path.
    """
    members = ClientObject(body)
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


def _inputs(members: ClientObject) -> tuple[str | MixedInput, ...]:
    images = members.texts("images")
    if images and (members.items("texts") or members.items("inputs")):
        raise GatewayError(
            "bad_request",
            "Only one of 'texts', 'images' and 'inputs' can be given.",
            param="images",
            code="invalid_value",
        )
    if images:
        return tuple(MixedInput((_picture(url, f"images[{i}]"),)) for i, url in enumerate(images))
    if members.items("inputs") is None:
        return members.texts("texts")
    return tuple(map(_read_input, members.objects("inputs")))


def _read_input(entry: ClientObject) -> str | MixedInput:
    """Return what makes one vector: a text where there is no picture."""
    parts = tuple(map(_part, entry.objects("content")))
    mixed = MixedInput(parts)
    return mixed if mixed.images else mixed.text


def _part(block: ClientObject) -> TextPart | ImagePart:
    kind = block.required_text("type")
    if kind == "text":
        return TextPart(block.required_text("text"))
    if kind != "image_url":
        raise wrong_value(block.at("type"), kind, "'text' and 'image_url'")
    image = block.object("image_url")
    if image is None:
        raise missing(block.at("image_url"))
    return _picture(image.required_text("url"), image.at("url"))


def _picture(url: str, path: str) -> ImagePart:
    inline = split_data_url(url)
    if inline is None:
        raise wrong_value(path, url[:64], "a data URI, such as 'data:image/png;base64,…'")
    return ImagePart(inline[1], inline[0])


def _types(members: ClientObject) -> tuple[str, ...]:
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
    types = _types(ClientObject(request.origin.body if request.origin is not None else {})) or ("float",)
    tokens = response.usage.input_tokens if response.usage is not None else 0
    return {
        **by_type(response, request, types, context),
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"input_tokens": tokens, **billed_images(response)},
        },
    }


def billed_images(response: EmbeddingResponse) -> dict[str, Any]:
    """Return the pictures that Cohere bills, where it answered."""
    native = response.native
    billed = native[1].get("billed_images") if native is not None and native[0] == NAME else None
    return {} if billed is None else {"images": billed}


def by_type(
    response: EmbeddingResponse, request: EmbeddingRequest, types: tuple[str, ...], context: ServerContext
) -> dict[str, Any]:
    """Return the members that both of Cohere's hosts answer with."""
    embeddings = {name: _write_vectors(response, name) for name in types}
    texts = [text for text in request.inputs if isinstance(text, str)]
    identity = context.response_id or context.new_id("emb")
    native = response.native
    shown = native[1].get("images") if native is not None and native[0] == NAME else None
    return {
        "id": identity,
        "embeddings": embeddings,
        "texts": texts,
        **({"images": shown} if shown else {}),
        "response_type": "embeddings_by_type",
    }


def _write_vectors(response: EmbeddingResponse, name: str) -> list[Any]:
    if name in _QUANTIZED:
        return [list(vector) for vector in response.quantized[name]]
    return [pack(vector) if name == "base64" else list(vector) for vector in response.vectors]
