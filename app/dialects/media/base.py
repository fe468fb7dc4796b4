"""The rows of embedding dialects and of dialects without streams, and what embedding dialects share.

Embeddings are requested in batches: ``split`` divides a request by the number of inputs that
one call takes, ``merge`` joins the responses in order and sums their usage.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from app.canonical.media import EmbeddingRequest, EmbeddingResponse, MixedInput
from app.canonical.record import record
from app.canonical.response import Usage
from app.dialects.base import ClientContext, EncodedRequest, Row, ServerContext, not_supported
from app.dialects.shared.lenient_json import number
from app.dialects.shared.losses import Losses
from app.errors import GatewayError

_CHARS_PER_TOKEN: Final = 4


@record(kw_only=True)
class EmbeddingDialect(Row):
    """A dialect of embeddings.

    ``batch_limit`` is the number of inputs that one call takes. ``decode_response`` takes the batch
    and the response's headers, by lower-case name: some providers report tokens only there.
    ``quantizes``: the model returns vectors of integers, too.
    """

    batch_limit: Callable[[ClientContext], int]
    encode_request: Callable[[EmbeddingRequest, ClientContext], EncodedRequest]
    decode_response: Callable[[Any, EmbeddingRequest, ClientContext, Mapping[str, str]], EmbeddingResponse]
    quantizes: Callable[[ClientContext], bool] = lambda context: False
    decode_request: Callable[[Mapping[str, Any], ServerContext], EmbeddingRequest] = not_supported
    encode_response: Callable[[EmbeddingResponse, EmbeddingRequest, ServerContext], dict[str, Any]] = (
        not_supported
    )


RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


@record(kw_only=True)
class WholeDialect(Row, Generic[RequestT, ResponseT]):
    """A dialect of one JSON request and one JSON response, without streams. The response has a ``usage``."""

    encode_request: Callable[[RequestT, ClientContext], EncodedRequest]
    decode_response: Callable[[Any, RequestT, ClientContext], ResponseT]
    decode_request: Callable[[Mapping[str, Any], ServerContext], RequestT] = not_supported
    encode_response: Callable[[ResponseT, RequestT, ServerContext], dict[str, Any]] = not_supported


def split(request: EmbeddingRequest, limit: int) -> list[EmbeddingRequest]:
    """Divide ``request`` into requests of at most ``limit`` inputs, in order."""
    inputs = request.inputs
    if len(inputs) <= limit:
        return [request]
    return [replace(request, inputs=inputs[start : start + limit]) for start in range(0, len(inputs), limit)]


def merge(responses: Sequence[EmbeddingResponse]) -> EmbeddingResponse:
    """Join the responses to the requests of ``split``: vectors in order, usage and costs summed.

    Model and native members are those of the first response. Usage is None if no response has any.
    """
    if len(responses) == 1:
        return responses[0]
    vectors = tuple(vector for response in responses for vector in response.vectors)
    usages = [response.usage for response in responses if response.usage is not None]
    integers = {
        name: tuple(vector for response in responses for vector in response.quantized[name])
        for name in responses[0].quantized
    }
    usage = sum_usages(usages) if usages else None
    return replace(responses[0], vectors=vectors, usage=usage, quantized=integers)


def sum_usages(usages: Sequence[Usage]) -> Usage:
    """Return the sum of usages; without a cost if one of them has none."""
    details: Counter[str] = Counter()
    for usage in usages:
        details.update(usage.details)
    costs = [usage.cost for usage in usages if usage.cost is not None]
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        total_tokens=sum(usage.total for usage in usages),
        details=dict(details),
        cost=_sum_costs(costs) if len(costs) == len(usages) else None,
        estimated=any(usage.estimated for usage in usages),
    )


def _sum_costs(costs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for name, value in (item for cost in costs for item in cost.items()):
        sum_so_far = total.get(name, 0)
        total[name] = value if number(value) is None or number(sum_so_far) is None else sum_so_far + value
    return total


def texts_only(request: EmbeddingRequest, losses: Losses) -> list[str]:
    """Return the inputs as texts; token arrays and images are refused."""
    refuse_pictures(request, losses)
    texts = [item for item in request.inputs if isinstance(item, str)]
    if len(texts) != len(request.inputs):
        losses.report("tokens_input", "Token arrays cannot be embedded by this model", param="input")
    return texts


def refuse_pictures(request: EmbeddingRequest, losses: Losses) -> None:
    """Refuse a request with images; the error names the member that has them."""
    if has_pictures(request):
        body = request.origin.body if request.origin is not None else {}
        member = "images" if body.get("images") else "inputs"
        losses.report("image", "This model does not embed images", param=member)


def has_pictures(request: EmbeddingRequest) -> bool:
    """Tell whether any input has an image."""
    return any(isinstance(item, MixedInput) for item in request.inputs)


_PICTURE_TOKENS: Final = 258
"""Google's count of a small image (https://ai.google.dev/gemini-api/docs/tokens, 2026)."""


def _tokens(item: str | tuple[int, ...] | MixedInput) -> int:
    if isinstance(item, MixedInput):
        return _tokens(item.text) + _PICTURE_TOKENS * len(item.images)
    return max(1, -(-len(item) // _CHARS_PER_TOKEN)) if isinstance(item, str) else len(item)


def estimate_usage(inputs: Iterable[str | tuple[int, ...] | MixedInput]) -> Usage:
    """Return the estimated usage of inputs, for providers that report none: a token is four characters."""
    tokens = sum(map(_tokens, inputs))
    return Usage(input_tokens=tokens, total_tokens=tokens, estimated=True)


def token_usage(tokens: int | None, request: EmbeddingRequest) -> Usage:
    """Return the usage of a number of input tokens, an estimate if it is None."""
    if tokens is None:
        return estimate_usage(request.inputs)
    return Usage(input_tokens=tokens, total_tokens=tokens)


def vector_of(value: Any, *, coding: str = "base64") -> Sequence[float]:
    """Return one vector: a JSON array of numbers, or base64 text.

    ``coding`` of a text is ``base64`` (little-endian float32, OpenAI) or ``base64_int8``
    (signed bytes, Perplexity). Raises ``upstream_invalid`` for anything else, also for
    numbers that are no finite float32, which JSON cannot represent.
    """
    try:
        vector = (
            _unpack(base64.b64decode(value, validate=True), coding)
            if isinstance(value, str)
            else array("d", value)
        )
        is_finite = isinstance(value, str | list) and all(map(math.isfinite, array("f", vector)))
    except (TypeError, ValueError, OverflowError) as error:
        raise not_a_vector(value) from error
    if not is_finite:
        raise not_a_vector(value)
    return vector


def bytes_of(value: Any, *, signed: bool) -> Sequence[int]:
    """Return one vector of integers, each a byte; raises ``upstream_invalid`` for anything else."""
    try:
        return array("b" if signed else "B", value if isinstance(value, list) else [None])
    except (TypeError, OverflowError) as error:
        raise not_a_vector(value) from error


def _unpack(data: bytes, coding: str) -> Sequence[float]:
    if coding == "base64_int8":
        return array("d", array("b", data))
    vector = array("f")
    vector.frombytes(data)
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


def not_a_vector(value: Any) -> GatewayError:
    """Return the error of an embedding that is not a vector."""
    return GatewayError(
        "upstream_invalid", "The provider's answer contains an embedding that is not a vector.", raw=value
    )


def pack(vector: Sequence[float]) -> str:
    """Return a vector as base64 text of little-endian float32 (OpenAI's ``base64``)."""
    floats = vector if isinstance(vector, array) and vector.typecode == "f" else array("f", vector)
    if sys.byteorder == "big":
        floats = array("f", floats)
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode("ascii")


def check_count(vectors: Sequence[Any], request: EmbeddingRequest) -> None:
    """Raise ``upstream_invalid`` unless there is one vector for each input."""
    if len(vectors) != len(request.inputs):
        message = f"The provider answered {len(request.inputs)} inputs with {len(vectors)} embeddings."
        raise GatewayError("upstream_invalid", message)
