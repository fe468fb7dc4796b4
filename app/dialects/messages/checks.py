"""Check the types of all members of a Messages request that the gateway reads.

Blocks and tools of unknown types are not checked: only Anthropic knows them. Source: the request
types of the anthropic SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.dialects.shared.strict_json import ClientObject, missing, wrong_type
from app.errors import GatewayError

_ROLES: Final = frozenset({"user", "assistant", "system"})
_CHOICES: Final = ("auto", "any", "tool", "none")


def check_request(body: Mapping[str, Any]) -> None:
    """Raise ``bad_request`` with the path of the first member that Anthropic would refuse."""
    members = ClientObject(body)
    for name in ("model", "service_tier"):
        members.text(name)
    for name in ("temperature", "top_p"):
        members.number(name)
    for name in ("max_tokens", "top_k"):
        members.integer(name)
    _check_minimum(members, "max_tokens", 1)
    members.flag("stream")
    members.texts("stop_sequences")
    metadata = members.object("metadata")
    if metadata is not None:
        metadata.text("user_id")
    _content(members, "system", required=False)
    _messages(members)
    _tools(members)
    _tool_choice(members)
    _thinking(members)
    _output(members)


def _check_minimum(members: ClientObject, name: str, minimum: int) -> None:
    value = members.integer(name)
    if value is not None and value < minimum:
        path = members.at(name)
        message = f"Invalid '{path}': expected at least {minimum}, but got {value}."
        raise GatewayError("bad_request", message, param=path, code="integer_below_min_value")


def _messages(members: ClientObject) -> None:
    members.required_items("messages")
    for entry in members.objects("messages"):
        entry.required_word("role", _ROLES, "'user', 'assistant' and 'system'")
        _content(entry, "content")


def _content(holder: ClientObject, name: str, *, required: bool = True) -> None:
    """Check a string or an array of blocks."""
    value = holder.members.get(name)
    if value is None and required:
        raise missing(holder.at(name))
    if value is None or isinstance(value, str):
        return
    if not isinstance(value, list):
        raise wrong_type(holder.at(name), "a string or an array of content blocks", value)
    for block in holder.objects(name):
        checker = _BLOCKS.get(block.required_text("type"))
        if checker is not None:
            checker(block)
        mark = block.object("cache_control")
        if mark is not None:
            mark.required_text("type")


def _source(block: ClientObject) -> None:
    source = block.required_object("source")
    for name in _SOURCES.get(source.required_text("type"), ()):
        source.required_text(name)
    if source.members["type"] == "content":
        _content(source, "content")
    block.text("title")


def _tool_use(block: ClientObject) -> None:
    block.required_text("id")
    block.required_text("name")
    block.required_object("input")


def _tool_result(block: ClientObject) -> None:
    block.required_text("tool_use_id")
    block.flag("is_error")
    _content(block, "content", required=False)


def _thought(block: ClientObject) -> None:
    block.required_text("thinking")
    block.text("signature")


_SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "base64": ("media_type", "data"),
    "text": ("data",),
    "url": ("url",),
    "file": ("file_id",),
}
_BLOCKS: Final[Mapping[str, Callable[[ClientObject], object]]] = {
    "text": lambda block: (block.required_text("text"), block.items("citations")),
    "image": _source,
    "document": _source,
    "thinking": _thought,
    "redacted_thinking": lambda block: block.required_text("data"),
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}


def _tools(members: ClientObject) -> None:
    for tool in members.objects("tools"):
        kind = tool.text("type")
        tool.text("description")
        tool.flag("strict")
        if kind in (None, "custom"):
            tool.required_text("name")
            tool.object("input_schema")


def _tool_choice(members: ClientObject) -> None:
    choice = members.object("tool_choice")
    if choice is None:
        return
    if choice.required_word("type", _CHOICES) == "tool":
        choice.required_text("name")
    choice.flag("disable_parallel_tool_use")


def _thinking(members: ClientObject) -> None:
    thinking = members.object("thinking")
    if thinking is None:
        return
    thinking.text("display")
    if thinking.required_text("type") == "enabled" and thinking.integer("budget_tokens") is None:
        raise missing(thinking.at("budget_tokens"))


def _output(members: ClientObject) -> None:
    config = members.object("output_config")
    if config is not None:
        config.text("effort")
    for form in (config.object("format") if config is not None else None, members.object("output_format")):
        if form is not None and form.required_text("type") == "json_schema":
            form.required_object("schema")
