"""Where a client's body has a member: reports name members by their paths (``messages[0].content[1].citations``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_LISTS: Final = ("messages", "input", "contents", "system", "tools", "toolConfig", "web_search_options")
_INNER: Final = (
    "content",
    "parts",
    "output",
    "tool_calls",
    "function",
    "file",
    "document",
    "toolResult",
    "toolSpec",
    "functionDeclarations",
    "function_declarations",
    "functionResponse",
    "function_response",
    "tools",
)
_HISTORY: Final = ("previous_response_id", "conversation")
"""Members that add history before the input: indexes into the body would then not be the client's."""

_CAPITAL: Final = re.compile(r"(?<!^)([A-Z])")

OTHER_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "input": ("messages",),
    "max_completion_tokens": ("max_tokens",),
    "max_output_tokens": ("text.max_tokens", "max_completion_tokens", "max_tokens"),
    "reasoning_effort": ("reasoning.effort", "reasoning"),
    "reasoning.summary": ("reasoning.generate_summary",),
    "output_config.effort": ("thinking",),
    "outputConfig.effort": ("additionalModelRequestFields",),
    "generationConfig.thinkingConfig.thinkingLevel": ("generationConfig.thinkingConfig",),
    "generationConfig.responseSchema": ("generationConfig.responseJsonSchema",),
    "cache_control": ("cachePoint",),
    "filename": ("title", "name"),
}
"""A member -> others by which a client may say the same, the usual one first."""


def members_of(body: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield (path, name, value) of the members of messages, tools and what they hold, in the body's order."""
    if all(body.get(name) is None for name in _HISTORY):
        for name in _LISTS:
            yield from _walk(body.get(name), name)


def _walk(value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, list):
        for at, one in enumerate(value):
            yield from _walk(one, f"{path}[{at}]")
    elif isinstance(value, dict):
        for name, member in value.items():
            yield f"{path}.{name}", name, member
        for name in _INNER:
            yield from _walk(value.get(name), f"{path}.{name}")


class BodyPaths:
    """Finds members in one body. It is walked only if a report needs that, once."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self._first: dict[str, str] | None = None

    def find(self, path: str) -> str:
        """Return where the client has the member of ``path``, which is returned itself if that is not found."""
        for name in (path, *OTHER_NAMES.get(path, ())):
            if (member := self._follow(name) or self._search(name)) is not None:
                return member
        return path

    def _follow(self, path: str) -> str | None:
        """Return the path with the client's spelling, None if it leads to nothing."""
        place: Any = self._body
        spelt: list[str] = []
        for name in path.split("."):
            snake = _CAPITAL.sub(r"_\1", name).lower()
            used = next((one for one in (name, snake) if isinstance(place, dict) and one in place), None)
            if used is None:
                return None
            place = place[used]
            spelt.append(used)
        return ".".join(spelt)

    def _search(self, name: str) -> str | None:
        """Return the path of the first member of this name within messages and tools."""
        if self._first is None:
            self._first = {}
            for path, member, value in members_of(self._body):
                if value is not None:
                    self._first.setdefault(member, path)
        return self._first.get(name)
