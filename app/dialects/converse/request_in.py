"""A Converse or ConverseStream body to the canonical request (server half).

The model and whether to stream are in the URL: the view puts them into ``model`` and
``stream`` of the body, which AWS's clients leave out. Members that only this API has stay
in ``extra``. Source of the shapes: botocore's service model of ``bedrock-runtime``.
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
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type, wrong_value

_READ: Final = frozenset(
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
        "fallbacks",  # the gateway's own: consumed by the router
    }
)
_ROLES: Final = frozenset({"user", "assistant", "system"})


def decode_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return what a Converse body asks for.

    Raises ``bad_request`` that names the member (``messages[0].content[0]``) for any shape
    that the API does not have.
    """
    members = ClientObject(body)
    if members.items("messages") is None:
        raise missing("messages")
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
        extra={**rest(body, _READ), **fields.further},
        origin=Origin(NAME, body),
    )


def _system(members: ClientObject, reader: BlockReader) -> list[Message]:
    parts = reader.parts(members.objects("system"))
    return [Message("system", tuple(parts))] if parts else []


def _messages(members: ClientObject, reader: BlockReader) -> list[Message]:
    messages: list[Message] = []
    for entry in members.objects("messages"):
        role = entry.required_text("role")
        if role not in _ROLES:
            raise wrong_value(entry.at("role"), role, "'user' and 'assistant'")
        if entry.items("content") is None:
            raise missing(entry.at("content"))
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
    described = structure.object("jsonSchema") if structure is not None else None
    if described is None:
        raise missing(f"{form.at('structure')}.jsonSchema")
    schema = parse(described.required_text("schema"))
    if not isinstance(schema, dict):
        raise wrong_type(described.at("schema"), "the text of a JSON object", schema)
    return Output(
        "schema", schema=schema, name=described.text("name"), description=described.text("description")
    )


_NESTED: Final = {"output_config": "effort", "reasoning": "effort", "inferenceConfig": "topK"}


class _Fields:
    """``additionalModelRequestFields``: what of a model's own members is known, and the rest.

    Known are Claude's ``thinking``, ``output_config.effort`` and ``top_k``, Nova's
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
        nova_k = inference.integer("topK") if inference is not None else None
        own_k = fields.integer("top_k")
        self.top_k = own_k if own_k is not None else nova_k
        left = rest(fields.members, frozenset({"thinking", "reasoningConfig", "reasoning_effort", "top_k"}))
        for name, known in _NESTED.items():
            nested = fields.object(name)
            if nested is not None and set(nested.members) <= {known}:
                del left[name]
        self.further = {"additionalModelRequestFields": left} if left else {}


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
