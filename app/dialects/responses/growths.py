"""Texts that grow in a Responses stream: one row for each kind, with its events and its place in the item."""

from __future__ import annotations

from typing import Final

from app.canonical.record import record


@record
class Growth:
    """A kind of growing text: its event, its type of item, its list of parts, and the type and member of a part."""

    event: str
    item: str
    list: str | None
    part: str
    member: str

    @property
    def index(self) -> str:
        """The member that holds the part's index."""
        return f"{self.list}_index"

    @property
    def part_event(self) -> str:
        """The event of a part of the list, without its last word."""
        return part_event(self.list or "")


def part_event(name: str) -> str:
    """Return the event of a part of the list ``name``, without its last word."""
    return f"response.{'reasoning_summary' if name == 'summary' else 'content'}_part"


TEXT: Final = Growth("response.output_text", "message", "content", "output_text", "text")
REFUSAL: Final = Growth("response.refusal", "message", "content", "refusal", "refusal")
REASONING: Final = Growth("response.reasoning_text", "reasoning", "content", "reasoning_text", "text")
SUMMARY: Final = Growth("response.reasoning_summary_text", "reasoning", "summary", "summary_text", "text")
ARGUMENTS: Final = Growth("response.function_call_arguments", "function_call", None, "", "arguments")
INPUT: Final = Growth("response.custom_tool_call_input", "custom_tool_call", None, "", "input")
GROWTHS: Final = (TEXT, REFUSAL, REASONING, SUMMARY, ARGUMENTS, INPUT)
