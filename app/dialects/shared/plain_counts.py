"""Usages with plain counts, as OpenAI's own answers have them: they are read in one step and need no repair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.lenient_json import MAX_COUNT


class PlainCounts:
    """A usage of three counts, of which ``total_tokens`` is the sum of the others, and of details that are counts."""

    def __init__(self, input_name: str, output_name: str) -> None:
        self._input = input_name
        self._output = output_name
        self._details = (f"{input_name}_details", f"{output_name}_details")
        self._members = frozenset({input_name, output_name, "total_tokens", *self._details})

    def fit(self, usage: Mapping[str, Any]) -> bool:
        """Tell whether ``usage`` is one of these."""
        input_count, output_count, total = (
            usage.get(self._input),
            usage.get(self._output),
            usage.get("total_tokens"),
        )
        if not (
            type(input_count) is type(output_count) is type(total) is int and usage.keys() <= self._members
        ):
            return False
        if not (0 <= input_count <= MAX_COUNT >= output_count >= 0 and input_count + output_count == total):
            return False
        return all(map(_is_counts, map(usage.get, self._details)))


def _is_counts(details: Any) -> bool:
    """Tell whether details are absent or counts alone."""
    if type(details) is not dict:
        return details is None
    return all(type(value) is int and 0 <= value <= MAX_COUNT for value in details.values())


OF_CHAT: Final = PlainCounts("prompt_tokens", "completion_tokens")
OF_RESPONSES: Final = PlainCounts("input_tokens", "output_tokens")
