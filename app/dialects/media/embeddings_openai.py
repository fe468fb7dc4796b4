"""Embeddings as OpenAI has them: the server half, and the client half of all its likes.

Azure, Mistral, Ollama, SGLang, OpenRouter and Perplexity speak it with small quirks,
which are ``EmbeddingOptions`` (contract/providers.md 3.3; recorded traffic).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.media import EmbeddingRequest, EmbeddingResponse, MixedInput
from app.canonical.record import record
from app.canonical.request import Origin
from app.canonical.response import Usage
from app.dialects.base import ClientContext, EncodedRequest, ServerContext
from app.dialects.chat.errors import decode_error, failure_in
from app.dialects.chat.usage import decode_usage
from app.dialects.media.base import (
    EmbeddingDialect,
    check_count,
    estimated_usage,
    pack,
    refuse_pictures,
    vector_of,
)
from app.dialects.shared.lenient_json import as_dict, count, dicts, opt_str, rest
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type, wrong_value
from app.errors import GatewayError

NAME: Final = "embeddings_openai"

_KNOWN: Final = frozenset({"model", "input", "dimensions", "encoding_format", "user", "fallbacks"})
_ENCODINGS: Final = ("float", "base64")
_ANSWER_KNOWN: Final = frozenset({"object", "data", "model", "usage"})


@record
class EmbeddingOptions:
    """Quirks of one wire.

    ``limit``: inputs a call. ``dimensions``: the member's name. ``tokens``: token arrays
    are taken. ``user``: the member exists. ``base64``: vectors may be asked for as
    float32 text. ``coding``: how this wire packs a text it was not asked to pack.
    """

    limit: int = 2_048
    dimensions: str = "dimensions"
    tokens: bool = True
    user: bool = True
    base64: bool = True
    coding: str = "base64"


MISTRAL: Final = EmbeddingOptions(
    limit=64, dimensions="output_dimension", tokens=False, user=False, base64=False
)
"""Mistral refuses large calls with code 3210 "Too many inputs in request" (recorded at 261)."""
PERPLEXITY: Final = EmbeddingOptions(limit=512, tokens=False, user=False, base64=False, coding="base64_int8")
LOCAL: Final = EmbeddingOptions(limit=512, user=False, base64=False)
"""Ollama and SGLang."""
OLLAMA: Final = EmbeddingOptions(limit=512, tokens=False, user=False, base64=False)


def decode_request(body: Mapping[str, Any], context: ServerContext) -> EmbeddingRequest:
    """Read a client's body; raises ``bad_request`` naming the member that is wrong."""
    checked = ClientObject(body)
    encoding = checked.text("encoding_format") or "float"
    if encoding not in _ENCODINGS:
        raise wrong_value("encoding_format", encoding, "'float' and 'base64'")
    dimensions = checked.integer("dimensions")
    if dimensions is not None and dimensions < 1:
        message = f"{dimensions} is less than the minimum of 1 - 'dimensions'"
        raise GatewayError("bad_request", message, param="dimensions", code="integer_below_min_value")
    return EmbeddingRequest(
        model=checked.text("model") or context.model or "",
        inputs=decode_inputs(body.get("input"), "input"),
        dimensions=dimensions,
        encoding_format=encoding,
        user=checked.text("user"),
        extra=rest(body, _KNOWN),
        origin=Origin(NAME, body),
    )


def encode_response(
    response: EmbeddingResponse, request: EmbeddingRequest, context: ServerContext
) -> dict[str, Any]:
    """Return OpenAI's list object, in the encoding that the client asked for."""
    packed = request.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": pack(vector) if packed else list(vector)}
        for index, vector in enumerate(response.vectors)
    ]
    usage = response.usage or Usage()
    return {
        "object": "list",
        "data": data,
        "model": response.model or context.model or request.model,
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.total},
    }


def batch_limit(context: ClientContext) -> int:
    """Return the number of inputs that one call may hold."""
    return _options(context).limit


def encode_request(request: EmbeddingRequest, context: ClientContext) -> EncodedRequest:
    """Return the body; unknown members go out verbatim, for they came in this dialect."""
    options, losses = _options(context), context.losses
    refuse_pictures(request, losses)
    if not options.tokens and not all(isinstance(item, str) for item in request.inputs):
        losses.report("tokens_input", "Token arrays cannot be embedded by this model", param="input")
    inputs = [
        item if isinstance(item, str) else list(item)
        for item in request.inputs
        if not isinstance(item, MixedInput)
    ]
    body: dict[str, Any] = {"model": context.model, "input": inputs}
    if request.dimensions is not None:
        body[options.dimensions] = request.dimensions
    if request.encoding_format == "base64" and options.base64:
        body["encoding_format"] = "base64"
    if request.user is not None and options.user:
        body["user"] = request.user
    elif request.user is not None:
        losses.report("user")
    if request.origin is None or request.origin.dialect == NAME:
        body.update(request.extra)
    else:
        for name in request.extra:
            losses.report("extra", param=name)
    return EncodedRequest(body)


def decode_response(
    body: Any,
    request: EmbeddingRequest,
    context: ClientContext,
    headers: Mapping[str, str],
) -> EmbeddingResponse:
    """Read an answer; entries are put in the order of their ``index``."""
    failure = failure_in(body)
    if failure is not None:
        raise failure
    entries = dicts(as_dict(body).get("data"))
    check_count(entries, request)
    ordered = sorted(entries, key=lambda entry: count(entry.get("index")) or 0)
    coding = _options(context).coding
    return EmbeddingResponse(
        model=opt_str(body.get("model")),
        vectors=tuple(vector_of(entry.get("embedding"), coding=coding) for entry in ordered),
        usage=decode_usage(body.get("usage")) or estimated_usage(request.inputs),
        native=(NAME, rest(body, _ANSWER_KNOWN)),
    )


def decode_inputs(value: Any, path: str) -> tuple[str | tuple[int, ...], ...]:
    """Read ``input``: a text, texts, a token array or token arrays; never nothing.

    Raises ``bad_request`` with the path of the first member that is wrong.
    """
    if value is None:
        raise missing(path)
    if isinstance(value, str):
        return (_text(value, path),)
    if not isinstance(value, list):
        raise wrong_type(path, "a string or an array", value)
    if not value:
        raise _empty(path)
    if all(_is_token(item) for item in value):
        return (tuple(value),)
    return tuple(_item(item, f"{path}[{index}]") for index, item in enumerate(value))


def _item(value: Any, path: str) -> str | tuple[int, ...]:
    if isinstance(value, str):
        return _text(value, path)
    if not isinstance(value, list):
        raise wrong_type(path, "a string or an array of integers", value)
    if not value:
        raise _empty(path)
    for index, token in enumerate(value):
        if not _is_token(token):
            raise wrong_type(f"{path}[{index}]", "an integer", token)
    return tuple(value)


def _text(value: str, path: str) -> str:
    if not value:
        raise _empty(path)
    return value


def _empty(path: str) -> GatewayError:
    return GatewayError(
        "bad_request", f"Invalid '{path}': it cannot be empty.", param=path, code="invalid_value"
    )


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _options(context: ClientContext) -> EmbeddingOptions:
    return context.options if isinstance(context.options, EmbeddingOptions) else EmbeddingOptions()


DIALECT: Final = EmbeddingDialect(
    name=NAME,
    batch_limit=batch_limit,
    encode_request=encode_request,
    decode_response=decode_response,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
)
