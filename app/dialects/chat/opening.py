"""What a chat stream and a chat body show of themselves, unread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.dialects.base import Frame
from app.dialects.shared.lenient_json import as_dict, dicts


def identity(frame: Frame) -> dict[str, Any]:
    """Return what every chunk of one stream has alike, whoever made it."""
    data = frame.data if isinstance(frame.data, dict) else {}
    return {name: data[name] for name in ("id", "created") if name in data}


def is_opening(frame: Frame) -> bool:
    """Tell whether a chunk only tells the role."""
    choices = dicts(as_dict(frame.data).get("choices"))
    if len(choices) != 1:
        return False
    delta = as_dict(choices[0].get("delta"))
    return "role" in delta and not any(v for k, v in delta.items() if k not in ("role", "content", "refusal"))


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls of earlier turns."""
    for message in dicts(body.get("messages")):
        for call in dicts(message.get("tool_calls")):
            if isinstance(call.get("id"), str):
                yield call["id"]
