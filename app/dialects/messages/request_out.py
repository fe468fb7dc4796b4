"""Encode a canonical request as a Messages body (client half).

Thinking depends on the conversation and the tools, and sampling on thinking; this is the
order in which they are encoded. The beta flags that a body needs are found from its members (sources: the
anthropic SDK's list of betas, recorded requests); features that have left beta need none. Sources: docs/contract/providers.md
(Claude), the request types of the anthropic SDK.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from app.canonical.request import Output, Request
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.messages.options import NAME, MessagesOptions
from app.dialects.messages.parts_out import PART_MEMBERS, Block, BlockWriter, starts_with_thinking
from app.dialects.messages.schema import enforceable_schema, is_open, schema_in_words
from app.dialects.messages.tools import ToolWriter
from app.dialects.shared.alternation import PLACEHOLDER_TEXT, alternate_turns, fit_prefill, split_conversation
from app.dialects.shared.claude import Family, family_of
from app.dialects.shared.claude_thinking import (
    Thinking,
    ThinkingContext,
    sampling_of,
    thinking_of,
    with_thinking,
)
from app.dialects.shared.lenient_json import as_dict, as_str, dicts, without_nulls
from app.dialects.shared.losses import Losses
from app.dialects.shared.members import own_members, report_members
from app.dialects.shared.tool_results import pair_results
from app.dialects.shared.unmapped_members import report_unsupported, sendable_extras

_BLANK: Final = {"type": "text", "text": PLACEHOLDER_TEXT}
_MAX_MARKS: Final = 4
_OWN: Final = frozenset(
    {
        "cache_control",
        "container",
        "context_management",
        "diagnostics",
        "inference_geo",
        "mcp_servers",
        "speed",
    }
)
"""Members of Anthropic's API that clients of other APIs may add to their requests."""

_SUPPORTED: Final = frozenset(
    {"parallel_tool_calls", "safety_identifier", "top_k", "user", "web_search_options"}
)
"""What is encoded, or reported, with the metadata, the sampling and the tools."""

_TIERS: Final = {
    "auto": "auto",
    "default": "standard_only",
    "standard_only": "standard_only",
    "priority": "auto",
}


_PROMPT_MEMBERS: Final = frozenset(
    {
        "anthropic_version",
        "cache_control",
        "context_management",
        "mcp_servers",
        "messages",
        "model",
        "output_config",
        "system",
        "thinking",
        "tool_choice",
        "tools",
    }
)
"""Members that the token counter takes (the anthropic SDK's ``MessageCountTokensParams``)."""


def encode_request(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body, and the ``anthropic-beta`` header that its features need.

    Losses are reported to the context. Raises ``unsupported_parameter`` where leaving something
    out would change the response.
    """
    request = pair_results(request, context.losses)
    options = context.options_as(MessagesOptions)
    family = family_of(context.model)
    request = with_thinking(request)
    report_members(request, NAME, PART_MEMBERS, context.losses)
    writer = BlockWriter(context, options)
    own = sendable_extras(request, NAME, _OWN, context.losses)
    body: dict[str, Any] = {**own, **_head(request, context, options, family)}
    system, turns = _conversation(request, writer, family)
    has_schema = _has_schema(request.output, family, options)
    by_tool = request.output.format == "schema" and not has_schema and family.can_force_tools
    answer = (request.output.described_schema or {}) if by_tool else None
    tools = ToolWriter(context, options, family, answer)
    body.update(tools.members(request))
    around = ThinkingContext(body["max_tokens"], tools.forced, _lacks_thinking(turns))
    thinking = thinking_of(request.reasoning, family, around, context.losses)
    body.update(_thinking_and_output(request, own, thinking, context.losses, has_schema))
    body.update(sampling_of(request.sampling, family, thinking.on, context.losses))
    if request.output.format != "text" and not has_schema and not by_tool:
        system.append({"type": "text", "text": schema_in_words(request.output.described_schema)})
        context.losses.report("output_json", "JSON was requested in the prompt; this model has no JSON mode")
    if system:
        is_plain = len(system) == 1 and system[0].keys() == {"type", "text"}
        body["system"] = system[0]["text"] if is_plain else system
    body["messages"] = turns
    body.update(_hints(request, context.losses))
    if request.origin is not None and request.origin.dialect != NAME:
        _limit_marks(body, context.losses)
    flags = betas_of(body)
    return EncodedRequest(body, {BETA_HEADER: ",".join(flags)} if flags else {})


def encode_count(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body of ``/v1/messages/count_tokens``."""
    whole = encode_request(request, context)
    members = {name: value for name, value in whole.body.items() if name in _PROMPT_MEMBERS}
    return EncodedRequest(members, whole.headers)


def _limit_marks(body: Mapping[str, Any], losses: Losses) -> None:
    """Remove the oldest cache marks if there are more than the API takes."""
    turns = [block for turn in body["messages"] for block in _all_blocks(turn["content"])]
    holders = [*turns, *dicts(body.get("system")), *body.get("tools", [])]
    with_mark = [holder for holder in holders if "cache_control" in holder]
    for holder in with_mark[: max(0, len(with_mark) - _MAX_MARKS)]:
        del holder["cache_control"]
        losses.report("cache_control", f"Of more than {_MAX_MARKS} cache marks the oldest were left out")


def _all_blocks(blocks: Iterable[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block.get("content"), list):
            yield from _all_blocks(block["content"])


def _head(
    request: Request, context: ClientContext, options: MessagesOptions, family: Family
) -> dict[str, Any]:
    head: dict[str, Any] = {"model": context.model} if options.model_in_body else {}
    if options.anthropic_version is not None:
        head["anthropic_version"] = options.anthropic_version
    limit = request.sampling.max_tokens
    head["max_tokens"] = family.max_tokens if limit is None else limit
    if request.stream:
        head["stream"] = True
    stops = [stop for stop in request.sampling.stop if stop.strip()]
    if len(stops) < len(request.sampling.stop):
        context.losses.report(
            "stop", "Stop sequences of white space alone are not supported and were left out"
        )
    if stops:
        head["stop_sequences"] = stops
    return head


# conversation


def _conversation(request: Request, writer: BlockWriter, family: Family) -> tuple[list[Block], list[Block]]:
    """Return the system blocks and the turns."""
    losses = writer.context.losses
    texts, messages = split_conversation(request, losses, system_turns=family.system_turns)
    system = writer.blocks(texts, "system")
    turns = alternate_turns(map(writer.turn, messages), _BLANK, losses, user_first=False)
    own = request.origin is not None and request.origin.dialect == NAME
    fit_prefill(turns, _BLANK, losses, prefills=own or family.can_prefill)
    if not turns and system:
        losses.report("message_role", "With no other message, the system prompt was sent as the user's")
        return [], [{"role": "user", "content": system}]
    return system, turns


def _lacks_thinking(turns: list[Block]) -> bool:
    """Tell whether the model continues an assistant turn that does not begin with thinking.

    It does after a prefill, or after tool results; then the API refuses a thinking budget.
    """
    last = next((turn for turn in reversed(turns) if turn["role"] == "assistant"), None)
    if last is None or starts_with_thinking(last["content"]):
        return False
    if turns[-1] is last:
        return True
    has_results = any(block["type"] == "tool_result" for block in turns[-1]["content"])
    return has_results and any(block["type"] == "tool_use" for block in last["content"])


# thinking and output format


def _has_schema(output: Output, family: Family, options: MessagesOptions) -> bool:
    """Tell whether structured output is used.

    A host without it offers a tool instead, but not to models that cannot be forced to call one.
    """
    is_native = family.schemas and (options.native_schema or not family.can_force_tools)
    return output.format == "schema" and is_native and not is_open(output.schema)


def _thinking_and_output(
    request: Request, own: Mapping[str, Any], thinking: Thinking, losses: Losses, has_schema: bool
) -> dict[str, Any]:
    """Return ``thinking`` and ``output_config``."""
    members: dict[str, Any] = {}
    config = dict(as_dict(own.get("output_config")))
    if thinking.config is not None:
        own_config = _own_thinking(request, thinking.config)
        display = {"display": own_config["display"]} if "display" in own_config else {}
        members["thinking"] = {**own_config, **thinking.config, **display}
    if thinking.effort is not None:
        config["effort"] = thinking.effort
    if has_schema:
        config["format"] = {
            "type": "json_schema",
            "schema": enforceable_schema(request.output.described_schema, losses),
        }
    elif (
        request.output.format == "schema" and as_dict(request.output.schema).get("type", "object") != "object"
    ):
        losses.report("output_schema", "The schema of the answer must be an object for this model")
    return {**members, "output_config": config} if config else members


def _own_thinking(request: Request, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the client's own ``thinking`` (it may have a display), if its type is still the same."""
    native = request.reasoning.native if request.reasoning is not None else None
    thinking = as_dict(own_members(native, NAME).get("thinking"))
    return thinking if thinking.get("type") == config["type"] else {}


# hints


def _hints(request: Request, losses: Losses) -> dict[str, Any]:
    own = request.metadata if request.origin is not None and request.origin.dialect == NAME else None
    user, tier = request.hints.get("safety_identifier") or request.hints.get("user"), None
    if request.hints.get("service_tier") in _TIERS:
        tier = _TIERS[request.hints["service_tier"]]
    report_unsupported(request, _SUPPORTED | {"service_tier"} if tier else _SUPPORTED, losses)
    metadata = {**(own or {}), **({"user_id": user} if user else {})}
    return without_nulls({"metadata": metadata or None, "service_tier": tier})


# beta flags

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
