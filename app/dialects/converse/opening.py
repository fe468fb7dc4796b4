"""What a Converse stream and a Converse body show of themselves, unread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.dialects.base import Frame
from app.dialects.shared.lenient_json import as_dict, dicts, opt_str


def is_opening(frame: Frame) -> bool:
    """Tell whether a message only opens a stream."""
    return frame.event == "messageStart"


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls of earlier turns."""
    for message in dicts(body.get("messages")):
        for block in dicts(message.get("content")):
            if (call_id := opt_str(as_dict(block.get("toolUse")).get("toolUseId"))) is not None:
                yield call_id
