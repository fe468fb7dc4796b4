"""Canonical request to a Messages body (client half).

Order of decisions: what the conversation and the tools are, then whether the model may
think, then what sampling is left. Sources: contract/providers.md 3.4, contract/responses.md
5.4, the request types of the anthropic SDK.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from app.canonical.request import Output, Request
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.messages.betas import BETA_HEADER, betas_of
from app.dialects.messages.options import NAME, MessagesOptions, options_of
from app.dialects.messages.parts_out import TAKES, Block, BlockWriter, starts_with_thinking
from app.dialects.messages.schema import close_objects, is_open
from app.dialects.messages.tools import ToolWriter
from app.dialects.shared.alternation import PLACEHOLDER_TEXT, alternate_turns, fit_prefill, split_conversation
from app.dialects.shared.claude import Family
from app.dialects.shared.claude_thinking import (
    Thinking,
    ThinkingContext,
    sampling_of,
    thinking_of,
    with_thinking,
)
from app.dialects.shared.lenient_json import as_dict, json_text
from app.dialects.shared.losses import Losses
from app.dialects.shared.members import report_members
from app.dialects.shared.tool_results import pair_results
from app.dialects.shared.unmapped_members import report_unsupported, sendable_extras

_JSON_ONLY: Final = "Answer with one valid JSON object and nothing else: no words around it, no code fence."
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
"""Members of this API alone that a client of another may send beside the standard ones."""

_SUPPORTED: Final = frozenset(
    {"parallel_tool_calls", "safety_identifier", "top_k", "user", "web_search_options"}
)
"""What is written, or reported, with the metadata, the sampling and the tools."""

_TIERS: Final = {
    "auto": "auto",
    "default": "standard_only",
    "standard_only": "standard_only",
    "priority": "auto",
}


_COUNTED: Final = frozenset(
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
    """Return the body and the ``anthropic-beta`` header that its features need.

    Raises GatewayError ``unsupported_parameter`` where leaving something out would change
    the answer; smaller losses are reported to the context.
    """
    request = pair_results(request, context.losses)
    options = options_of(context.options)
    family = options.family_for(context.model)
    request = with_thinking(request)
    report_members(request, NAME, TAKES, context.losses)
    writer = BlockWriter(context, options)
    own = sendable_extras(request, NAME, _OWN, context.losses)
    body: dict[str, Any] = {**own, **_head(request, context, options, family)}
    system, turns = _conversation(request, writer, family)
    native = _native_schema(request.output, family, options)
    by_tool = request.output.format == "schema" and not native and family.can_force_tools
    answer = (request.output.schema or {}) if by_tool else None
    tools = ToolWriter(context, options, family, answer)
    body.update(tools.members(request))
    around = ThinkingContext(body["max_tokens"], tools.forced, _is_bare(turns))
    thinking = thinking_of(request.reasoning, family, around, context.losses)
    body.update(_output(request, own, thinking, context.losses, native))
    body.update(sampling_of(request.sampling, family, thinking.on, context.losses))
    if request.output.format != "text" and not native and not by_tool:
        system.append({"type": "text", "text": _in_words(request.output)})
        warning = "JSON is asked for in words; this model has no such mode"
        context.losses.report("output_json", warning)
    if system:
        body["system"] = system[0]["text"] if _is_plain(system) else system
    body["messages"] = turns
    body.update(_hints(request, context.losses))
    if request.origin is not None and request.origin.dialect != NAME:
        _fit_marks(body, context.losses)
    return EncodedRequest(body, _headers(body, options))


def encode_count(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body that has a prompt's tokens counted (``/v1/messages/count_tokens``)."""
    encoded = encode_request(request, context)
    return EncodedRequest(
        {name: encoded.body[name] for name in encoded.body if name in _COUNTED}, encoded.headers
    )


def _fit_marks(body: Mapping[str, Any], losses: Losses) -> None:
    """Take off the oldest cache marks of turns where there are more than the API takes."""
    turns = [block for turn in body["messages"] for block in _all_blocks(turn["content"])]
    system = body.get("system") if isinstance(body.get("system"), list) else []
    holders = [*turns, *(system or []), *body.get("tools", [])]
    marked = [holder for holder in holders if "cache_control" in holder]
    for holder in marked[: max(0, len(marked) - _MAX_MARKS)]:
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
    if request.stream and options.stream_in_body:
        head["stream"] = True
    stops = [stop for stop in request.sampling.stop if stop.strip()]
    if len(stops) < len(request.sampling.stop):
        context.losses.report("stop", "Stop sequences of white space alone are not taken and were left out")
    if stops:
        head["stop_sequences"] = stops
    return head


def _headers(body: Mapping[str, Any], options: MessagesOptions) -> dict[str, str]:
    if options.excluded_betas is None:
        return {}
    flags = [flag for flag in betas_of(body) if flag not in options.excluded_betas]
    return {BETA_HEADER: ",".join(flags)} if flags else {}


# the conversation


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


def _is_plain(system: list[Block]) -> bool:
    return len(system) == 1 and system[0].keys() == {"type", "text"}


def _is_bare(turns: list[Block]) -> bool:
    """Tell whether the last assistant turn is to be continued after its tool calls, or by
    prefill, and does not begin with thinking (then the wire refuses a thinking budget)."""
    last = next((turn for turn in reversed(turns) if turn["role"] == "assistant"), None)
    if last is None or starts_with_thinking(last):
        return False
    called = any(block["type"] == "tool_use" for block in last["content"])
    return turns[-1] is last or (called and turns[-1]["role"] == "user" and _has_results(turns[-1]))


def _has_results(turn: Block) -> bool:
    return any(block["type"] == "tool_result" for block in turn["content"])


# the answer's form


def _native_schema(output: Output, family: Family, options: MessagesOptions) -> bool:
    """Tell whether the wire enforces the schema itself. A host whose models are made to call a
    tool instead serves it too for those that cannot be made to."""
    served = family.schemas and (options.native_schema or not family.can_force_tools)
    return output.format == "schema" and served and not is_open(output.schema)


def _in_words(output: Output) -> str:
    schema = f" It must fit this JSON schema: {json_text(output.schema)}" if output.schema else ""
    return _JSON_ONLY + schema


def _output(
    request: Request, own: Mapping[str, Any], thinking: Thinking, losses: Losses, native: bool
) -> dict[str, Any]:
    sent: dict[str, Any] = {}
    config = dict(as_dict(own.get("output_config")))
    if thinking.config is not None:
        own_config = _own_thinking(request, thinking.config)
        display = {"display": own_config["display"]} if "display" in own_config else {}
        sent["thinking"] = {**own_config, **thinking.config, **display}
    if thinking.effort is not None:
        config["effort"] = thinking.effort
    if native:
        lost: set[str] = set()
        config["format"] = {"type": "json_schema", "schema": close_objects(request.output.schema, lost)}
        if lost:
            names = ", ".join(sorted(lost))
            losses.report("output_constraint", f"Bounds in the schema are only described: {names}")
    elif (
        request.output.format == "schema" and as_dict(request.output.schema).get("type", "object") != "object"
    ):
        losses.report("output_schema", "The schema of the answer must be an object for this model")
    if config:
        sent["output_config"] = config
    return sent


def _own_thinking(request: Request, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The client's own further members of ``thinking`` (display), if the kind is still the same."""
    native = request.reasoning.native if request.reasoning is not None else None
    thinking = as_dict(native[1].get("thinking")) if native is not None and native[0] == NAME else {}
    return thinking if thinking.get("type") == config["type"] else {}


# members of other APIs


def _hints(request: Request, losses: Losses) -> dict[str, Any]:
    sent: dict[str, Any] = {}
    own = request.metadata if request.origin is not None and request.origin.dialect == NAME else None
    user = request.hints.get("safety_identifier") or request.hints.get("user")
    if own or user:
        sent["metadata"] = {**(own or {}), **({"user_id": user} if user else {})}
    tier = request.hints.get("service_tier")
    if tier in _TIERS:
        sent["service_tier"] = _TIERS[tier]
    taken = _SUPPORTED | {"service_tier"} if tier in _TIERS else _SUPPORTED
    report_unsupported(request, taken, losses)
    return sent
