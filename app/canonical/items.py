"""The item types of a response and the prefix that an id of each begins with.

Types are named as the Responses API names them, because stored items are Responses JSON
and every surface that shows an item's id shows it so. Prefixes: contract/responses.md 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PREFIXES: Final[Mapping[str, str]] = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "computer_call": "cu",
    "computer_call_output": "cuo",
    "local_shell_call": "lsh",
    "local_shell_call_output": "lsho",
    "shell_call": "sh",
    "shell_call_output": "sho",
    "apply_patch_call": "apc",
    "apply_patch_call_output": "apco",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "tool_search_call_output": "tso",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "compaction": "cmp",
}


def item_prefix(item_type: str) -> str:
    """Return the id prefix of an item type, no separator; ``item`` for types not known here."""
    return _PREFIXES.get(item_type, "item")
