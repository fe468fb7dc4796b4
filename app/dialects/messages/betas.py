"""The beta flags that a Messages body needs, found from its members.

Sources of the flags: the anthropic SDK's list of betas, recorded requests. Features that
have left beta need no flag.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.dialects.shared.lenient_json import as_dict, as_str, dicts

BETA_HEADER: Final = "anthropic-beta"

_FILES: Final = "files-api-2025-04-14"
_MEMBERS: Final[Mapping[str, str]] = {
    "context_management": "context-management-2025-06-27",
    "output_format": "structured-outputs-2025-11-13",
}
_EDITS: Final[Mapping[str, str]] = {"compact_20260112": "compact-2026-01-12"}
_MCP_BY_SERVER: Final = "mcp-client-2025-04-04"  # the server's entry lists its tools
_MCP_BY_TOOLSET: Final = "mcp-client-2025-11-20"  # a tool of type mcp_toolset lists them
_TOOLS: Final = (
    # beginning of a tool's type, flag
    ("computer_20241022", "computer-use-2024-10-22"),
    ("computer_20250124", "computer-use-2025-01-24"),
    ("computer_20251124", "computer-use-2025-11-24"),
    ("code_execution_20250522", "code-execution-2025-05-22"),
    ("code_execution_20250825", "code-execution-2025-08-25"),
    ("web_fetch_20250910", "web-fetch-2025-09-10"),
    ("advisor_", "advisor-tool-2026-03-01"),
    ("memory_", "context-management-2025-06-27"),
    ("mcp_toolset", _MCP_BY_TOOLSET),
    ("tool_search_tool_", "advanced-tool-use-2025-11-20"),
)


def betas_of(body: Mapping[str, Any]) -> list[str]:
    """Return the flags of the body's features, each once, in a fixed order."""
    return list(dict.fromkeys(_flags(body)))


def _flags(body: Mapping[str, Any]) -> Iterator[str]:
    tools = [as_str(tool.get("type")) for tool in dicts(body.get("tools"))]
    yield from (flag for member, flag in _MEMBERS.items() if body.get(member))
    edits = [edit.get("type") for edit in dicts(as_dict(body.get("context_management")).get("edits"))]
    yield from (flag for kind, flag in _EDITS.items() if kind in edits)
    if body.get("mcp_servers") and "mcp_toolset" not in tools:
        yield _MCP_BY_SERVER
    if body.get("speed") == "fast":
        yield "fast-mode-2026-02-01"
    yield from (flag for kind in tools for start, flag in _TOOLS if kind.startswith(start))
    if any(map(_has_file, dicts(body.get("messages")))):
        yield _FILES


def _has_file(block: Mapping[str, Any]) -> bool:
    """Tell whether a message or block refers to an uploaded file, at any depth."""
    if as_dict(block.get("source")).get("type") == "file" or block.get("type") == "container_upload":
        return True
    return any(map(_has_file, dicts(block.get("content"))))
