"""Decode a Converse or ConverseStream request (server half).

Model and streaming are part of the URL: the view puts them into ``model`` and ``stream``
of the body. Members that only Converse has go into ``extra``. Source: botocore's service
model of ``bedrock-runtime``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import Message, Origin, Output, Reasoning, Request, Sampling
from app.dialects.base import ServerContext
from app.dialects.converse.blocks_in import BlockReader
from app.dialects.converse.options import NAME
from app.dialects.converse.tools_in import decode_choice, decode_tools
from app.dialects.shared.claude_thinking import decode_thinking
from app.dialects.shared.lenient_json import parse, rest
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type

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
        extra={**rest(body, _CANONICAL), **fields.extra},
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
    named = structure.object("jsonSchema") if structure is not None else None
    if named is None:
        raise missing(f"{form.at('structure')}.jsonSchema")
    schema = parse(named.required_text("schema"))
    if not isinstance(schema, dict):
        raise wrong_type(named.at("schema"), "the text of a JSON object", schema)
    return Output("schema", schema=schema, name=named.text("name"), description=named.text("description"))


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
