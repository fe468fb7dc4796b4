"""The canonical Request encoded for a provider with a Responses API (client half).

A client's Responses body is copied, with what changed in the canonical request since. All calls are
stateless: the gateway keeps the state (docs/architecture.md, State). Members that the target's published
request type does not have are mapped, or dropped with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    FilePart,
    OpaquePart,
    Output,
    Part,
    Reasoning,
    Request,
    Sampling,
    Signature,
    Tool,
    ToolChoice,
    ToolResultPart,
)
from app.dialects.base import ClientContext, EncodedRequest, ServerContext
from app.dialects.responses.compatibility import REASONING_LOST, ResponsesOptions, fit
from app.dialects.responses.echo import flat_tool
from app.dialects.responses.items_in import NAME
from app.dialects.responses.items_out import ItemWriter
from app.dialects.responses.request_in import decode_request
from app.dialects.responses.tools_in import additional_tools, places_of
from app.dialects.shared.lenient_json import as_dict, as_list, rest, without_nulls
from app.dialects.shared.losses import Losses
from app.dialects.shared.members import (
    CACHE_MARKS,
    own_members,
    pick_members,
    report_marks,
    report_members,
)
from app.dialects.shared.sampling_paths import sampling_members
from app.dialects.shared.unmapped_members import report_opaque

HOSTED_TOOLS: Final = frozenset(
    {
        "web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11",
        "file_search", "code_interpreter", "image_generation", "mcp", "computer", "computer_use_preview",
        "local_shell", "shell", "apply_patch", "tool_search", "programmatic_tool_calling",
    }
)  # fmt: skip
"""Types of the tools that the API runs (OpenAI's API description)."""

_COUNTED: Final = frozenset(
    {
        "input",
        "instructions",
        "model",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
    }
)
"""Members of a stateless token count (``TokenCountsBody`` of OpenAI's API description)."""


_MEMBERS: Final[Mapping[type, frozenset[str]]] = {
    object: CACHE_MARKS,  # ``report_marks`` reports these
    Tool: frozenset({"defer_loading"}),
}
"""Members that clients of other APIs write, and that the API takes or that are reported elsewhere."""


def encode_request(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the create body for the target; losses are reported to ``context.losses``."""
    options = context.options_as(ResponsesOptions)
    native = request.origin is not None and request.origin.dialect == NAME
    if not native:
        report_marks(request, NAME, context.losses)
        report_members(request, NAME, _MEMBERS, context.losses)
    body = _from_origin(request) if native else _from_canonical(request, context.losses)
    if context.model:
        body["model"] = context.model
    if not isinstance(body.get("input"), str):
        body["input"] = encode_input(request, context)
    body["stream"] = request.stream
    return EncodedRequest(fit(body, options, context.losses, native=native))


def encode_count(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body of a token count (``POST /responses/input_tokens``)."""
    body = encode_request(request, context).body
    return EncodedRequest({name: value for name, value in body.items() if name in _COUNTED})


def encode_input(request: Request, context: ClientContext) -> list[dict[str, Any]]:
    """Return the messages as input items, without signatures that the target does not accept."""
    for message in request.messages:
        if message.name is not None:
            context.losses.report("message_name")
        for part in message.parts:
            _report_part(part, message.role, context.losses)
    writer = ItemWriter(_sealer(context), places=places_of(request.tools) or None)
    return writer.items(request.messages)


def _sealer(context: ClientContext) -> Callable[[Signature], str | None]:
    def seal(signature: Signature) -> str | None:
        if context.accepts(signature, NAME):
            return signature.value
        context.losses.report("reasoning_signature", REASONING_LOST)
        return None

    return seal


def _report_part(part: Part, role: str, losses: Losses) -> None:
    """Report a part that Responses items do not have, or have in another form."""
    if isinstance(part, AudioPart):
        losses.report("audio")
    elif isinstance(part, OpaquePart) and part.native[0] != NAME:
        report_opaque(part, role, losses)
    elif isinstance(part, ToolResultPart):
        for piece in part.content:
            _report_part(piece, role, losses)
    elif isinstance(part, FilePart) and part.text is not None and part.data is None:
        losses.report("file_form", "A text document was sent as plain text.")


# --- a client's Responses body -----------------------------------------------------------


def _from_origin(request: Request) -> dict[str, Any]:
    """Return the client's body with what changed in the request since it was decoded."""
    assert request.origin is not None
    body = dict(request.origin.body)
    before = decode_request(body, ServerContext(new_id=str, now=0, model=request.model))
    additional = additional_tools(body)
    if additional:  # the messages do not contain their items
        body["tools"] = [*as_list(body.get("tools")), *additional]
    if isinstance(body.get("instructions"), list):
        body.pop("instructions")
    if not (isinstance(body.get("input"), str) and before.messages == request.messages):
        body.pop("input", None)
    for field in fields(Request):
        encoder = _ENCODERS.get(field.name)
        now = getattr(request, field.name)
        if encoder is not None and now != getattr(before, field.name):
            _write_over(body, encoder(now))
    return body


def _write_over(body: dict[str, Any], members: Mapping[str, Any]) -> None:
    for name, value in members.items():
        if value is None:
            body.pop(name, None)
        else:
            body[name] = value


# --- bodies of other dialects --------------------------------------------------------------


def _from_canonical(request: Request, losses: Losses) -> dict[str, Any]:
    """Return a new body; extra members of the client's API are reported."""
    request = replace(request, tools=tuple(tool for tool in request.tools if _is_supported(tool, losses)))
    _check_forced(request, losses)
    body: dict[str, Any] = {}
    for name, encoder in _ENCODERS.items():
        _write_over(body, encoder(getattr(request, name)))
    options = body.pop("web_search_options", None)
    if options is not None:
        body["tools"] = [*body.get("tools", ()), _web_search(as_dict(options))]
    for name in request.extra:
        losses.report_member(name)
    return body


def _is_supported(tool: Tool, losses: Losses) -> bool:
    """Tell whether this API runs a tool; a hosted tool that it does not run is reported."""
    if tool.kind != "hosted" or tool.name in HOSTED_TOOLS:
        return True
    losses.report("hosted_tool", f"The hosted tool '{tool.name}' was left out: the provider does not run it.")
    return False


def _check_forced(request: Request, losses: Losses) -> None:
    choice = request.tool_choice
    forces_hosted = choice is not None and choice.mode == "named" and choice.kind == "hosted"
    if choice is not None and forces_hosted and choice.name not in {tool.name for tool in request.tools}:
        losses.report("forced_tool", f"The forced tool '{choice.name}' is not run by the provider.")


def _web_search(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hosted tool for chat's ``web_search_options``, whose location is nested in ``approximate``."""
    place, size = as_dict(options.get("user_location")), options.get("search_context_size")
    location = {"type": "approximate", **as_dict(place.get("approximate"))} if place else None
    return without_nulls({"type": "web_search", "search_context_size": size, "user_location": location})


def _encode_sampling(sampling: Sampling) -> dict[str, Any]:
    members = sampling_members(sampling)
    return {"max_output_tokens": members.pop("max_tokens"), **members}


def _encode_output(output: Output) -> dict[str, Any]:
    text = without_nulls({"format": _format(output), "verbosity": output.verbosity})
    others = [mode for mode in output.modalities if mode != "text"]
    return {"text": text or None, "modalities": others or None, "audio": output.audio}


def _format(output: Output) -> dict[str, Any] | None:
    if output.format != "schema":
        return {"type": "json_object"} if output.format == "json" else None
    optional = without_nulls({"strict": output.strict, "description": output.description})
    return {"type": "json_schema", "name": output.name or "response", "schema": output.schema, **optional}


def _encode_reasoning(reasoning: Reasoning | None) -> dict[str, Any]:
    if reasoning is None:
        return {"reasoning": None}
    members = {"effort": reasoning.effort, "summary": reasoning.summary, "max_tokens": reasoning.budget}
    return {"reasoning": without_nulls({**own_members(reasoning.native, NAME), **members}) or None}


_FLAT: Final = frozenset({NAME, "chat"})
"""Dialects whose hosted tools have the form of Responses."""


def encode_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool in flat form; a function has ``strict``, whose default differs from other APIs'."""
    if tool.kind == "hosted":
        flat = tool.native is not None and tool.native[0] in _FLAT
        return {**(tool.native[1] if flat and tool.native else {}), "type": tool.name}
    native = rest(own_members(tool.native, NAME), frozenset({"namespace"}))
    if "tool_search" in native:
        return dict(native["tool_search"])
    body = without_nulls({"type": tool.kind, "name": tool.name, "description": tool.description})
    if tool.kind == "custom":
        return {**body, **({"format": tool.format} if tool.format else {}), **native}
    body["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {**body, "strict": bool(tool.strict), **pick_members(tool.native, _MEMBERS[Tool]), **native}


def _choice_value(choice: ToolChoice) -> Any:
    if choice.mode == "named" and choice.kind == "hosted":
        return dict(choice.native[1]) if choice.native else {"type": choice.name}
    if choice.mode == "named":
        return {"type": choice.kind, "name": choice.name}
    if choice.mode == "allowed":
        tools = [flat_tool(tool) for tool in choice.allowed]
        return {"type": "allowed_tools", "mode": "required" if choice.required else "auto", "tools": tools}
    return choice.mode


_ENCODERS: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "instructions": lambda value: {"instructions": value},
    "tools": lambda tools: {"tools": [encode_tool(tool) for tool in tools] or None},
    "tool_choice": lambda choice: {"tool_choice": None if choice is None else _choice_value(choice)},
    "parallel_tool_calls": lambda value: {"parallel_tool_calls": value},
    "sampling": _encode_sampling,
    "output": _encode_output,
    "reasoning": _encode_reasoning,
    "metadata": lambda value: {"metadata": value},
    "hints": dict,
}
