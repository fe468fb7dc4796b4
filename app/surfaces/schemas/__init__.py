"""The one door for bodies: marshmallow schemas, made once, by operation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from app.surfaces.schemas.base import Body
from app.surfaces.schemas.chat import ChatBody
from app.surfaces.schemas.completions import CompletionBody
from app.surfaces.schemas.conversations import (
    ConversationBody,
    ConversationItemsBody,
    ConversationUpdateBody,
)
from app.surfaces.schemas.media import EmbeddingBody, SpeechBody
from app.surfaces.schemas.responses import (
    ChatShapedResponsesBody,
    CompactBody,
    InputTokensBody,
    ResponsesBody,
)

SCHEMAS: Mapping[str, type[Body]] = {
    "chat": ChatBody,
    "completion": CompletionBody,
    "responses": ResponsesBody,
    "chat_shaped_responses": ChatShapedResponsesBody,
    "input_tokens": InputTokensBody,
    "compact": CompactBody,
    "embedding": EmbeddingBody,
    "speech": SpeechBody,
    "conversation": ConversationBody,
    "conversation_update": ConversationUpdateBody,
    "conversation_items": ConversationItemsBody,
}
"""By operation; ``/openapi.json`` shows the same."""


@cache
def _schema(operation: str) -> Body:
    return SCHEMAS[operation]()


def check(operation: str, body: Mapping[str, Any]) -> None:
    """Raise GatewayError ``bad_request`` when ``body`` is not what ``operation`` takes."""
    _schema(operation).refuse(body)
