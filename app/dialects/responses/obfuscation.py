"""Padding of stream deltas, so that the size of a frame does not reveal its tokens.

In OpenAI's recorded streams ``obfuscation`` has random letters and digits that extend the delta to the next
multiple of 16 characters; it is empty if the delta has such a length. Randomness is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

PADDING: Final = "obfuscation"
"""The member that has the padding."""

_BLOCK: Final = 16  # characters

OBFUSCATED: Final = frozenset(
    {
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "response.mcp_call_arguments.delta",
        "response.reasoning_summary_text.delta",
        "response.code_interpreter_call_code.delta",
        "response.shell_call_command.delta",
        "response.apply_patch_call_operation_diff.delta",
    }
)
"""Types of events with this member."""


def pad(event: Mapping[str, Any], rand: Callable[[int], str]) -> dict[str, Any]:
    """Return a stream event with its ``obfuscation``; events of other types unchanged.

    ``rand(n)`` returns n random letters and digits; it is not called for n = 0.
    """
    delta = event.get("delta")
    if event.get("type") not in OBFUSCATED or not isinstance(delta, str):
        return dict(event)
    return {**event, PADDING: padding_of(delta, rand)}


def padding_of(text: str, rand: Callable[[int], str]) -> str:
    """Return the padding of a delta's text."""
    size = -len(text) % _BLOCK
    return rand(size) if size else ""
