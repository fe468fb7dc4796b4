"""The content of a message as OpenAI's wires take it: a text, or an array of parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.faults import Faults, missing, wrong_type


def content_faults(content: Any) -> Faults:
    """Check the content of a message: null, a text, or parts that have a type."""
    if content is None or isinstance(content, str):
        return None
    if not isinstance(content, list):
        return {"content": [wrong_type("a string or an array", content)]}
    faults = {i: found for i, part in enumerate(content) if (found := part_faults(part))}
    return {"content": faults} if faults else None


def part_faults(part: Any) -> Faults:
    """Check one part of a message."""
    if not isinstance(part, dict):
        return [wrong_type("an object", part)]
    kind = part.get("type")
    if kind is None:
        return missing("type")
    if not isinstance(kind, str):
        return {"type": [wrong_type("a string", kind)]}
    return _PART_CHECKS[kind](part) if kind in _PART_CHECKS else None


def _text_part(part: Mapping[str, Any]) -> Faults:
    if "text" not in part:
        return missing("text")
    text = part["text"]
    return None if isinstance(text, str) else {"text": [wrong_type("a string", text)]}


def _image_url(part: Mapping[str, Any]) -> Faults:
    if "image_url" not in part:
        return missing("image_url")
    image = part["image_url"]
    if isinstance(image, str):
        return None
    if not isinstance(image, dict):
        return {"image_url": [wrong_type("an object", image)]}
    if "url" not in image:
        return {"image_url": missing("url")}
    url = image["url"]
    return None if isinstance(url, str) else {"image_url": {"url": [wrong_type("a string", url)]}}


_PART_CHECKS: Final = {
    "text": _text_part,
    "input_text": _text_part,
    "output_text": _text_part,
    "image_url": _image_url,
}
