"""Decode a Converse, ConverseStream or CountTokens request (server half).

Model and streaming are part of the URL: the view puts them into ``model`` and ``stream``
of the body. Members that only Converse has go into ``extra``. Source: botocore's service
model of ``bedrock-runtime``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import Message, Origin, Output, Reasoning, Request, Sampling, Tool, ToolChoice
from app.dialects.base import ServerContext
from app.dialects.converse.blocks_in import BlockReader, with_cache_mark
from app.dialects.converse.options import NAME
from app.dialects.messages.request_in import decode_request as decode_messages
from app.dialects.shared.claude_thinking import decode_thinking
from app.dialects.shared.lenient_json import decode_base64, parse, rest, without_nulls
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type, wrong_value

_CANONICAL: Final = frozenset(
    {
        "model",
        "stream",
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "additionalModelRequestFields",
        "outputConfig",
        "serviceTier",
        "fallbacks",  # the gateway's own member, read by the router
    }
)
_ROLES: Final = frozenset({"user", "assistant", "system"})


def decode_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return the canonical request of a Converse body.

    Raises ``bad_request`` with the path (``messages[0].content[0]``) of a member that
    Bedrock would refuse.
    """
    members = ClientObject(body)
    members.required_items("messages")
    reader = BlockReader(context.unwrap)
    fields = _Fields(members)
    output = members.object("outputConfig")
    return Request(
        model=members.text("model") or "",
        messages=(*_system(members, reader), *_messages(members, reader)),
        tools=decode_tools(members),
        tool_choice=decode_choice(members),
        sampling=_sampling(members, fields.top_k),
        output=_output(output),
        reasoning=_reasoning(fields, output),
        stream=members.flag("stream") or False,
        hints=_hints(members),
        extra={**without_nulls(rest(body, _CANONICAL)), **fields.extra},
        origin=Origin(NAME, body),
    )


def _system(members: ClientObject, reader: BlockReader) -> list[Message]:
    parts = reader.parts(members.objects("system"))
    return [Message("system", tuple(parts))] if parts else []


def _messages(members: ClientObject, reader: BlockReader) -> list[Message]:
    messages: list[Message] = []
    for entry in members.objects("messages"):
        role = entry.required_word("role", _ROLES, "'user' and 'assistant'")
        entry.required_items("content")
        messages += reader.turns(role, entry.objects("content"))
    return messages


def _sampling(members: ClientObject, top_k: int | None) -> Sampling:
    config = members.object("inferenceConfig") or ClientObject({}, "inferenceConfig")
    return Sampling(
        max_tokens=config.integer("maxTokens"),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=top_k,
        stop=config.texts("stopSequences"),
    )


def _output(config: ClientObject | None) -> Output:
    form = config.object("textFormat") if config is not None else None
    if form is None:
        return Output()
    structure = form.object("structure")
    json_schema = structure.object("jsonSchema") if structure is not None else None
    if json_schema is None:
        raise missing(f"{form.at('structure')}.jsonSchema")
    schema = parse(json_schema.required_text("schema"))
    if not isinstance(schema, dict):
        raise wrong_type(json_schema.at("schema"), "the text of a JSON object", schema)
    return Output(
        "schema", schema=schema, name=json_schema.text("name"), description=json_schema.text("description")
    )


_NESTED: Final = {"output_config": "effort", "reasoning": "effort", "inferenceConfig": "topK"}
"""Objects of ``additionalModelRequestFields``, and the member of each that is read."""


class _Fields:
    """A model's own members, ``additionalModelRequestFields``: those that are read, and ``extra``.

    Read are Claude's ``thinking``, ``output_config.effort`` and ``top_k``, Nova's
    ``reasoningConfig`` and ``inferenceConfig.topK``, ``reasoning_effort`` and ``reasoning.effort``.
    """

    def __init__(self, members: ClientObject) -> None:
        fields = members.object("additionalModelRequestFields") or ClientObject({})
        self.thinking = fields.object("thinking")
        self.nova = fields.object("reasoningConfig")
        self.effort = fields.text("reasoning_effort")
        for config in (fields.object("output_config"), fields.object("reasoning")):
            if config is not None:
                self.effort = config.text("effort") or self.effort
        inference = fields.object("inferenceConfig")
        nova_top_k = inference.integer("topK") if inference is not None else None
        top_k = fields.integer("top_k")
        self.top_k = top_k if top_k is not None else nova_top_k
        extra = rest(fields.members, frozenset({"thinking", "reasoningConfig", "reasoning_effort", "top_k"}))
        for name, member in _NESTED.items():
            nested = fields.object(name)
            if nested is not None and set(nested.members) <= {member}:
                del extra[name]
        self.extra = {"additionalModelRequestFields": extra} if extra else {}


def _reasoning(fields: _Fields, output: ClientObject | None) -> Reasoning | None:
    effort = (output.text("effort") if output is not None else None) or fields.effort
    if fields.thinking is not None:
        fields.thinking.required_text("type")
        return decode_thinking(fields.thinking.members, effort)
    if fields.nova is not None:
        on = (fields.nova.text("type") or "enabled") == "enabled"
        return Reasoning(fields.nova.text("maxReasoningEffort") or effort or "medium" if on else "none")
    return Reasoning(effort) if effort else None


def _hints(members: ClientObject) -> dict[str, Any]:
    tier = members.object("serviceTier")
    kind = tier.text("type") if tier is not None else None
    return {"service_tier": kind} if kind else {}


# tools

_SYSTEM_TOOLS: Final[Mapping[str, str]] = {
    "nova_grounding": "web_search",
    "nova_code_interpreter": "code_interpreter",
}
"""The names that other dialects use for Amazon's tools; other tools keep their own name."""


def decode_tools(members: ClientObject) -> tuple[Tool, ...]:
    """Return the tools; a cache point marks the tool before it."""
    config = members.object("toolConfig")
    tools: list[Tool] = []
    for entry in config.objects("tools") if config is not None else ():
        point = entry.object("cachePoint")
        if point is None:
            tools.append(_tool(entry))
        elif tools:
            tools[-1] = replace(tools[-1], native=with_cache_mark(tools[-1].native, point))
    return tuple(tools)


def _tool(entry: ClientObject) -> Tool:
    spec = entry.object("toolSpec")
    if spec is not None:
        schema = spec.object("inputSchema")
        return Tool(
            "function",
            spec.required_text("name"),
            spec.text("description"),
            schema.mapping("json") if schema is not None else None,
            spec.flag("strict"),
        )
    system = entry.object("systemTool")
    if system is None:
        kind = next(iter(entry.members), "{}")
        raise wrong_value(entry.path, kind, "'toolSpec', 'systemTool' and 'cachePoint'")
    name = system.required_text("name")
    return Tool("hosted", _SYSTEM_TOOLS.get(name, name))


def decode_choice(members: ClientObject) -> ToolChoice | None:
    """Return the tool choice, None without one."""
    config = members.object("toolConfig")
    choice = config.object("toolChoice") if config is not None else None
    if choice is None:
        return None
    tool = choice.object("tool")
    if tool is not None:
        return ToolChoice("named", tool.required_text("name"))
    if choice.object("any") is not None:
        return ToolChoice("required")
    if choice.object("auto") is not None:
        return ToolChoice("auto")
    raise wrong_value(choice.path, next(iter(choice.members), "{}"), "'auto', 'any' and 'tool'")


# token counts


def decode_count_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return the prompt to count: a Converse body, or Claude's InvokeModel body in base64.

    The view puts the model of the URL into ``model``, beside ``input``. Raises ``bad_request`` for
    an ``input`` with neither body.
    """
    prompt = ClientObject(body).required_object("input")
    model = {"model": body["model"]} if "model" in body else {}
    converse = prompt.mapping("converse")
    if converse is not None:
        return decode_request({"messages": [], **converse, **model}, context)
    invoke = prompt.object("invokeModel")
    if invoke is None:
        raise missing("input.converse")
    claude_body = parse(decode_base64(invoke.required_text("body")) or "")
    if not isinstance(claude_body, dict):
        raise wrong_type(invoke.at("body"), "the base64 of a JSON object", claude_body)
    return decode_messages({**claude_body, **model}, context)


def encode_count_response(tokens: int, *, estimated: bool = False) -> dict[str, Any]:
    """Return the count; CountTokens has no member that marks an estimate."""
    return {"inputTokens": tokens}
