"""Checks of a message's content in OpenAI's forms: a string, or an array of parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.faults import Faults, missing, wrong_type


def content_faults(content: Any) -> Faults:
    """Check the ``content`` of a message; null, a string and an array of typed parts are valid."""
    if content is None or isinstance(content, str):
        return None
    if not isinstance(content, list):
        return {"content": [wrong_type("a string or an array", content)]}
    faults = {i: fault for i, part in enumerate(content) if (fault := part_faults(part))}
    return {"content": faults} if faults else None


def part_faults(part: Any) -> Faults:
    """Check one content part: its type, and the text or URL of the common types."""
    if not isinstance(part, dict):
        return [wrong_type("an object", part)]
    if part.get("type") is None:
        return missing("type")
    if not isinstance(part["type"], str):
        return {"type": [wrong_type("a string", part["type"])]}
    slot = _SLOTS.get(part["type"])
    if slot == "image_url" and isinstance(part.get(slot), dict):
        fault = string_fault(part[slot], "url")
        return {slot: fault} if fault else None
    return string_fault(part, slot, "an object" if slot == "image_url" else "a string") if slot else None


def string_fault(members: Mapping[str, Any], name: str, expected: str = "a string") -> Faults:
    """Check that ``members`` has a string under ``name``; ``expected`` names the type in the message."""
    if name not in members:
        return missing(name)
    return None if isinstance(members[name], str) else {name: [wrong_type(expected, members[name])]}


_SLOTS: Final[Mapping[str, str]] = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "image_url": "image_url",
}
"""Part types with a member that is required: a string, or for an image an object with a ``url``."""
