"""Cohere v2 embed (server half), and the older format of Cohere's models on Bedrock.

Vectors are sent as floats or base64; vectors of integers (``int8`` …) only Cohere can make.
Sources: the cohere SDK's ``V2Client.embed`` and ``EmbedByTypeResponse``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.media import EmbeddingRequest, EmbeddingResponse, MixedInput
from app.canonical.request import ImagePart, Origin, TextPart
from app.dialects.base import ServerContext
from app.dialects.media.base import pack
from app.dialects.shared.lenient_json import rest, split_data_url, without_nulls
from app.dialects.shared.members import own_members
from app.dialects.shared.strict_json import ClientObject, missing, wrong_value
from app.errors import GatewayError

NAME: Final = "embeddings_cohere"

_CANONICAL: Final = frozenset(
    {"model", "texts", "images", "inputs", "output_dimension", "embedding_types", "fallbacks"}
)
_PARTS: Final = ("text", "image_url")
_TYPES: Final = frozenset({"float", "base64"})
_QUANTIZED: Final = frozenset({"int8", "uint8", "binary", "ubinary"})


def decode_request(body: Mapping[str, Any], context: ServerContext) -> EmbeddingRequest:
    """Return the canonical request; raises ``bad_request`` with the path of a wrong member."""
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
        extra=without_nulls(rest(body, _CANONICAL)),
        origin=Origin(NAME, body),
        quantized=tuple(name for name in types if name in _QUANTIZED),
        floats=not _QUANTIZED.issuperset(types) or not types,
    )


def _inputs(members: ClientObject) -> tuple[str | MixedInput, ...]:
    images = members.texts("images")
    if images and (members.items("texts") or members.items("inputs")):
        message = "Only one of 'texts', 'images' and 'inputs' can be given."
        raise GatewayError("bad_request", message, param="images", code="invalid_value")
    if images:
        return tuple(MixedInput((_image(url, f"images[{i}]"),)) for i, url in enumerate(images))
    if members.items("inputs") is None:
        return members.texts("texts")
    return tuple(map(_read_input, members.objects("inputs")))


def _read_input(entry: ClientObject) -> str | MixedInput:
    """Return the input of one vector, a text if it has no image."""
    mixed = MixedInput(tuple(map(_part, entry.objects("content"))))
    return mixed if mixed.images else mixed.text


def _part(block: ClientObject) -> TextPart | ImagePart:
    if block.required_word("type", _PARTS, "'text' and 'image_url'") == "text":
        return TextPart(block.required_text("text"))
    image = block.required_object("image_url")
    return _image(image.required_text("url"), image.at("url"))


def _image(url: str, path: str) -> ImagePart:
    inline = split_data_url(url)
    if inline is None:
        raise wrong_value(path, url[:64], "a data URI, such as 'data:image/png;base64,…'")
    return ImagePart(inline[1], inline[0])


def _types(members: ClientObject) -> tuple[str, ...]:
    types = members.texts("embedding_types")
    for index, name in enumerate(types):
        if name not in _TYPES | _QUANTIZED:
            expected = "'float', 'base64', 'int8', 'uint8', 'binary' and 'ubinary'"
            raise wrong_value(f"embedding_types[{index}]", name, expected)
    return tuple(dict.fromkeys(types))


def encode_response(
    response: EmbeddingResponse, request: EmbeddingRequest, context: ServerContext
) -> dict[str, Any]:
    """Return the vectors in each type that the client requested."""
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
    """Return the number of images that Cohere bills, nothing if another provider answered."""
    return without_nulls({"images": own_members(response.native, NAME).get("billed_images")})


def by_type(
    response: EmbeddingResponse, request: EmbeddingRequest, types: tuple[str, ...], context: ServerContext
) -> dict[str, Any]:
    """Return the members of a response on both of Cohere's hosts."""
    images = own_members(response.native, NAME).get("images")
    return {
        "id": context.response_id or context.new_id("emb"),
        "embeddings": {name: _vectors(response, name) for name in types},
        "texts": [text for text in request.inputs if isinstance(text, str)],
        **({"images": images} if images else {}),
        "response_type": "embeddings_by_type",
    }


def _vectors(response: EmbeddingResponse, name: str) -> list[Any]:
    if name in _QUANTIZED:
        return [list(vector) for vector in response.quantized[name]]
    return [pack(vector) if name == "base64" else list(vector) for vector in response.vectors]
