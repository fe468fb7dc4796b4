"""Facts about chat chunks and chat bodies that need no decoding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.dialects.base import Frame
from app.dialects.shared.lenient_json import as_dict, dicts


def identity(frame: Frame) -> dict[str, Any]:
    """Return the members that are equal in all chunks of one stream."""
    data = frame.data if isinstance(frame.data, dict) else {}
    return {name: data[name] for name in ("id", "created") if name in data}


def is_opening(frame: Frame) -> bool:
    """Tell whether a chunk has the role of the message and no content yet."""
    choices = dicts(as_dict(frame.data).get("choices"))
    if len(choices) != 1:
        return False
    delta = as_dict(choices[0].get("delta"))
    return "role" in delta and not any(v for k, v in delta.items() if k not in ("role", "content", "refusal"))


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls in the history of a chat body."""
    for message in dicts(body.get("messages")):
        for call in dicts(message.get("tool_calls")):
            if isinstance(call.get("id"), str):
                yield call["id"]
