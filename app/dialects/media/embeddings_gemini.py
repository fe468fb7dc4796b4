"""Google's embeddings, server and client half: batchEmbedContents, embedContent and Vertex's predict.

As a server the member ``requests``, ``content`` or ``instances`` decides the form, which the response has,
too. The provider chooses one by ``GoogleEmbeddingOptions.form``. Only predict reports tokens; for the
others the usage is an estimate unless there is a ``usageMetadata``. Sources: google-genai's types, Vertex's reference of text embeddings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from app.canonical.media import EmbeddingRequest, EmbeddingResponse, MixedInput
from app.canonical.record import record
from app.canonical.request import ImagePart, Origin, TextPart
from app.dialects.base import ClientContext, EncodedRequest, ServerContext
from app.dialects.gemini.members import Members
from app.dialects.gemini.options import bare_model
from app.dialects.gemini.response_in import decode_error
from app.dialects.gemini.response_out import encode_error
from app.dialects.media.base import (
    EmbeddingDialect,
    check_count,
    has_pictures,
    refuse_pictures,
    texts_only,
    token_usage,
    vector_of,
)
from app.dialects.shared.lenient_json import as_dict, count, dicts, without_nulls
from app.dialects.shared.strict_json import missing
from app.dialects.shared.unmapped_members import known_extras
from app.errors import GatewayError

Form = Literal["batch", "single", "predict"]
Contents = list[list[dict[str, Any]]]
"""The parts of each input."""

_MEMBERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("task_type", "taskType", "input_type"), "task"),
    **dict.fromkeys(("auto_truncate", "autoTruncate"), "truncate"),
    "title": "title",
}
"""The names that clients use for a setting, and the name used here."""

_MULTIMODAL: Final = re.compile(r"gemini-embedding-2")
"""Models that embed images, alone or with texts (Google's page of Gemini Embedding 2, 2026-04, read 2026-11-28)."""

_TASKS: Final[Mapping[str, str]] = {
    "search_document": "RETRIEVAL_DOCUMENT",
    "search_query": "RETRIEVAL_QUERY",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
"""Google's names of Cohere's input types, which clients send as ``input_type``."""


@record
class GoogleEmbeddingOptions:
    """``form``: batchEmbedContents, embedContent or predict. ``limit``: inputs per call (100 in a batch,
    250 for predict, one for some models)."""

    form: Form = "batch"
    limit: int = 100


SINGLE: Final = GoogleEmbeddingOptions("single", 1)
PREDICT: Final = GoogleEmbeddingOptions("predict", 250)
PREDICT_ONE: Final = GoogleEmbeddingOptions("predict", 1)


def encode_request(request: EmbeddingRequest, context: ClientContext) -> EncodedRequest:
    """Return the request; ``task_type`` (or ``input_type``), ``title`` and ``auto_truncate`` are extra members."""
    if request.user is not None:
        context.losses.report("user")
    contents = _contents(request, context)
    settings = _settings(request, context)
    form = context.options_as(GoogleEmbeddingOptions).form
    return EncodedRequest(_ENCODERS[form](contents, settings, request, context))


def decode_response(
    body: Any,
    request: EmbeddingRequest,
    context: ClientContext,
    headers: Mapping[str, str],
) -> EmbeddingResponse:
    """Return the vectors of a response of any form."""
    members = as_dict(body)
    if predictions := dicts(members.get("predictions")):
        entries = [as_dict(entry.get("embeddings")) for entry in predictions]
        tokens = _predicted_tokens(entries)
    else:
        entries = dicts(members.get("embeddings")) or dicts([members.get("embedding")])
        tokens = count(as_dict(members.get("usageMetadata")).get("promptTokenCount"))
    check_count(entries, request)
    vectors = tuple(vector_of(entry.get("values")) for entry in entries)
    return EmbeddingResponse(context.model, vectors, token_usage(tokens, request))


def _settings(request: EmbeddingRequest, context: ClientContext) -> dict[str, Any]:
    """Return the client's settings: ``task``, ``truncate``, ``title``; other extra members are reported."""
    extras = known_extras(request.extra, _MEMBERS, context.losses)
    settings = {_MEMBERS[name]: value for name, value in extras.items()}
    if isinstance(task := settings.get("task"), str):
        settings["task"] = _TASKS.get(task, task)
    return settings


def _contents(request: EmbeddingRequest, context: ClientContext) -> Contents:
    """Return the parts of each input; images are refused for models that do not embed them."""
    if not has_pictures(request):
        return [[{"text": text}] for text in texts_only(request, context.losses)]
    is_predict = context.options_as(GoogleEmbeddingOptions).form == "predict"
    if is_predict or _MULTIMODAL.search(context.model) is None:
        refuse_pictures(request, context.losses)
    return [
        [_part(part) for part in item.parts] if isinstance(item, MixedInput) else [{"text": str(item)}]
        for item in request.inputs
    ]


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text}
    return {"inlineData": {"mimeType": part.media_type or "image/png", "data": part.data}}


def _config(settings: Mapping[str, Any], request: EmbeddingRequest) -> dict[str, Any]:
    config = {
        "taskType": settings.get("task"),
        "title": settings.get("title"),
        "outputDimensionality": request.dimensions,
    }
    return without_nulls(config)


def _batch(
    contents: Contents, settings: Mapping[str, Any], request: EmbeddingRequest, context: ClientContext
) -> dict[str, Any]:
    if "truncate" in settings:
        context.losses.report("extra", param="auto_truncate")
    shared = {"model": f"models/{bare_model(context.model)}", **_config(settings, request)}
    return {"requests": [{**shared, "content": {"parts": parts}} for parts in contents]}


def _single(
    contents: Contents, settings: Mapping[str, Any], request: EmbeddingRequest, context: ClientContext
) -> dict[str, Any]:
    """Return the request of one input; Vertex has an object for its settings."""
    truncate = without_nulls({"autoTruncate": settings.get("truncate")})
    config = {**_config(settings, request), **truncate}
    return {"content": {"parts": contents[0]}, **({"embedContentConfig": config} if config else {})}


def _predict(
    contents: Contents, settings: Mapping[str, Any], request: EmbeddingRequest, context: ClientContext
) -> dict[str, Any]:
    options = without_nulls({"task_type": settings.get("task"), "title": settings.get("title")})
    instances = [{"content": parts[0]["text"], **options} for parts in contents]
    parameters = {"outputDimensionality": request.dimensions, "autoTruncate": settings.get("truncate")}
    return without_nulls({"instances": instances, "parameters": without_nulls(parameters) or None})


_ENCODERS: Final = {"batch": _batch, "single": _single, "predict": _predict}


def _predicted_tokens(entries: list[dict[str, Any]]) -> int | None:
    counts = [count(as_dict(entry.get("statistics")).get("token_count")) for entry in entries]
    numbers = [tokens for tokens in counts if tokens is not None]
    return sum(numbers) if numbers and len(numbers) == len(counts) else None


NAME: Final = "embeddings_gemini"

_INPUT_TYPES: Final[Mapping[str, str]] = {
    "RETRIEVAL_DOCUMENT": "search_document",
    "RETRIEVAL_QUERY": "search_query",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
}
"""The names that other APIs use for Google's tasks; other tasks keep Google's name."""


def decode_request(body: Mapping[str, Any], context: ServerContext) -> EmbeddingRequest:
    """Return the canonical request; the view puts the model of the URL into ``model``.

    Raises ``bad_request`` with the path of a wrong member, also if the entries of a batch have different
    settings.
    """
    members = Members(body)
    entries = list(_entries(members))
    if not entries:
        raise missing("content")
    settings = [_read_settings(entry) for entry, _ in entries]
    for (entry, _), other in zip(entries, settings, strict=True):
        if other != settings[0]:
            message = f"'{entry.path}' differs from the first entry in its task, title or dimensions."
            raise GatewayError("bad_request", message, param=entry.path, code="invalid_value")
    shared = {**settings[0], **_parameters(members.object("parameters") or Members({}))}
    return EmbeddingRequest(
        model=members.text("model") or context.model or "",
        inputs=tuple(text for _, text in entries),
        dimensions=shared.pop("dimensions", None),
        extra=shared,
        origin=Origin(NAME, body),
    )


def _entries(members: Members) -> Iterator[tuple[Members, str]]:
    if members.members.get("instances") is not None:
        for entry in members.objects("instances"):
            yield entry, entry.required_text("content")
    elif members.members.get("requests") is not None:
        for entry in members.objects("requests"):
            yield entry, _text(entry)
    elif members.members.get("content") is not None:
        yield members, _text(members)


def _text(entry: Members) -> str:
    content = entry.required_object("content")
    return "\n".join(part.required_text("text") for part in content.objects("parts"))


def _read_settings(entry: Members) -> dict[str, Any]:
    """Return the task, title and dimensions of one entry, with the names that dialects share."""
    config = entry.object("embedContentConfig") or entry
    task = config.text("taskType")
    input_type = _INPUT_TYPES.get(task or "")
    task_member = {"input_type": input_type} if input_type else {"task_type": task}
    return {**without_nulls({**task_member, "title": config.text("title")}), **_parameters(config)}


def _parameters(config: Members) -> dict[str, Any]:
    dimensions, truncate = config.integer("outputDimensionality"), config.flag("autoTruncate")
    return without_nulls({"dimensions": dimensions, "auto_truncate": truncate})


def encode_response(
    response: EmbeddingResponse, request: EmbeddingRequest, context: ServerContext
) -> dict[str, Any]:
    """Return the response in the form of the request."""
    body = request.origin.body if request.origin is not None else {}
    vectors = [list(vector) for vector in response.vectors]
    tokens = response.usage.input_tokens if response.usage is not None else 0
    if "instances" in body:
        return {
            "predictions": [_prediction(vector, tokens if not at else 0) for at, vector in enumerate(vectors)]
        }
    usage = {"usageMetadata": {"promptTokenCount": tokens}} if tokens else {}
    if "requests" in body:
        return {"embeddings": [{"values": vector} for vector in vectors], **usage}
    return {"embedding": {"values": vectors[0] if vectors else []}, **usage}


def _prediction(vector: list[float], tokens: int) -> dict[str, Any]:
    """Return one prediction; the first has the tokens of the whole call, so that their sum is right."""
    return {"embeddings": {"values": vector, "statistics": {"truncated": False, "token_count": tokens}}}


DIALECT: Final = EmbeddingDialect(
    name="embeddings_gemini",
    batch_limit=lambda context: context.options_as(GoogleEmbeddingOptions).limit,
    encode_request=encode_request,
    decode_response=decode_response,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
    encode_error=encode_error,
)
