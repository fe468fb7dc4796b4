"""The paths of Google's API: Gemini's and, below a publisher, Vertex's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.operations import Route

_VECTORS: Final = "embeddings_gemini"
UNKNOWN_VERB: Final = "views.gemini.unknown_verb"
"""The view of paths whose verb is not served."""
_PUBLISHED: Final = "/publishers/<publisher>/models"


def gemini_verbs(models: str, *, rest: str = "<model:deployment>") -> dict[str, tuple[Route, ...]]:
    """Return the routes of Google's verbs at the path ``models``; the verb follows the last colon.

    ``rest`` matches the other paths below it, which are refused as unknown verbs."""

    def route(verb: str, view: str, body: str, answer: str, **more: Any) -> Route:
        place = f"{models}/<model:deployment>:{verb}"
        body, answer = f"body.schemas.gemini.{body}Body", f"openapi.google.{answer}"
        return Route("POST", place, f"views.gemini.{view}", answer, body=body, **more)

    schemas: Final = ("GenerateContent", "GenerateContentResponse")
    return {
        "chat": (
            route("generateContent", "generate_content", *schemas),
            route("streamGenerateContent", "stream_generate_content", *schemas, streams=True),
            Route("POST", f"{models}/{rest}", UNKNOWN_VERB, "Document"),
        ),
        "count_tokens": (route("countTokens", "count_tokens", "CountTokens", "TokenCount"),),
        "embedding": (
            route("embedContent", "embed_content", "EmbedContent", "EmbedContentResponse", dialect=_VECTORS),
            route(
                "batchEmbedContents",
                "batch_embed_contents",
                "BatchEmbedContents",
                "BatchEmbedContentsResponse",
                dialect=_VECTORS,
            ),
        ),
    }


def gemini_routes() -> Mapping[str, tuple[Route, ...]]:
    """Return the routes of the verbs and of the list of models."""
    query = ("pageSize", "pageToken", "provider")
    lists = (
        Route("GET", "/models", "views.models.list_models", "openapi.google.GeminiModels", query=query),
        Route("GET", "/models/<path:model_id>", "views.models.retrieve", "openapi.google.GeminiModel"),
    )
    return {**gemini_verbs("/models"), "models": lists}


def vertex_routes() -> Mapping[str, tuple[Route, ...]]:
    """Return the routes of Google's verbs below a publisher, those of Claude's bodies, and that of embeddings."""

    def claude(model: str, verb: str, view: str, **more: Any) -> Route:
        place, body = f"{_PUBLISHED}/{model}:{verb}", "body.schemas.gemini.ClaudeBody"
        return Route("POST", place, f"views.gemini.{view}", "Document", body=body, dialect="messages", **more)

    verbs, any_model = gemini_verbs(_PUBLISHED), "<model:deployment>"
    predict = Route(
        "POST",
        f"{_PUBLISHED}/{any_model}:predict",
        "views.gemini.predict",
        "openapi.google.Predictions",
        body="body.schemas.gemini.PredictBody",
        dialect=_VECTORS,
    )
    return {
        "chat": (
            *verbs["chat"],
            claude(any_model, "rawPredict", "raw_predict"),
            claude(any_model, "streamRawPredict", "stream_raw_predict", streams=True),
        ),
        "count_tokens": (*verbs["count_tokens"], claude("count-tokens", "rawPredict", "count_raw")),
        "embedding": (*verbs["embedding"], predict),
        "models": (
            Route(
                "GET",
                _PUBLISHED,
                "views.gemini.publisher_models",
                "openapi.google.PublisherModels",
                query=("pageSize", "pageToken"),
            ),
            Route(
                "GET",
                f"{_PUBLISHED}/<path:model_id>",
                "views.gemini.publisher_model",
                "openapi.google.GeminiModel",
            ),
        ),
    }
