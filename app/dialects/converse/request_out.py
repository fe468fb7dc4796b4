"""Canonical request to a Converse body.

The model is said by the URL, so the body has none. Sources: contract/providers.md (top
section and 3.5), botocore's service model.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import Message, Reasoning, Request
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.converse.blocks_out import TAKES, Block, BlockWriter
from app.dialects.converse.options import NAME, ConverseOptions, options_of
from app.dialects.converse.tools_out import ToolWriter
from app.dialects.messages.schema import close_objects, is_open
from app.dialects.shared.alternation import PLACEHOLDER_TEXT, alternate_turns, fit_prefill, split_conversation
from app.dialects.shared.claude import Family
from app.dialects.shared.claude_thinking import (
    MIN_BUDGET,
    Thinking,
    ThinkingContext,
    sampling_of,
    thinking_of,
    with_thinking,
)
from app.dialects.shared.effort import effort_of, nearest_effort
from app.dialects.shared.lenient_json import as_dict, json_text
from app.dialects.shared.losses import Losses
from app.dialects.shared.members import report_members
from app.dialects.shared.tool_results import pair_results
from app.dialects.shared.unmapped_members import report_unsupported, sendable_extras

Members = dict[str, Any]

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
"""Members of this API alone that a client of another may send beside the standard ones."""

_TIERS: Final = frozenset({"default", "priority", "flex", "reserved"})
_BLANK: Final = {"text": PLACEHOLDER_TEXT}
_JSON_ONLY: Final = "Answer with one valid JSON object and nothing else: no words around it, no code fence."
_NOVA_EFFORTS: Final = ("low", "medium", "high")
_OPEN_EFFORTS: Final = ("low", "medium", "high")
_GPT_EFFORTS: Final = ("none", "low", "medium", "high", "xhigh", "max")
_ASSUMED_LIMIT: Final = 4096
_COUNTED: Final = frozenset({"messages", "system", "toolConfig", "additionalModelRequestFields"})


def encode_request(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body of Converse and ConverseStream; losses are reported to the context.

    Raises GatewayError ``unsupported_parameter`` where leaving something out would change
    the answer.
    """
    options = options_of(context.options, context.model)
    losses = context.losses
    request = with_thinking(pair_results(request, losses))
    report_members(request, NAME, TAKES, losses)
    body = sendable_extras(request, NAME, _OWN, losses)
    writer = BlockWriter(context, options)
    native = _native_schema(request, options)
    wants_schema = request.output.format == "schema"
    by_tool = wants_schema and not native and options.forces
    answer = as_dict(request.output.schema) if by_tool else None
    system, turns, messages = _conversation(request, writer)
    tools = ToolWriter(writer, answer)
    if (config := tools.config(request, turns)) is not None:
        body["toolConfig"] = config
    if request.parallel_tool_calls is False and request.tools:
        losses.report("parallel_tool_calls")
    inference, fields = _inference(request, options, tools.forced, _is_bare(messages), losses)
    output: Members = {}
    if "effort" in fields:
        output["effort"] = fields.pop("effort")
    if native:
        output["textFormat"] = _text_format(request, losses)
    if request.output.format != "text" and not native and not by_tool:
        losses.report("output_json", "JSON is asked for in words; this API has no such mode")
        schema = f" It must fit this JSON schema: {json_text(request.output.schema)}" if wants_schema else ""
        system.append({"text": _JSON_ONLY + schema})
    body["messages"] = messages
    fields = {**fields, **_betas(options, context), **as_dict(body.get("additionalModelRequestFields"))}
    optional = {
        "system": system,
        "inferenceConfig": inference,
        "additionalModelRequestFields": fields,
        "outputConfig": output,
    }
    body.update({name: value for name, value in optional.items() if value})
    body.update(_tier(request, losses))
    if request.origin is None or request.origin.dialect != NAME:
        _fit_cache_points(body, losses)
    return EncodedRequest(body)


def _fit_cache_points(body: Members, losses: Losses) -> None:
    """Take out the oldest cache points of turns where there are more than the API takes."""
    holders = [turn["content"] for turn in body["messages"]]
    holders += [body.get("system", []), as_dict(body.get("toolConfig")).get("tools", [])]
    surplus = sum("cachePoint" in block for holder in holders for block in holder) - _MAX_CACHE_POINTS
    if surplus <= 0:
        return
    warning = f"Of more than {_MAX_CACHE_POINTS} cache marks the oldest were left out"
    losses.report("cache_control", warning)
    for holder in holders:
        here = [block for block in holder if "cachePoint" in block][:surplus]
        surplus -= len(here)
        gone = {id(block) for block in here}
        holder[:] = [block for block in holder if id(block) not in gone]


def _betas(options: ConverseOptions, context: ClientContext) -> Members:
    """Return the features in beta that a client asks Claude for, which this API has no header for."""
    flags = context.headers.get("anthropic-beta") if options.claude is not None else None
    return {"anthropic_beta": [flag.strip() for flag in flags.split(",") if flag.strip()]} if flags else {}


def encode_count(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body of CountTokens."""
    body = encode_request(request, context).body
    return EncodedRequest({"input": {"converse": {k: v for k, v in body.items() if k in _COUNTED}}})


def _conversation(request: Request, writer: BlockWriter) -> tuple[list[Block], list[Message], list[Block]]:
    """Return the system blocks, the turns, and the turns as written."""
    losses, options = writer.context.losses, writer.options
    texts, turns = split_conversation(
        request, losses, system_turns=options.claude is not None and options.claude.system_turns
    )
    if texts and not (options.system and turns):
        losses.report("message_role", "The system prompt was sent as the beginning of the user's turn")
        opening = Message("user", tuple(texts))
        turns = _begin_with(opening, turns)
        texts = []
    written = alternate_turns(map(writer.turn, turns), _BLANK, losses, user_first=True)
    if options.claude is not None:
        own = request.origin is not None and request.origin.dialect == NAME
        fit_prefill(written, _BLANK, losses, prefills=own or options.claude.can_prefill)
    return writer.blocks(texts, "system"), turns, written


def _begin_with(opening: Message, turns: list[Message]) -> list[Message]:
    if not turns or turns[0].role != "user":
        return [opening, *turns]
    return [Message("user", opening.parts + turns[0].parts), *turns[1:]]


def _is_bare(messages: list[Block]) -> bool:
    """Tell whether the last assistant turn is to be continued and does not begin with thinking."""
    last = next((turn for turn in reversed(messages) if turn["role"] == "assistant"), None)
    if last is None or "reasoningContent" in last["content"][0]:
        return False
    answered = any("toolResult" in block for block in messages[-1]["content"])
    return messages[-1] is last or (answered and any("toolUse" in block for block in last["content"]))


# sampling and thinking


def _inference(
    request: Request, options: ConverseOptions, forced: bool, bare: bool, losses: Losses
) -> tuple[Members, Members]:
    """Return ``inferenceConfig`` and the model's own fields (``effort`` among them)."""
    sampling = request.sampling
    inference: Members = {}
    if sampling.max_tokens is not None:
        inference["maxTokens"] = sampling.max_tokens
    fields: Members = {}
    if options.claude is not None:
        fields = _claude(request, options.claude, inference, ThinkingContext(0, forced, bare), losses)
    else:
        _write_sampling(request, options, inference, fields, losses)
        _THINKERS[options.thinks](_supported_request(request, options, losses), inference, fields, losses)
    if sampling.stop:
        inference["stopSequences"] = list(sampling.stop)
    taken = {"parallel_tool_calls", "top_k", "service_tier"}
    report_unsupported(request, frozenset(taken), losses)
    return inference, fields


def _claude(
    request: Request, family: Family, inference: Members, around: ThinkingContext, losses: Losses
) -> Members:
    limit = inference.get("maxTokens", family.max_tokens)
    around = ThinkingContext(limit, around.forced, around.bare_turn)
    thinking: Thinking = thinking_of(request.reasoning, family, around, losses)
    fields: Members = {}
    if thinking.config is not None:
        fields["thinking"] = thinking.config
        if thinking.config.get("budget_tokens", 0) >= MIN_BUDGET:
            inference["maxTokens"] = limit  # the budget must lie below it
    if thinking.effort is not None:
        fields["effort"] = thinking.effort
    sent = dict(sampling_of(request.sampling, family, thinking.on, losses))
    if "top_k" in sent:
        fields["top_k"] = sent.pop("top_k")
    inference.update({_SAMPLING_NAMES[name]: value for name, value in sent.items()})
    return fields


_MAX_CACHE_POINTS: Final = 4

_SAMPLING_NAMES: Final = {"temperature": "temperature", "top_p": "topP"}


def _write_sampling(
    request: Request, options: ConverseOptions, inference: Members, fields: Members, losses: Losses
) -> None:
    sampling = request.sampling
    if sampling.temperature is not None:
        if sampling.temperature > 1:
            losses.report(
                "temperature", f"The temperature ends at 1; {sampling.temperature:g} was lowered to it"
            )
        inference["temperature"] = min(sampling.temperature, 1)
    if sampling.top_p is not None:
        inference["topP"] = sampling.top_p
    if sampling.top_k is None or sampling.top_k < 0:
        return
    if not options.top_k:
        losses.report("top_k")
        return
    *above, name = options.top_k
    at = fields
    for step in above:
        at = at.setdefault(step, {})
    at[name] = sampling.top_k


def _requested_effort(request: Request, inference: Members) -> str | None:
    """Return the effort asked for, a budget turned into one; None when nothing was asked."""
    reasoning = request.reasoning
    if reasoning is None or (reasoning.effort is None and reasoning.budget is None):
        return None
    if reasoning.budget is not None:
        return effort_of(reasoning.budget, inference.get("maxTokens", _ASSUMED_LIMIT))
    return reasoning.effort


def _supported_request(request: Request, options: ConverseOptions, losses: Losses) -> Request:
    """Return the request with the least thinking in place of none, where there is no none."""
    if options.off or _requested_effort(request, {}) != "none":
        return request
    losses.report("reasoning_effort", "This model always thinks; the lowest effort is asked for")
    return replace(request, reasoning=Reasoning("low"))


def _think_not(request: Request, inference: Members, fields: Members, losses: Losses) -> None:
    if _requested_effort(request, inference) not in (None, "none"):
        budgeted = request.reasoning is not None and request.reasoning.budget is not None
        losses.report("reasoning_budget" if budgeted else "reasoning_effort")


def _think_as_nova(request: Request, inference: Members, fields: Members, losses: Losses) -> None:
    wanted = _requested_effort(request, inference)
    if wanted is None:
        return
    if wanted == "none":
        fields["reasoningConfig"] = {"type": "disabled"}
        return
    effort = _effort(wanted, _NOVA_EFFORTS, losses)
    fields["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}
    if effort != "high":
        return
    for member, feature in (("maxTokens", "max_tokens"), ("temperature", "temperature"), ("topP", "top_p")):
        if inference.pop(member, None) is not None:
            losses.report(feature, f"With high effort this model takes no {feature}; it was left out")


def _think_as_gpt(request: Request, inference: Members, fields: Members, losses: Losses) -> None:
    wanted = _requested_effort(request, inference)
    if wanted is not None:
        fields["reasoning"] = {"effort": _effort(wanted, _GPT_EFFORTS, losses)}


def _think_by_effort(request: Request, inference: Members, fields: Members, losses: Losses) -> None:
    wanted = _requested_effort(request, inference)
    if wanted is not None:
        fields["reasoning_effort"] = _effort(wanted, _OPEN_EFFORTS, losses)


def _effort(wanted: str, known: tuple[str, ...], losses: Losses) -> str:
    effort = nearest_effort(wanted, [name for name in known if name != "none" or wanted == "none"])
    if effort != wanted:
        losses.report("reasoning_effort", f"Effort '{wanted}' is not known here; '{effort}' is asked for")
    return effort


_THINKERS: Final = {
    "none": _think_not,
    "claude": _think_not,
    "nova": _think_as_nova,
    "effort": _think_by_effort,
    "gpt": _think_as_gpt,
}


# the answer's form


def _native_schema(request: Request, options: ConverseOptions) -> bool:
    return request.output.format == "schema" and options.schemas and not is_open(request.output.schema)


def _text_format(request: Request, losses: Losses) -> Members:
    output = request.output
    lost: set[str] = set()
    schema = close_objects(output.schema, lost)
    if lost:
        names = ", ".join(sorted(lost))
        losses.report("output_constraint", f"Bounds in the schema are only described: {names}")
    described: Members = {"schema": json.dumps(schema, ensure_ascii=False)}
    if output.name:
        described["name"] = output.name
    if output.description:
        described["description"] = output.description
    return {"type": "json_schema", "structure": {"jsonSchema": described}}


def _tier(request: Request, losses: Losses) -> Members:
    tier = request.hints.get("service_tier")
    if tier in _TIERS:
        return {"serviceTier": {"type": tier}}
    if tier not in (None, "auto"):
        losses.report("service_tier")
    return {}
