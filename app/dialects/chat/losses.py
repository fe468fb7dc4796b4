"""Sentences for losses that the name of the member would not explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.canonical.request import Part
from app.dialects.shared.losses import Losses

_SENTENCES: Final[Mapping[str, str]] = {
    # refusals
    "image": "pictures are not supported by this model",
    "audio": "audio is not supported by this model",
    "file": "documents are not supported by this model",
    "file_id": "uploaded files cannot be named by their id here",
    "opaque_input": "a content part of another API cannot be sent to this model",
    "custom_tool": "custom tools are not supported by this model",
    "forced_tool": "this model cannot be made to call that tool",
    "output_schema": "answers by a JSON schema are not supported by this model",
    # warnings
    "hosted_item": "earlier items of hosted tools were left out",
    "message_name": "the names of messages were left out",
    "reasoning_history": "the reasoning of earlier turns was left out",
    "reasoning_signature": "signed reasoning of earlier turns was left out",
    "tool_strict": "'strict' was left out of the tools",
}


def report(losses: Losses, feature: str) -> None:
    """Report ``feature`` with its sentence."""
    losses.report(feature, _SENTENCES.get(feature))


def refuse_part(losses: Losses, feature: str, part: Part) -> None:
    """Report a content part of a type that the target does not support, with a description of the part."""
    description = _describe(part)[:_MAX_DESCRIPTION]
    losses.report(feature, f"{_SENTENCES[feature]}: {description}" if description else _SENTENCES[feature])


_MAX_DESCRIPTION: Final = 120  # characters


def _describe(part: Part) -> str:
    """Return what identifies a part to its client: a file name, a URL, an id or a type."""
    names = ("filename", "url", "file_id", "media_type", "format")
    return next((value for name in names if (value := getattr(part, name, None))), "")
