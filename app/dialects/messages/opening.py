"""What a Messages stream and a Messages body show of themselves, unread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.dialects.base import Frame
from app.dialects.shared.lenient_json import dicts


def is_opening(frame: Frame) -> bool:
    """Tell whether an event only opens a stream, or keeps it open."""
    return frame.event in {"message_start", "ping"}


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls of earlier turns."""
    for message in dicts(body.get("messages")):
        for block in dicts(message.get("content")):
            if block.get("type") == "tool_use" and isinstance(block.get("id"), str):
                yield block["id"]
