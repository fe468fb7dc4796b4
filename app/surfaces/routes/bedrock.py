"""The paths of Bedrock's API: the runtime's, and the list of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.operations import Route


def bedrock_routes() -> Mapping[str, tuple[Route, ...]]:
    """Return the routes of Converse, InvokeModel, token counts and the list of models."""

    def route(path: str, view: str, body: str, answer: str) -> Route:
        place = f"/model/<model:deployment>/{path}"
        return Route("POST", place, f"views.bedrock.{view}", answer, body=f"body.schemas.bedrock.{body}Body")

    models: Final = "/foundation-models"
    return {
        "chat": (
            route("converse", "converse", "Converse", "openapi.bedrock.ConverseResponse"),
            route("converse-stream", "converse_stream", "Converse", "EventStream"),
            route("invoke", "invoke", "Invoke", "Document"),
            route("invoke-with-response-stream", "invoke_stream", "Invoke", "EventStream"),
        ),
        "count_tokens": (
            route("count-tokens", "count_tokens", "BedrockCount", "openapi.bedrock.InputTokenCount"),
        ),
        "models": (
            Route(
                "GET",
                models,
                "views.models.list_models",
                "openapi.bedrock.FoundationModels",
                query=("byProvider", "provider"),
            ),
            Route(
                "GET", f"{models}/<path:model_id>", "views.models.retrieve", "openapi.bedrock.FoundationModel"
            ),
        ),
    }
