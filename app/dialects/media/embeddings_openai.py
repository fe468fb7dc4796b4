"""OpenAI's embeddings, server and client half.

The format of Azure, Mistral, Ollama, SGLang, OpenRouter and Perplexity, too; their quirks are
``EmbeddingOptions`` (recorded traffic).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
    estimate_usage,
    pack,
    refuse_pictures,
    vector_of,
)
from app.dialects.shared.lenient_json import as_dict, count, dicts, opt_str, rest
from app.dialects.shared.members import own_members
from app.dialects.shared.strict_json import ClientObject, invalid, missing, wrong_type
from app.dialects.shared.unmapped_members import known_extras
from app.errors import GatewayError

NAME: Final = "embeddings_openai"

_CANONICAL: Final = frozenset({"model", "input", "dimensions", "encoding_format", "user", "fallbacks"})
_ENCODINGS: Final = ("float", "base64")
_CANONICAL_RESPONSE: Final = frozenset({"object", "data", "model", "usage"})


@record
class EmbeddingOptions:
    """Quirks of one provider.

    ``limit``: inputs per call. ``dimensions``: the name of the member. ``tokens``: takes token
    arrays. ``user``: has the member. ``base64``: takes ``encoding_format`` base64. ``coding``: how
    the provider packs vectors if the request does not say.
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
    """Return the canonical request; raises ``bad_request`` with the path of a wrong member."""
    members = ClientObject(body)
    encoding = members.word("encoding_format", ("", *_ENCODINGS), "'float' and 'base64'") or "float"
    dimensions = members.integer("dimensions")
    if dimensions is not None and dimensions < 1:
        message = f"{dimensions} is less than the minimum of 1 - 'dimensions'"
        raise GatewayError("bad_request", message, param="dimensions", code="integer_below_min_value")
    return EmbeddingRequest(
        model=members.text("model") or context.model or "",
        inputs=decode_inputs(body.get("input"), "input"),
        dimensions=dimensions,
        encoding_format=encoding,
        user=members.text("user"),
        extra=rest(body, _CANONICAL),
        origin=Origin(NAME, body),
    )


def encode_response(
    response: EmbeddingResponse, request: EmbeddingRequest, context: ServerContext
) -> dict[str, Any]:
    """Return OpenAI's list object, in the encoding of the request, with the provider's own members."""
    as_base64 = request.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": pack(vector) if as_base64 else list(vector)}
        for index, vector in enumerate(response.vectors)
    ]
    usage = response.usage or Usage()
    return {
        **own_members(response.native, NAME),
        "object": "list",
        "data": data,
        "model": response.model or context.model or request.model,
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.total},
    }


def encode_request(request: EmbeddingRequest, context: ClientContext) -> EncodedRequest:
    """Return the request; unknown members of a client of this dialect are sent unchanged."""
    options, losses = context.options_as(EmbeddingOptions), context.losses
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
    is_own = request.origin is None or request.origin.dialect == NAME
    return EncodedRequest({**body, **known_extras(request.extra, request.extra if is_own else (), losses)})


def decode_response(
    body: Any,
    request: EmbeddingRequest,
    context: ClientContext,
    headers: Mapping[str, str],
) -> EmbeddingResponse:
    """Return the vectors of a response, in the order of their ``index``."""
    if (failure := failure_in(body)) is not None:
        raise failure
    entries = dicts(as_dict(body).get("data"))
    check_count(entries, request)
    in_order = sorted(entries, key=lambda entry: count(entry.get("index")) or 0)
    coding = context.options_as(EmbeddingOptions).coding
    return EmbeddingResponse(
        model=opt_str(body.get("model")),
        vectors=tuple(vector_of(entry.get("embedding"), coding=coding) for entry in in_order),
        usage=_usage(decode_usage(body.get("usage")), request),
        native=(NAME, rest(body, _CANONICAL_RESPONSE)),
    )


def _usage(usage: Usage | None, request: EmbeddingRequest) -> Usage:
    """Return the usage; all tokens of a total without an input count are input, as there is no output."""
    if usage is None:
        return estimate_usage(request.inputs)
    if "input" in usage.missing:
        return replace(usage, input_tokens=usage.total, missing=())
    return usage


def decode_inputs(value: Any, path: str) -> tuple[str | tuple[int, ...], ...]:
    """Return ``input``: a text, texts, a token array or token arrays, at least one.

    Raises ``bad_request`` with the path of the first wrong value.
    """
    if value is None:
        raise missing(path)
    _check(value, path, "a string or an array")
    if isinstance(value, str) or all(_is_token(item) for item in value):
        return (value if isinstance(value, str) else tuple(value),)
    return tuple(_item(item, f"{path}[{index}]") for index, item in enumerate(value))


def _item(value: Any, path: str) -> str | tuple[int, ...]:
    _check(value, path, "a string or an array of integers")
    if isinstance(value, str):
        return value
    for index, token in enumerate(value):
        if not _is_token(token):
            raise wrong_type(f"{path}[{index}]", "an integer", token)
    return tuple(value)


def _check(value: Any, path: str, expected: str) -> None:
    if not isinstance(value, str | list):
        raise wrong_type(path, expected, value)
    if not value:
        raise invalid(path, "it cannot be empty.")


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


DIALECT: Final = EmbeddingDialect(
    name=NAME,
    batch_limit=lambda context: context.options_as(EmbeddingOptions).limit,
    encode_request=encode_request,
    decode_response=decode_response,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
)
