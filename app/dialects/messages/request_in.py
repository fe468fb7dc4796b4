"""Decode a Messages request (server half).

Members that only Anthropic's API has go into ``extra``, and from there to a target with the
same format. Source: the request types of the anthropic SDK.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from app.dialects.messages.checks import check_request
from app.dialects.messages.options import NAME
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
    reader = BlockReader(lambda text: context.unwrap(text) or sign_native(text))
    tools = decode_tools(body.get("tools"))
    choice, parallel = decode_choice(body.get("tool_choice"), tools)
    config = as_dict(body.get("output_config"))
    metadata = as_dict(body.get("metadata"))
    extra = rest(body, _CANONICAL)
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
