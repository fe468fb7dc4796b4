"""What a Cohere stream shows of itself, unread; its bodies tell calls as chat's do."""

from __future__ import annotations

from app.dialects.base import Frame


def is_opening(frame: Frame) -> bool:
    """Tell whether an event only opens a stream."""
    return frame.event == "message-start"
