"""Google's embeddings: batchEmbedContents, embedContent and Vertex's predict.

Which of the three a model is called with is the provider's choice, told by
``GoogleEmbeddingOptions.form``. Only predict counts tokens; for the others the usage is
an estimate unless ``usageMetadata`` is there (contract/providers.md 3.6, 3.9).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from app.canonical.media import EmbeddingRequest, EmbeddingResponse, MixedInput
from app.canonical.record import record
from app.canonical.request import ImagePart, TextPart
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.gemini.errors import decode_error
from app.dialects.gemini.options import bare_model
from app.dialects.gemini.response_out import encode_error
from app.dialects.media import embeddings_gemini_server as server
from app.dialects.media.base import (
    EmbeddingDialect,
    check_count,
    counted_usage,
    has_pictures,
    refuse_pictures,
    texts_only,
    vector_of,
)
from app.dialects.shared.lenient_json import as_dict, count, dicts, without_nulls

Form = Literal["batch", "single", "predict"]

_TASK: Final = frozenset({"task_type", "taskType", "input_type"})
_TRUNCATE: Final = frozenset({"auto_truncate", "autoTruncate"})
_TITLE: Final = "title"
_MULTIMODAL: Final = re.compile(r"gemini-embedding-2")
"""Models that embed pictures, alone or among texts (Google's page of Gemini Embedding 2, 2026-04, read 2026-11-28)."""

_TASKS: Final[Mapping[str, str]] = {
    "search_document": "RETRIEVAL_DOCUMENT",
    "search_query": "RETRIEVAL_QUERY",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
"""Cohere's input types, which clients send as ``input_type``, in Google's words."""


@record
class GoogleEmbeddingOptions:
    """``form``: batchEmbedContents, embedContent or predict; ``limit``: inputs a call
    (100 for a batch, 250 for predict; some models take one)."""

    form: Form = "batch"
    limit: int = 100


SINGLE: Final = GoogleEmbeddingOptions("single", 1)
PREDICT: Final = GoogleEmbeddingOptions("predict", 250)
PREDICT_ONE: Final = GoogleEmbeddingOptions("predict", 1)


def batch_limit(context: ClientContext) -> int:
    """Return the number of inputs that one call may hold."""
    return _options(context).limit


def encode_request(request: EmbeddingRequest, context: ClientContext) -> EncodedRequest:
    """Return the body; ``task_type`` (or ``input_type``), ``title`` and
    ``auto_truncate`` are taken from the client's further members."""
    if request.user is not None:
        context.losses.report("user")
    contents = _contents(request, context)
    members = _members(request, context)
    return EncodedRequest(_ENCODERS[_options(context).form](contents, members, request, context))


def decode_response(
    body: Any,
    request: EmbeddingRequest,
    context: ClientContext,
    headers: Mapping[str, str],
) -> EmbeddingResponse:
    """Read an answer of any of the three forms."""
    members = as_dict(body)
    if "predictions" in members:
        entries = [as_dict(entry.get("embeddings")) for entry in dicts(members["predictions"])]
        tokens = _predicted_tokens(entries)
    else:
        entries = dicts(members.get("embeddings")) or dicts([members.get("embedding")])
        tokens = count(as_dict(members.get("usageMetadata")).get("promptTokenCount"))
    check_count(entries, request)
    vectors = tuple(vector_of(entry.get("values")) for entry in entries)
    return EmbeddingResponse(context.model, vectors, counted_usage(tokens, request))


def _members(request: EmbeddingRequest, context: ClientContext) -> dict[str, Any]:
    """The client's further members under three names of ours; the rest is reported."""
    found: dict[str, Any] = {}
    for name, value in request.extra.items():
        if name in _TASK:
            found["task"] = _TASKS.get(value, value) if isinstance(value, str) else value
        elif name in _TRUNCATE:
            found["truncate"] = value
        elif name == _TITLE:
            found["title"] = value
        else:
            context.losses.report("extra", param=name)
    return found


def _contents(request: EmbeddingRequest, context: ClientContext) -> list[list[dict[str, Any]]]:
    """Return the parts of each input; pictures are for the models that embed them."""
    if not has_pictures(request):
        return [[{"text": text}] for text in texts_only(request, context.losses)]
    if _MULTIMODAL.search(context.model) is None or _options(context).form == "predict":
        refuse_pictures(request, context.losses)
    return [
        [_part(part) for part in item.parts] if isinstance(item, MixedInput) else [{"text": str(item)}]
        for item in request.inputs
    ]


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text}
    return {"inlineData": {"mimeType": part.media_type or "image/png", "data": part.data}}


def _content(
    parts: list[dict[str, Any]], members: Mapping[str, Any], request: EmbeddingRequest
) -> dict[str, Any]:
    options = {
        "taskType": members.get("task"),
        "title": members.get("title"),
        "outputDimensionality": request.dimensions,
    }
    return {"content": {"parts": parts}, **without_nulls(options)}


def _batch(
    contents: list[list[dict[str, Any]]],
    members: Mapping[str, Any],
    request: EmbeddingRequest,
    context: ClientContext,
) -> dict[str, Any]:
    model = f"models/{bare_model(context.model)}"
    if "truncate" in members:
        context.losses.report("extra", param="auto_truncate")
    return {"requests": [{"model": model, **_content(parts, members, request)} for parts in contents]}


def _single_request(
    contents: list[list[dict[str, Any]]],
    members: Mapping[str, Any],
    request: EmbeddingRequest,
    context: ClientContext,
) -> dict[str, Any]:
    """One input; on Vertex the configuration is an object of its own."""
    content = _content(contents[0], members, request)
    config = {name: value for name, value in content.items() if name != "content"}
    config.update(without_nulls({"autoTruncate": members.get("truncate")}))
    return {"content": content["content"], **({"embedContentConfig": config} if config else {})}


def _predict(
    contents: list[list[dict[str, Any]]],
    members: Mapping[str, Any],
    request: EmbeddingRequest,
    context: ClientContext,
) -> dict[str, Any]:
    options = without_nulls({"task_type": members.get("task"), "title": members.get("title")})
    body: dict[str, Any] = {"instances": [{"content": parts[0]["text"], **options} for parts in contents]}
    parameters = without_nulls(
        {"outputDimensionality": request.dimensions, "autoTruncate": members.get("truncate")}
    )
    return {**body, **({"parameters": parameters} if parameters else {})}


_ENCODERS: Final[
    Mapping[
        str,
        Callable[
            [list[list[dict[str, Any]]], Mapping[str, Any], EmbeddingRequest, ClientContext], dict[str, Any]
        ],
    ]
] = {"batch": _batch, "single": _single_request, "predict": _predict}


def _predicted_tokens(entries: list[dict[str, Any]]) -> int | None:
    counts = [count(as_dict(entry.get("statistics")).get("token_count")) for entry in entries]
    known = [tokens for tokens in counts if tokens is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _options(context: ClientContext) -> GoogleEmbeddingOptions:
    options = context.options
    return options if isinstance(options, GoogleEmbeddingOptions) else GoogleEmbeddingOptions()


DIALECT: Final = EmbeddingDialect(
    name="embeddings_gemini",
    batch_limit=batch_limit,
    encode_request=encode_request,
    decode_response=decode_response,
    decode_error=decode_error,
    decode_request=server.decode_request,
    encode_response=server.encode_response,
    encode_error=encode_error,
)
