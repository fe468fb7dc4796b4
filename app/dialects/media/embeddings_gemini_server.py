"""Google's embeddings (server half): batchEmbedContents, embedContent and predict.

The member ``requests``, ``content`` or ``instances`` decides the form; the response has the same.
Sources: google-genai's types, Vertex's reference of text embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.canonical.media import EmbeddingRequest, EmbeddingResponse
from app.canonical.request import Origin
from app.dialects.base import ServerContext
from app.dialects.gemini.members import Members
from app.dialects.shared.lenient_json import without_nulls
from app.dialects.shared.strict_json import missing
from app.errors import GatewayError

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
    settings = [_settings(entry) for entry, _ in entries]
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


def _settings(entry: Members) -> dict[str, Any]:
    """Return the task, title and dimensions of one entry, with the names that dialects share."""
    config = entry.object("embedContentConfig") or entry
    task = config.text("taskType")
    input_type = _INPUT_TYPES.get(task or "")
    named = {"input_type": input_type} if input_type else {"task_type": task}
    return {**without_nulls({**named, "title": config.text("title")}), **_parameters(config)}


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
