"""Cohere v2 embed, server and client half: texts, or texts with images; vectors by type.

The API requires an ``input_type``: ``search_document`` is sent unless the client sets another. Vectors are sent as floats or base64; vectors of integers (``int8`` …) only
Cohere can make. Sources: the cohere SDK's ``V2Client.embed`` and ``EmbedByTypeResponse``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.canonical.media import EmbeddingRequest, EmbeddingResponse, MixedInput
from app.canonical.request import ImagePart, Native, Origin, TextPart
from app.dialects.base import ClientContext, EncodedRequest, ServerContext
from app.dialects.chat.errors import decode_error
from app.dialects.cohere.response_out import encode_error
from app.dialects.media.base import (
    EmbeddingDialect,
    bytes_of,
    check_count,
    has_pictures,
    pack,
    texts_only,
    token_usage,
    vector_of,
)
from app.dialects.shared.lenient_json import (
    as_dict,
    as_list,
    count,
    data_url,
    rest,
    split_data_url,
    without_nulls,
)
from app.dialects.shared.losses import Losses
from app.dialects.shared.members import own_members
from app.dialects.shared.strict_json import ClientObject, missing, wrong_value
from app.dialects.shared.unmapped_members import known_extras
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
    inputs = _read_inputs(members)
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


def _read_inputs(members: ClientObject) -> tuple[str | MixedInput, ...]:
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
    document = MixedInput(tuple(map(_part, entry.objects("content"))))
    return document if document.images else document.text


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


BATCH: Final = 96
_DEFAULT_INPUT_TYPE: Final = "search_document"
_SIGNED: Final = frozenset({"int8", "binary"})
_SUPPORTED: Final = frozenset({"input_type", "truncate", "max_tokens", "priority"})


def decode_response(
    body: Any,
    request: EmbeddingRequest,
    context: ClientContext,
    headers: Mapping[str, str],
) -> EmbeddingResponse:
    """Return the vectors of a response; its tokens are in ``meta.billed_units``."""
    units = as_dict(as_dict(as_dict(body).get("meta")).get("billed_units"))
    return cohere_answer(body, request, context.model, count(units.get("input_tokens")))


def cohere_members(request: EmbeddingRequest, losses: Losses) -> dict[str, Any]:
    """Return the request without its model, as Cohere's models on Bedrock take it, too."""
    if request.user is not None:
        losses.report("user")
    return {
        "input_type": _DEFAULT_INPUT_TYPE,
        "embedding_types": [*(["float"] if request.floats else []), *request.quantized],
        **_inputs(request, losses),
        **without_nulls({"output_dimension": request.dimensions}),
        **known_extras(request.extra, _SUPPORTED, losses),
    }


def _inputs(request: EmbeddingRequest, losses: Losses) -> dict[str, Any]:
    """Return ``texts``, or ``inputs`` with images; ``images`` of a client are sent as such (older models need it)."""
    if not has_pictures(request):
        return {"texts": texts_only(request, losses)}
    documents = [
        item if isinstance(item, MixedInput) else MixedInput((TextPart(str(item)),))
        for item in request.inputs
    ]
    if request.origin is not None and request.origin.body.get("images"):
        return {"images": [_url(image) for one in documents for image in one.images]}
    return {"inputs": [{"content": [_block(part) for part in one.parts]} for one in documents]}


def _url(image: ImagePart) -> str:
    return data_url(image.media_type, image.data or "")


def _block(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": _url(part)}}


def cohere_answer(body: Any, request: EmbeddingRequest, model: str, tokens: int | None) -> EmbeddingResponse:
    """Return vectors by type (``embeddings.float``) or, from older models, of a plain list."""
    embeddings = as_dict(body).get("embeddings")
    vectors = as_list(as_dict(embeddings).get("float")) or as_list(embeddings)
    if request.floats:
        check_count(vectors, request)
    return EmbeddingResponse(
        model,
        tuple(vector_of(v) for v in vectors),
        token_usage(tokens, request),
        native=_native(as_dict(body)),
        quantized={
            name: _integer_vectors(as_dict(embeddings).get(name), name, request) for name in request.quantized
        },
    )


def _native(body: Mapping[str, Any]) -> Native | None:
    """Return what a response reports about images."""
    image_count = count(as_dict(as_dict(body.get("meta")).get("billed_units")).get("images"))
    members = without_nulls({"images": body.get("images") or None, "billed_images": image_count})
    return (NAME, members) if members else None


def _integer_vectors(vectors: Any, name: str, request: EmbeddingRequest) -> tuple[Sequence[int], ...]:
    check_count(as_list(vectors), request)
    return tuple(bytes_of(vector, signed=name in _SIGNED) for vector in vectors)


DIALECT: Final = EmbeddingDialect(
    name=NAME,
    batch_limit=lambda context: BATCH,
    encode_request=lambda request, context: EncodedRequest(
        {"model": context.model, **cohere_members(request, context.losses)}
    ),
    decode_response=decode_response,
    decode_error=decode_error,
    quantizes=lambda context: True,
    decode_request=decode_request,
    encode_response=encode_response,
    encode_error=encode_error,
)
