"""A body of a surface, decoded and written for a target's wire, as one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.dialects import dialect
from app.dialects.shared.losses import Losses
from tests.dialects import generic

Json = dict[str, Any]


def translate(
    surface: str, body: Mapping[str, Any], wire: str, model: str, options: Any = None
) -> tuple[Json, list[tuple[str, str]]]:
    """The body that goes out on ``wire``, and the warnings as (param, message)."""
    request = dialect(surface).decode_request(body, generic.server_context())
    losses = Losses(surface, target=f"'{model}'")
    context = generic.client_context(model, options=options, losses=losses, request=request)
    encoded = dialect(wire).encode_request(request, context)
    return encoded.body, [(loss.param, loss.message) for loss in losses.items]


def both(messages: list[Json], **more: Any) -> list[tuple[str, Json]]:
    """The same conversation for both surfaces: chat messages, and Responses items of the same words."""
    return [
        ("chat", {"model": "m", "messages": messages, **more}),
        ("responses", {"model": "m", "input": [_item(message) for message in messages], **more}),
    ]


def _item(message: Json) -> Json:
    content = message.get("content")
    if not isinstance(content, list):
        return {**message, "content": content or []}
    kind = "output_text" if message["role"] == "assistant" else "input_text"
    return {**message, "content": [{**part, "type": kind} for part in content]}
