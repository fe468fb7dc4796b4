"""Encode a canonical request as a Converse body (client half).

The body has no model: it is part of the URL. Sources: docs/contract/providers.md
(Bedrock's Converse), botocore's service model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import Message, Output, Request, Sampling
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.converse.blocks_out import PART_MEMBERS, Block, BlockWriter
from app.dialects.converse.options import NAME, ConverseOptions, options_of
from app.dialects.converse.tools_out import ToolWriter
from app.dialects.messages.schema import enforceable_schema, is_open, schema_in_words
from app.dialects.shared.alternation import PLACEHOLDER_TEXT, alternate_turns, fit_prefill, split_conversation
from app.dialects.shared.claude import Family
from app.dialects.shared.claude_thinking import (
    MIN_BUDGET,
    ThinkingContext,
    sampling_of,
    thinking_of,
    with_thinking,
)
from app.dialects.shared.effort import effort_of, nearest_effort
from app.dialects.shared.lenient_json import JSON, as_dict, without_nulls
from app.dialects.shared.losses import Losses
from app.dialects.shared.members import report_members
from app.dialects.shared.sampling_paths import capped_temperature
from app.dialects.shared.tool_results import pair_results
from app.dialects.shared.unmapped_members import report_unsupported, sendable_extras

_OWN: Final = frozenset(
    {
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "performanceConfig",
        "promptVariables",
        "requestMetadata",
    }
)
"""Members of Converse that clients of other APIs may add to their requests."""

_TIERS: Final = frozenset({"default", "priority", "flex", "reserved"})
_BLANK: Final = {"text": PLACEHOLDER_TEXT}
_EFFORTS: Final[Mapping[str, tuple[str, ...]]] = {
    "none": (),
    "claude": (),
    "nova": ("low", "medium", "high"),
    "effort": ("low", "medium", "high"),
    "gpt": ("none", "low", "medium", "high", "xhigh", "max"),
}
"""The efforts of each way to request thinking."""

_DEFAULT_LIMIT: Final = 4096
"""Output limit, in tokens, that a thinking budget is compared with if the client set none."""

_MAX_CACHE_POINTS: Final = 4
_SAMPLING_NAMES: Final = {"temperature": "temperature", "top_p": "topP"}
_PROMPT_MEMBERS: Final = frozenset({"messages", "system", "toolConfig", "additionalModelRequestFields"})
"""Members that CountTokens takes."""


def encode_request(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body of Converse and ConverseStream; losses are reported to the context.

    Raises ``unsupported_parameter`` where leaving something out would change the response.
    """
    options = options_of(context.options, context.model)
    losses = context.losses
    request = with_thinking(pair_results(request, losses))
    report_members(request, NAME, PART_MEMBERS, losses)
    body = sendable_extras(request, NAME, _OWN, losses)
    writer = BlockWriter(context, options)
    wants_schema = request.output.format == "schema"
    has_schema = wants_schema and options.schemas and not is_open(request.output.schema)
    by_tool = wants_schema and not has_schema and options.can_force_tools
    system, turns, messages = _conversation(request, writer)
    tools = ToolWriter(writer, as_dict(request.output.described_schema) if by_tool else None)
    if (config := tools.config(request, turns)) is not None:
        body["toolConfig"] = config
    conditions = ThinkingContext(0, tools.forced, _lacks_thinking(messages))
    inference, fields = _inference(request, options, conditions, losses)
    output: JSON = {"effort": fields.pop("effort")} if "effort" in fields else {}
    if has_schema:
        output["textFormat"] = _text_format(request.output, losses)
    elif request.output.format != "text" and not by_tool:
        losses.report("output_json", "JSON was requested in the prompt; this API has no JSON mode")
        system.append({"text": schema_in_words(request.output.described_schema if wants_schema else None)})
    body["messages"] = messages
    fields = {**fields, **_betas(options, context), **as_dict(body.get("additionalModelRequestFields"))}
    optional = {
        "system": system,
        "inferenceConfig": inference,
        "additionalModelRequestFields": fields,
        "outputConfig": output,
        "serviceTier": _tier(request, losses),
    }
    body.update({name: value for name, value in optional.items() if value})
    if request.origin is None or request.origin.dialect != NAME:
        _limit_cache_points(body, losses)
    return EncodedRequest(body)


def encode_count(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body of CountTokens."""
    body = encode_request(request, context).body
    return EncodedRequest({"input": {"converse": {k: v for k, v in body.items() if k in _PROMPT_MEMBERS}}})


def _limit_cache_points(body: JSON, losses: Losses) -> None:
    """Remove the oldest cache points if there are more than the API takes."""
    holders = [turn["content"] for turn in body["messages"]]
    holders += [body.get("system", []), as_dict(body.get("toolConfig")).get("tools", [])]
    surplus = sum("cachePoint" in block for holder in holders for block in holder) - _MAX_CACHE_POINTS
    if surplus <= 0:
        return
    losses.report("cache_control", f"Of more than {_MAX_CACHE_POINTS} cache marks the oldest were left out")
    for holder in holders:
        surplus_ids = {id(block) for block in [one for one in holder if "cachePoint" in one][:surplus]}
        holder[:] = [block for block in holder if id(block) not in surplus_ids]
        surplus -= len(surplus_ids)


def _betas(options: ConverseOptions, context: ClientContext) -> JSON:
    """Return the beta features that a client requests of Claude; Converse has no header for them."""
    flags = context.headers.get("anthropic-beta") if options.claude is not None else None
    return {"anthropic_beta": [flag.strip() for flag in flags.split(",") if flag.strip()]} if flags else {}


def _conversation(request: Request, writer: BlockWriter) -> tuple[list[Block], list[Message], list[Block]]:
    """Return the system blocks, the canonical turns, and the turns as Converse messages."""
    losses, options = writer.context.losses, writer.options
    system, turns = split_conversation(
        request, losses, system_turns=options.claude is not None and options.claude.system_turns
    )
    if system and not (options.system and turns):
        losses.report("message_role", "The system prompt was sent as the beginning of the user's turn")
        merges = bool(turns) and turns[0].role == "user"
        opening = Message("user", (*system, *(turns[0].parts if merges else ())))
        system, turns = [], [opening, *(turns[1:] if merges else turns)]
    messages = alternate_turns(map(writer.turn, turns), _BLANK, losses, user_first=True)
    if options.claude is not None:
        own = request.origin is not None and request.origin.dialect == NAME
        fit_prefill(messages, _BLANK, losses, prefills=own or options.claude.can_prefill)
    return writer.blocks(system, "system"), turns, messages


def _lacks_thinking(messages: list[Block]) -> bool:
    """Tell whether the model continues an assistant turn that does not begin with thinking."""
    last = next((turn for turn in reversed(messages) if turn["role"] == "assistant"), None)
    if last is None or "reasoningContent" in last["content"][0]:
        return False
    has_results = any("toolResult" in block for block in messages[-1]["content"])
    return messages[-1] is last or (has_results and any("toolUse" in block for block in last["content"]))


# sampling and thinking


def _inference(
    request: Request, options: ConverseOptions, conditions: ThinkingContext, losses: Losses
) -> tuple[JSON, JSON]:
    """Return ``inferenceConfig`` and the model's own fields, with its ``effort`` among them."""
    sampling = request.sampling
    inference = without_nulls({"maxTokens": sampling.max_tokens})
    if options.claude is not None:
        fields = _claude_fields(request, options.claude, inference, conditions, losses)
    else:
        fields = _sampling(request.sampling, options, inference, losses)
        fields.update(_thinking(request, options, inference, losses))
    if sampling.stop:
        inference["stopSequences"] = list(sampling.stop)
    report_unsupported(request, frozenset({"top_k", "service_tier"}), losses)
    return inference, fields


def _claude_fields(
    request: Request, family: Family, inference: JSON, conditions: ThinkingContext, losses: Losses
) -> JSON:
    """Return a Claude's thinking, effort and ``top_k``; other sampling is added to ``inference``."""
    limit = inference.get("maxTokens", family.max_tokens)
    conditions = ThinkingContext(limit, conditions.forced, conditions.bare_turn)
    thinking = thinking_of(request.reasoning, family, conditions, losses)
    if thinking.config is not None and thinking.config.get("budget_tokens", 0) >= MIN_BUDGET:
        inference["maxTokens"] = limit  # the budget must be below it
    sampling = dict(sampling_of(request.sampling, family, thinking.on, losses))
    top_k = sampling.pop("top_k", None)
    inference.update({_SAMPLING_NAMES[name]: value for name, value in sampling.items()})
    return without_nulls({"thinking": thinking.config, "effort": thinking.effort, "top_k": top_k})


def _sampling(sampling: Sampling, options: ConverseOptions, inference: JSON, losses: Losses) -> JSON:
    """Return the model's own fields of sampling; the rest is added to ``inference``."""
    temperature = capped_temperature(sampling.temperature, 1, losses)
    inference.update(without_nulls({"temperature": temperature, "topP": sampling.top_p}))
    if sampling.top_k is None or sampling.top_k < 0:
        return {}
    if not options.top_k:
        losses.report("top_k")
        return {}
    fields: Any = sampling.top_k
    for name in reversed(options.top_k):
        fields = {name: fields}
    return dict(fields)


def _requested_effort(request: Request, inference: JSON) -> str | None:
    """Return the requested effort, or the one that a thinking budget corresponds to; None without either."""
    reasoning = request.reasoning
    if reasoning is None or reasoning.budget is None:
        return None if reasoning is None else reasoning.effort
    return effort_of(reasoning.budget, inference.get("maxTokens", _DEFAULT_LIMIT))


def _thinking(request: Request, options: ConverseOptions, inference: JSON, losses: Losses) -> JSON:
    """Return the model's own fields of thinking. Nova's highest effort takes no sampling and no limit."""
    wish, efforts = _requested_effort(request, inference), _EFFORTS[options.thinking]
    if wish is None or (wish == "none" and not efforts):
        return {}
    if not efforts:
        by_budget = request.reasoning is not None and request.reasoning.budget is not None
        losses.report("reasoning_budget" if by_budget else "reasoning_effort")
        return {}
    if wish == "none" and not options.off:
        losses.report("reasoning_effort", "This model always thinks; the lowest effort was sent")
        wish = "low"
    if wish == "none" and options.thinking == "nova":
        return {"reasoningConfig": {"type": "disabled"}}
    effort = nearest_effort(wish, [name for name in efforts if name != "none" or wish == "none"])
    if effort != wish:
        losses.report("reasoning_effort", f"Effort '{wish}' is unknown to this API; '{effort}' was sent")
    if options.thinking != "nova":
        return (
            {"reasoning": {"effort": effort}} if options.thinking == "gpt" else {"reasoning_effort": effort}
        )
    for member, feature in (("maxTokens", "max_tokens"), ("temperature", "temperature"), ("topP", "top_p")):
        if effort == "high" and inference.pop(member, None) is not None:
            losses.report(feature, f"With high effort this model takes no {feature}; it was left out")
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}


# output format and service tier


def _text_format(output: Output, losses: Losses) -> JSON:
    schema = json.dumps(enforceable_schema(output.schema, losses), ensure_ascii=False)
    labels = {"name": output.name, "description": output.description}
    members = {"schema": schema, **{name: text for name, text in labels.items() if text}}
    return {"type": "json_schema", "structure": {"jsonSchema": members}}


def _tier(request: Request, losses: Losses) -> JSON:
    tier = request.hints.get("service_tier")
    if tier in _TIERS:
        return {"type": tier}
    if tier not in (None, "auto"):
        losses.report("service_tier")
    return {}
