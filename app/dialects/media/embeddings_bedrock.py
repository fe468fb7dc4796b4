"""Embeddings of Bedrock's InvokeModel, server and client half: each model family has its own format.

Titan and Nova take one text per call, Cohere many. The input tokens are in the response
(Titan) or in the header ``x-amzn-bedrock-input-token-count`` (recorded traffic), which the view sends,
too. As a server Titan's and Cohere's formats are spoken: the members of a request decide which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.media import EmbeddingRequest, EmbeddingResponse, MixedInput
from app.canonical.record import record
from app.canonical.request import ImagePart, Origin
from app.dialects.base import ClientContext, EncodedRequest, ServerContext
from app.dialects.converse.response_out import encode_error
from app.dialects.media import embeddings_cohere as cohere
from app.dialects.media.base import EmbeddingDialect, check_count, texts_only, token_usage, vector_of
from app.dialects.media.embeddings_cohere import BATCH, cohere_answer, cohere_members
from app.dialects.shared.failures import upstream_failure
from app.dialects.shared.lenient_json import JSON, as_dict, count, dicts, opt_str, rest, without_nulls
from app.dialects.shared.losses import Losses
from app.dialects.shared.strict_json import ClientObject, missing, wrong_value
from app.dialects.shared.unmapped_members import known_extras
from app.errors import GatewayError

_TOKENS_HEADER: Final = "x-amzn-bedrock-input-token-count"
_ERROR_HEADER: Final = "x-amzn-errortype"
_TITAN_V1_LENGTH: Final = 1536
_NOVA_PURPOSE: Final = "GENERIC_INDEX"
_NOVA_PURPOSES: Final[Mapping[str, str]] = {
    "search_document": "GENERIC_INDEX",
    "search_query": "GENERIC_RETRIEVAL",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}


@record
class _Family:
    """One family: inputs per call, the encoder of a request, and the vectors of a response."""

    limit: int
    encode: Callable[[EmbeddingRequest, Losses], JSON]
    vectors: Callable[[JSON], list[Any]]


def decode_response(
    body: Any,
    request: EmbeddingRequest,
    context: ClientContext,
    headers: Mapping[str, str],
) -> EmbeddingResponse:
    """Return the vectors of a response of the model's family."""
    members = as_dict(body)
    header = headers.get(_TOKENS_HEADER, "")
    tokens = count(members.get("inputTextTokenCount"))
    if tokens is None and header.isdecimal():
        tokens = int(header)
    family = _family(context.model)
    if family is _COHERE:
        return cohere_answer(body, request, context.model, tokens)
    vectors = family.vectors(members)
    check_count(vectors, request)
    return EmbeddingResponse(
        context.model, tuple(vector_of(vector) for vector in vectors), token_usage(tokens, request)
    )


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Return the error of a response: ``{"message"}``, with the exception's name in a header (``Name:url``)."""
    members = as_dict(body)
    message = opt_str(members.get("message")) or opt_str(members.get("Message"))
    code = headers.get(_ERROR_HEADER, "").partition(":")[0] or None
    return upstream_failure(status, message, code=code, headers=headers, raw=body)


def _titan(request: EmbeddingRequest, losses: Losses) -> JSON:
    """Return the request of Titan's second text model, which takes dimensions and ``normalize``."""
    text = _text(request, losses)
    extras = known_extras(request.extra, {"normalize"}, losses)
    return {"inputText": text, **without_nulls({"dimensions": request.dimensions}), **extras}


def _titan_v1(request: EmbeddingRequest, losses: Losses) -> JSON:
    """Return the request of the first Titan, which takes only a text; its vectors have 1,536 numbers."""
    if request.dimensions not in (None, _TITAN_V1_LENGTH):
        warning = f"The vectors of this model have {_TITAN_V1_LENGTH} numbers; 'dimensions' was left out"
        losses.report("dimensions", warning)
    known_extras(request.extra, (), losses)
    return {"inputText": _text(request, losses)}


def _titan_image(request: EmbeddingRequest, losses: Losses) -> JSON:
    """Return the request of Titan's multimodal model, which takes a text, an image or both."""
    text, image = _text_and_image(request, losses)
    config = {"outputEmbeddingLength": request.dimensions}
    body = {
        "inputText": text if text or image is None else None,
        "inputImage": image.data if image is not None else None,
        "embeddingConfig": None if request.dimensions is None else config,
    }
    return {**without_nulls(body), **known_extras(request.extra, {"embeddingConfig", "inputImage"}, losses)}


def _nova(request: EmbeddingRequest, losses: Losses) -> JSON:
    purpose = request.extra.get("embeddingPurpose") or request.extra.get("input_type")
    text, image = _text_and_image(request, losses)
    if text and image is not None:
        losses.report("image", "This model does not embed text and images together", param="inputs")
    params: JSON = {"embeddingPurpose": _NOVA_PURPOSES.get(str(purpose), purpose) or _NOVA_PURPOSE}
    if image is None:
        params["text"] = {"truncationMode": request.extra.get("truncationMode", "END"), "value": text}
    else:
        kind = (image.media_type or "image/png").removeprefix("image/").replace("jpg", "jpeg")
        params["image"] = {"format": kind, "source": {"bytes": image.data}}
    if request.dimensions is not None:
        params["embeddingDimension"] = request.dimensions
    known_extras(request.extra, {"embeddingPurpose", "input_type", "truncationMode"}, losses)
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params}


def _text(request: EmbeddingRequest, losses: Losses) -> str:
    if request.user is not None:
        losses.report("user")
    return texts_only(request, losses)[0]


def _text_and_image(request: EmbeddingRequest, losses: Losses) -> tuple[str, ImagePart | None]:
    """Return the text of an input and its image, if it has one."""
    item = request.inputs[0]
    if not isinstance(item, MixedInput):
        return _text(request, losses), None
    if len(item.images) > 1:
        losses.report("image", "This model does not embed several images together", param="inputs")
    if request.user is not None:
        losses.report("user")
    return item.text, item.images[0]


_TITAN: Final = _Family(1, _titan, lambda body: [body.get("embedding")])
_TITAN_V1: Final = replace(_TITAN, encode=_titan_v1)
_TITAN_IMAGE: Final = replace(_TITAN, encode=_titan_image)
_NOVA: Final = _Family(
    1, _nova, lambda body: [entry.get("embedding") for entry in dicts(body.get("embeddings"))]
)
_COHERE: Final = _Family(BATCH, cohere_members, lambda body: [])
_FAMILIES: Final[Mapping[str, _Family]] = {
    "amazon.titan-embed-text-v1": _TITAN_V1,
    "amazon.titan-embed-g1": _TITAN_V1,
    "amazon.titan-embed-image": _TITAN_IMAGE,
    "amazon.titan-embed": _TITAN,
    "amazon.nova": _NOVA,
    "cohere.embed": _COHERE,
}


def _family(model: str) -> _Family:
    """Return the family of a model; its id may have a region or an ARN before it."""
    family = next((family for name, family in _FAMILIES.items() if name in model), None)
    if family is None:
        message = (
            f"The model '{model}' is not an embedding model that Bedrock's InvokeModel is known to serve."
        )
        raise GatewayError("unsupported_operation", message, param="model")
    return family


NAME: Final = "embeddings_bedrock"

_TITAN_MEMBERS: Final = frozenset({"model", "inputText", "dimensions", "embeddingTypes", "fallbacks"})


def decode_request(body: Mapping[str, Any], context: ServerContext) -> EmbeddingRequest:
    """Return the canonical request; the view puts the model of the URL into ``model``.

    Raises ``bad_request`` with the path of a wrong member, and for a request of another family.
    """
    if "inputText" in body:
        return _read_titan(body, context)
    if body.keys().isdisjoint({"texts", "inputs", "images"}):
        raise missing("inputText")
    return replace(cohere.decode_request(body, context), origin=Origin(NAME, body))


def _read_titan(body: Mapping[str, Any], context: ServerContext) -> EmbeddingRequest:
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
        by_type = {"embeddingsByType": {"float": vector}} if body.get("embeddingTypes") else {}
        return {"embedding": vector, "inputTextTokenCount": tokens, **by_type}
    types = tuple(dict.fromkeys(ClientObject(body).texts("embedding_types")))
    answer = cohere.by_type(response, request, types or ("float",), context)
    if types:
        return answer
    return {**answer, "embeddings": answer["embeddings"]["float"], "response_type": "embeddings_floats"}


DIALECT: Final = EmbeddingDialect(
    name="embeddings_bedrock",
    quantizes=lambda context: _family(context.model) is _COHERE,
    batch_limit=lambda context: _family(context.model).limit,
    encode_request=lambda request, context: EncodedRequest(
        _family(context.model).encode(request, context.losses)
    ),
    decode_response=decode_response,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
    encode_error=encode_error,
)
