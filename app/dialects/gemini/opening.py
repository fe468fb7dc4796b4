"""What a Gemini stream and a Gemini body show of themselves, unread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.dialects.base import Frame
from app.dialects.shared.lenient_json import as_dict, dicts, opt_str


def identity(frame: Frame) -> dict[str, Any]:
    """Return what every chunk of one stream has alike, whoever made it."""
    data = as_dict(frame.data)
    return {name: data[name] for name in ("responseId", "modelVersion") if name in data}


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls of earlier turns, in either spelling."""
    for content in _as_list(body.get("contents")):
        for part in _as_list(content.get("parts")):
            call = as_dict(part.get("functionCall") or part.get("function_call"))
            if (call_id := opt_str(call.get("id"))) is not None:
                yield call_id


def _as_list(value: Any) -> list[dict[str, Any]]:
    """A single object is a list of one, as Google reads it."""
    return [value] if isinstance(value, dict) else dicts(value)
