"""Google's three ways to embed, as a server speaks them: batchEmbedContents, embedContent, predict.

The shape of the body tells which is meant (``requests``, ``content``, ``instances``), and the
answer has the form of its question. Members: google-genai's types, Vertex's reference of
text embeddings.
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
"""Google's tasks under the names that other makers know; the others stay Google's own."""


def decode_request(body: Mapping[str, Any], context: ServerContext) -> EmbeddingRequest:
    """Return what a body of any of the three forms asks for; the model is the view's ``model``.

    Raises ``bad_request`` by path; the entries of a batch must agree in their settings.
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
    shared = {**settings[0], **_parameters(members)}
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
    content = entry.object("content")
    if content is None:
        raise missing(entry.at("content"))
    return "\n".join(part.required_text("text") for part in content.objects("parts"))


def _settings(entry: Members) -> dict[str, Any]:
    """Return the task, title and dimensions of one entry, under the names that dialects share."""
    config = entry.object("embedContentConfig") or entry
    task = config.text("taskType")
    shared = _INPUT_TYPES.get(task or "")
    named = {"input_type": shared} if shared else {"task_type": task}
    further = {
        "title": config.text("title"),
        "dimensions": config.integer("outputDimensionality"),
        "auto_truncate": config.flag("autoTruncate"),
    }
    return without_nulls({**named, **further})


def _parameters(members: Members) -> dict[str, Any]:
    parameters = members.object("parameters")
    if parameters is None:
        return {}
    return without_nulls(
        {
            "dimensions": parameters.integer("outputDimensionality"),
            "auto_truncate": parameters.flag("autoTruncate"),
        }
    )


def encode_response(
    response: EmbeddingResponse, request: EmbeddingRequest, context: ServerContext
) -> dict[str, Any]:
    """Return the answer in the form of its question."""
    body = request.origin.body if request.origin is not None else {}
    vectors = [list(vector) for vector in response.vectors]
    tokens = response.usage.input_tokens if response.usage is not None else 0
    if "instances" in body:
        return {
            "predictions": [_prediction(vector, tokens if not at else 0) for at, vector in enumerate(vectors)]
        }
    counted = {"usageMetadata": {"promptTokenCount": tokens}} if tokens else {}
    if "requests" in body:
        return {"embeddings": [{"values": vector} for vector in vectors], **counted}
    return {"embedding": {"values": vectors[0] if vectors else []}, **counted}


def _prediction(vector: list[float], tokens: int) -> dict[str, Any]:
    """One prediction; the tokens of the whole call stand at the first, so that they add up."""
    return {"embeddings": {"values": vector, "statistics": {"truncated": False, "token_count": tokens}}}
