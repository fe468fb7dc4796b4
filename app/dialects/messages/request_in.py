"""A Messages body to the canonical request (server half).

Members that only this API has stay in ``extra`` and go out again to a target that speaks
it. Any JSON is read or refused with ``bad_request``, never a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import (
    Message,
    Origin,
    Output,
    Reasoning,
    Request,
    Sampling,
    TextPart,
    ToolResultPart,
)
from app.dialects.base import ServerContext
from app.dialects.messages.checks import check_request
from app.dialects.messages.options import NAME
from app.dialects.messages.parts_in import BlockReader, sign_native
from app.dialects.messages.tools import decode_choice, decode_tools
from app.dialects.shared.claude_thinking import decode_thinking
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, count, dicts, number, opt_str, rest

_KNOWN: Final = frozenset(
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
    """Return what a Messages body asks for.

    Raises GatewayError ``bad_request`` with the member's path (``messages[0].content``) for a
    shape that the API does not have.
    """
    check_request(body)
    reader = BlockReader(lambda text: context.unwrap(text) or sign_native(text))
    tools = decode_tools(body.get("tools"))
    choice, parallel = decode_choice(body.get("tool_choice"), tools)
    config = as_dict(body.get("output_config"))
    metadata = as_dict(body.get("metadata"))
    extra = rest(body, _KNOWN)
    names = extra.get("fallbacks")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        del extra["fallbacks"]  # a list of names is the gateway's own: consumed by the router
    if further := rest(config, frozenset({"effort", "format"})):
        extra["output_config"] = further
    return Request(
        model=as_str(body.get("model")),
        messages=(*_system(body.get("system"), reader), *_messages(body.get("messages"), reader)),
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


def _system(value: Any, reader: BlockReader) -> list[Message]:
    parts = reader.parts(value)
    return [Message("system", tuple(parts))] if parts else []


def _messages(value: Any, reader: BlockReader) -> list[Message]:
    return [message for entry in dicts(value) for message in _turns(entry, reader)]


def _turns(entry: Mapping[str, Any], reader: BlockReader) -> list[Message]:
    """Return one turn as messages: a user's tool results are a message of their own."""
    parts = reader.parts(entry.get("content"))
    results = tuple(part for part in parts if isinstance(part, ToolResultPart))
    others = tuple(part for part in parts if not isinstance(part, ToolResultPart))
    split: list[Message] = [Message("tool", results)] if results else []
    if others or not results:
        split.append(Message(entry["role"], others or (TextPart(""),)))
    return split


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
    """Return how much to think; thoughts are shown unless the client wants them omitted."""
    wish = decode_thinking(thinking, effort)
    if wish is None or wish.budget is None or thinking.get("display") == "omitted":
        return wish
    return replace(wish, summary="auto")


def _hints(body: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    if user := opt_str(metadata.get("user_id")):
        hints["user"] = user
    if tier := opt_str(body.get("service_tier")):
        hints["service_tier"] = _TIERS.get(tier, tier)
    return hints
