"""Cohere v2 embed: texts, or texts with images; vectors by type.

The API requires an ``input_type``: ``search_document`` is sent unless the client sets another
(contract/providers.md 3.7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.canonical.media import EmbeddingRequest, EmbeddingResponse, MixedInput
from app.canonical.request import ImagePart, Native, TextPart
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.chat.errors import decode_error
from app.dialects.cohere.response_out import encode_error
from app.dialects.media import embeddings_cohere_server as server
from app.dialects.media.base import (
    EmbeddingDialect,
    bytes_of,
    check_count,
    has_pictures,
    texts_only,
    token_usage,
    vector_of,
)
from app.dialects.shared.lenient_json import as_dict, as_list, count, data_url, without_nulls
from app.dialects.shared.losses import Losses
from app.dialects.shared.unmapped_members import known_extras

NAME: Final = server.NAME
BATCH: Final = 96
_DEFAULT_INPUT_TYPE: Final = "search_document"
_SIGNED: Final = frozenset({"int8", "binary"})
_SUPPORTED: Final = frozenset({"input_type", "truncate", "max_tokens", "priority"})


def encode_request(request: EmbeddingRequest, context: ClientContext) -> EncodedRequest:
    """Return the request."""
    return EncodedRequest({"model": context.model, **cohere_members(request, context.losses)})


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
    mixed = [
        item if isinstance(item, MixedInput) else MixedInput((TextPart(str(item)),))
        for item in request.inputs
    ]
    if request.origin is not None and request.origin.body.get("images"):
        return {"images": [_url(image) for one in mixed for image in one.images]}
    return {"inputs": [{"content": [_block(part) for part in one.parts]} for one in mixed]}


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
            name: _quantized(as_dict(embeddings).get(name), name, request) for name in request.quantized
        },
    )


def _native(body: Mapping[str, Any]) -> Native | None:
    """Return what a response reports about images."""
    billed = count(as_dict(as_dict(body.get("meta")).get("billed_units")).get("images"))
    members = without_nulls({"images": body.get("images") or None, "billed_images": billed})
    return (NAME, members) if members else None


def _quantized(vectors: Any, name: str, request: EmbeddingRequest) -> tuple[Sequence[int], ...]:
    check_count(as_list(vectors), request)
    return tuple(bytes_of(vector, signed=name in _SIGNED) for vector in vectors)


DIALECT: Final = EmbeddingDialect(
    name=NAME,
    batch_limit=lambda context: BATCH,
    encode_request=encode_request,
    decode_response=decode_response,
    decode_error=decode_error,
    quantizes=lambda context: True,
    decode_request=server.decode_request,
    encode_response=server.encode_response,
    encode_error=encode_error,
)
