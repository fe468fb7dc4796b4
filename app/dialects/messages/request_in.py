"""A Messages body to the canonical request (server half).

Members that only this API has stay in ``extra`` and go out again to a target that speaks
it. Any JSON is read or refused with ``bad_request``, never a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import (
    Message,
    Origin,
    Output,
    Request,
    Sampling,
    TextPart,
    ToolResultPart,
)
from app.dialects.base import ServerContext
from app.dialects.messages.options import NAME
from app.dialects.messages.parts_in import BlockReader, sign_native
from app.dialects.messages.tools import decode_choice, decode_tools
from app.dialects.shared.claude_thinking import decode_thinking
from app.dialects.shared.reading import as_dict, as_list, as_str, count, number, opt_str, rest
from app.errors import GatewayError

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
_ROLES: Final = frozenset({"user", "assistant", "system"})
_TIERS: Final = {"auto": "auto", "standard_only": "default"}


def decode_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return what a Messages body asks for.

    Raises GatewayError ``bad_request`` with the member's path for a shape that cannot be
    read (``messages[0]: expected an object``).
    """
    reader = BlockReader(lambda text: context.unwrap(text) or sign_native(text))
    tools = decode_tools(body.get("tools"))
    choice, parallel = decode_choice(body.get("tool_choice"), tools)
    config = as_dict(body.get("output_config"))
    metadata = as_dict(body.get("metadata"))
    extra = rest(body, _KNOWN)
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
        reasoning=decode_thinking(as_dict(body.get("thinking")), opt_str(config.get("effort"))),
        stream=body.get("stream") is True,
        metadata=rest(metadata, frozenset({"user_id"})) or None,
        hints=_hints(body, metadata),
        extra=extra,
        origin=Origin(NAME, body),
    )


def _wrong(path: str, expected: str) -> GatewayError:
    return GatewayError(
        "bad_request", f"Invalid type for '{path}': expected {expected}.", param=path, code="invalid_type"
    )


def _system(value: Any, reader: BlockReader) -> list[Message]:
    parts = reader.parts(value)
    return [Message("system", tuple(parts))] if parts else []


def _messages(value: Any, reader: BlockReader) -> list[Message]:
    if not isinstance(value, list):
        raise _wrong("messages", "an array of messages")
    messages: list[Message] = []
    for index, entry in enumerate(value):
        path = f"messages[{index}]"
        if not isinstance(entry, dict):
            raise _wrong(path, "an object")
        if entry.get("role") not in _ROLES:
            raise GatewayError(
                "bad_request",
                f"Invalid value for '{path}.role': expected user, assistant or system.",
                param=f"{path}.role",
                code="invalid_value",
            )
        messages += _turns(entry, path, reader)
    return messages


def _turns(entry: Mapping[str, Any], path: str, reader: BlockReader) -> list[Message]:
    """Return one turn as messages: a user's tool results are a message of their own."""
    content = entry.get("content")
    if not isinstance(content, str | list):
        raise _wrong(f"{path}.content", "a string or an array of content blocks")
    for position, block in enumerate(as_list(content)):
        if not isinstance(block, dict):
            raise _wrong(f"{path}.content[{position}]", "an object")
    parts = reader.parts(content)
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


def _hints(body: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    if user := opt_str(metadata.get("user_id")):
        hints["user"] = user
    if tier := opt_str(body.get("service_tier")):
        hints["service_tier"] = _TIERS.get(tier, tier)
    return hints
