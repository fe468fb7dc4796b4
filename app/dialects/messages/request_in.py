"""Decode a Messages request after a check of the types of all members that the gateway reads (server half).

Blocks and tools of unknown types are not checked: only Anthropic knows them. Members that only Anthropic's API has go into ``extra``, and from there to a target with the
same format. Source: the request types of the anthropic SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import (
    Message,
    Origin,
    Output,
    Reasoning,
    Request,
    Sampling,
)
from app.dialects.base import ServerContext
from app.dialects.messages.options import NAME, THREAD_REFUSED
from app.dialects.messages.parts_in import BlockReader, sign_native
from app.dialects.messages.tools import decode_choice, decode_tools
from app.dialects.shared.alternation import split_results
from app.dialects.shared.claude_thinking import decode_thinking
from app.dialects.shared.lenient_json import (
    as_dict,
    as_list,
    as_str,
    count,
    dicts,
    number,
    opt_str,
    rest,
    without_nulls,
)
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type
from app.errors import GatewayError

_CANONICAL: Final = frozenset(
    {
        "model",
        "messages",
        "system",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "stream",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "metadata",
        "service_tier",
        "anthropic_version",
    }
)
_TIERS: Final = {"auto": "auto", "standard_only": "default"}


def decode_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return the canonical request of a Messages body.

    Raises ``bad_request`` with the path (``messages[0].content``) of a member that Anthropic
    would refuse.
    """
    check_request(body)
    refuse_thread(body)
    reader = BlockReader(lambda text: context.unwrap(text) or sign_native(text))
    tools = decode_tools(body.get("tools"))
    choice, parallel = decode_choice(body.get("tool_choice"), tools)
    config = as_dict(body.get("output_config"))
    metadata = as_dict(body.get("metadata"))
    extra = without_nulls(rest(body, _CANONICAL))
    names = extra.get("fallbacks")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        del extra["fallbacks"]  # a list of names is the gateway's own member, read by the router
    if extra_config := rest(config, frozenset({"effort", "format"})):
        extra["output_config"] = extra_config
    return Request(
        model=as_str(body.get("model")),
        messages=tuple(_messages(body, reader)),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        sampling=_sampling(body),
        output=_output(config.get("format") or body.get("output_format")),
        reasoning=_reasoning(as_dict(body.get("thinking")), opt_str(config.get("effort"))),
        stream=body.get("stream") is True,
        metadata=rest(metadata, frozenset({"user_id"})) or None,
        hints=_hints(body, metadata),
        extra=extra,
        origin=Origin(NAME, body),
    )


def _messages(body: Mapping[str, Any], reader: BlockReader) -> Iterator[Message]:
    """Yield the system prompt and the turns; tool results are a message of their own."""
    if system := reader.parts(body.get("system")):
        yield Message("system", tuple(system))
    for entry in dicts(body.get("messages")):
        yield from split_results(entry["role"], reader.parts(entry.get("content")))


def _sampling(body: Mapping[str, Any]) -> Sampling:
    return Sampling(
        max_tokens=count(body.get("max_tokens")),
        temperature=number(body.get("temperature")),
        top_p=number(body.get("top_p")),
        top_k=count(body.get("top_k")),
        stop=tuple(stop for stop in as_list(body.get("stop_sequences")) if isinstance(stop, str)),
    )


def _output(form: Any) -> Output:
    schema = as_dict(form).get("schema")
    return Output("schema", schema=schema) if isinstance(schema, dict) else Output()


def _reasoning(thinking: Mapping[str, Any], effort: str | None) -> Reasoning | None:
    """Return the requested thinking; a client with a budget sees summaries unless its display is ``omitted``."""
    reasoning = decode_thinking(thinking, effort)
    if reasoning is None or reasoning.budget is None or thinking.get("display") == "omitted":
        return reasoning
    return replace(reasoning, summary="auto")


def _hints(body: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    user, tier = opt_str(metadata.get("user_id")), opt_str(body.get("service_tier"))
    return without_nulls({"user": user, "service_tier": _TIERS.get(tier, tier) if tier else None})


_ROLES: Final = frozenset({"user", "assistant", "system"})
_CHOICES: Final = ("auto", "any", "tool", "none")


# checks


def refuse_thread(body: Mapping[str, Any]) -> None:
    """Refuse a thread: one account of one provider would keep its turns. Clients then send all of them."""
    if body.get("thread") is not None:
        message = "'thread' is not supported. Send the whole conversation without it."
        raise GatewayError("bad_request", message, param="thread", code=THREAD_REFUSED)


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
    _check_content(members, "system", required=False)
    _check_messages(members)
    _check_tools(members)
    _check_choice(members)
    _check_thinking(members)
    _check_output(members)


def _check_minimum(members: ClientObject, name: str, minimum: int) -> None:
    value = members.integer(name)
    if value is not None and value < minimum:
        path = members.at(name)
        message = f"Invalid '{path}': expected at least {minimum}, but got {value}."
        raise GatewayError("bad_request", message, param=path, code="integer_below_min_value")


def _check_messages(members: ClientObject) -> None:
    members.required_items("messages")
    for entry in members.objects("messages"):
        entry.required_word("role", _ROLES, "'user', 'assistant' and 'system'")
        _check_content(entry, "content")


def _check_content(holder: ClientObject, name: str, *, required: bool = True) -> None:
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


def _check_source(block: ClientObject) -> None:
    source = block.required_object("source")
    for name in _SOURCES.get(source.required_text("type"), ()):
        source.required_text(name)
    if source.members["type"] == "content":
        _check_content(source, "content")
    block.text("title")


def _check_tool_result(block: ClientObject) -> None:
    block.required_text("tool_use_id")
    block.flag("is_error")
    _check_content(block, "content", required=False)


_SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "base64": ("media_type", "data"),
    "text": ("data",),
    "url": ("url",),
    "file": ("file_id",),
}
_BLOCKS: Final[Mapping[str, Callable[[ClientObject], object]]] = {
    "text": lambda block: (block.required_text("text"), block.items("citations")),
    "image": _check_source,
    "document": _check_source,
    "thinking": lambda block: (block.required_text("thinking"), block.text("signature")),
    "redacted_thinking": lambda block: block.required_text("data"),
    "tool_use": lambda block: (
        block.required_text("id"),
        block.required_text("name"),
        block.required_object("input"),
    ),
    "tool_result": _check_tool_result,
}


def _check_tools(members: ClientObject) -> None:
    for tool in members.objects("tools"):
        kind = tool.text("type")
        tool.text("description")
        tool.flag("strict")
        if kind in (None, "custom"):
            tool.required_text("name")
            tool.object("input_schema")


def _check_choice(members: ClientObject) -> None:
    choice = members.object("tool_choice")
    if choice is None:
        return
    if choice.required_word("type", _CHOICES) == "tool":
        choice.required_text("name")
    choice.flag("disable_parallel_tool_use")


def _check_thinking(members: ClientObject) -> None:
    thinking = members.object("thinking")
    if thinking is None:
        return
    thinking.text("display")
    if thinking.required_text("type") == "enabled" and thinking.integer("budget_tokens") is None:
        raise missing(thinking.at("budget_tokens"))


def _check_output(members: ClientObject) -> None:
    config = members.object("output_config")
    if config is not None:
        config.text("effort")
    for form in (config.object("format") if config is not None else None, members.object("output_format")):
        if form is not None and form.required_text("type") == "json_schema":
            form.required_object("schema")
