"""A create request, written for a provider that speaks Responses (client half).

A body that came in as Responses goes out as its own copy; what layers changed in the
canonical request since is written over it. Every call is stateless upstream: the gateway
keeps the state (docs/architecture.md). What the target's published request type lacks is
left out with a warning, or mapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    FilePart,
    Message,
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
from app.dialects.responses.compatibility import DEFAULT_OPTIONS, REASONING_LOST, ResponsesOptions, fit
from app.dialects.responses.echo import flat_tool
from app.dialects.responses.items_in import NAME
from app.dialects.responses.items_out import ItemWriter
from app.dialects.responses.request_in import (
    decode_request,
)
from app.dialects.responses.tools_in import brought_tools, places_of
from app.dialects.shared.lenient_json import as_dict, as_list
from app.dialects.shared.losses import Losses
from app.dialects.shared.sampling import sampling_members

HOSTED_TOOLS: Final = frozenset(
    {
        "web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11",
        "file_search", "code_interpreter", "image_generation", "mcp", "computer", "computer_use_preview",
        "local_shell", "shell", "apply_patch", "tool_search", "programmatic_tool_calling",
    }
)  # fmt: skip
"""Types of the tools that the API runs itself (contract/responses.md 2.3)."""

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
"""Members of the counter's request type (``TokenCountsBody``) that a stateless call has."""


def encode_request(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the create body for the target; losses go to ``context.losses``."""
    options = context.options or DEFAULT_OPTIONS
    native = request.origin is not None and request.origin.dialect == NAME
    body = _from_origin(request) if native else _from_canonical(request, context.losses)
    if context.model:
        body["model"] = context.model
    if not isinstance(body.get("input"), str):
        body["input"] = encode_input(request, context)
    body["stream"] = request.stream
    return EncodedRequest(fit(body, options, context.losses))


def encode_count(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body that has a prompt's tokens counted (``/responses/input_tokens``)."""
    body = encode_request(request, context).body
    return EncodedRequest({name: value for name, value in body.items() if name in _COUNTED})


def encode_input(request: Request, context: ClientContext) -> list[dict[str, Any]]:
    """Return the input items of a request's messages, foreign signatures left out."""
    messages = [_fit(message, context.losses) for message in request.messages]
    writer = ItemWriter(_sealer(context), places=places_of(request.tools) or None)
    return writer.items(messages)


def _sealer(context: ClientContext) -> Callable[[Signature], str | None]:
    def seal(signature: Signature) -> str | None:
        if context.accepts(signature, NAME):
            return signature.value
        context.losses.report("reasoning_signature", REASONING_LOST)
        return None

    return seal


# --- messages --------------------------------------------------------------------------


def _fit(message: Message, losses: Losses) -> Message:
    """Report what Responses items cannot say; hosted items of other dialects are left out."""
    if message.name is not None:
        losses.report("message_name")
    for part in message.parts:
        _report_part(part, losses)
    return message


def _report_part(part: Part, losses: Losses) -> None:
    if isinstance(part, AudioPart):
        losses.report("audio")
    elif isinstance(part, OpaquePart) and part.native[0] != NAME:
        losses.report("hosted_item", f"A '{part.type}' block of another API was left out.", param="input")
    elif isinstance(part, ToolResultPart):
        for piece in part.content:
            _report_part(piece, losses)
    elif isinstance(part, FilePart) and part.text is not None and part.data is None:
        losses.report("file_form", "A text document was sent as plain text.", param="input")


# --- a Responses body out of its own copy ----------------------------------------------


def _from_origin(request: Request) -> dict[str, Any]:
    """Return the client's body with what changed since it was decoded written over it."""
    assert request.origin is not None
    body = dict(request.origin.body)
    before = decode_request(body, ServerContext(new_id=_no_id, now=0, model=request.model))
    brought = brought_tools(body)
    if brought:  # their items are gone from the messages
        body["tools"] = [*as_list(body.get("tools")), *brought]
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


def _no_id(prefix: str) -> str:
    return prefix


def _write_over(body: dict[str, Any], members: Mapping[str, Any]) -> None:
    for name, value in members.items():
        if value is None:
            body.pop(name, None)
        else:
            body[name] = value


# --- a Responses body out of canonical -------------------------------------------------


def _from_canonical(request: Request, losses: Losses) -> dict[str, Any]:
    """Return a new body; members of the client's API that no Responses body has are reported."""
    request = replace(request, tools=tuple(tool for tool in request.tools if _is_run_here(tool, losses)))
    _check_forced(request, losses)
    body: dict[str, Any] = {}
    for name, encoder in _ENCODERS.items():
        _write_over(body, encoder(getattr(request, name)))
    options = body.pop("web_search_options", None)
    if options is not None:
        body["tools"] = [*body.get("tools", ()), _web_search(as_dict(options))]
    for name in request.extra:
        losses.report(name)
    return body


def _is_run_here(tool: Tool, losses: Losses) -> bool:
    """Tell whether this API runs a hosted tool of another one, which it does by its type's name."""
    if tool.kind != "hosted" or tool.name in HOSTED_TOOLS:
        return True
    losses.report("hosted_tool", f"The hosted tool '{tool.name}' was left out: the provider does not run it.")
    return False


def _check_forced(request: Request, losses: Losses) -> None:
    choice = request.tool_choice
    if choice is None or choice.mode != "named" or choice.kind != "hosted":
        return
    if not any(tool.name == choice.name for tool in request.tools):
        losses.report("forced_tool", f"The forced tool '{choice.name}' is not run by the provider.")


def _web_search(options: Mapping[str, Any]) -> dict[str, Any]:
    """Chat's ``web_search_options`` is the hosted tool here; its location is nested once more."""
    place = as_dict(options.get("user_location"))
    tool: dict[str, Any] = {"type": "web_search"}
    if options.get("search_context_size") is not None:
        tool["search_context_size"] = options["search_context_size"]
    if place:
        tool["user_location"] = {"type": "approximate", **as_dict(place.get("approximate"))}
    return tool


def _encode_sampling(sampling: Sampling) -> dict[str, Any]:
    members = sampling_members(sampling)
    return {"max_output_tokens": members.pop("max_tokens"), **members}


def _encode_output(output: Output) -> dict[str, Any]:
    text: dict[str, Any] = {}
    if output.format != "text":
        text["format"] = _format(output)
    if output.verbosity is not None:
        text["verbosity"] = output.verbosity
    spoken = [mode for mode in output.modalities if mode != "text"]
    return {"text": text or None, "modalities": spoken or None, "audio": output.audio}


def _format(output: Output) -> dict[str, Any]:
    if output.format == "json":
        return {"type": "json_object"}
    form: dict[str, Any] = {"type": "json_schema", "name": output.name or "response", "schema": output.schema}
    if output.strict is not None:
        form["strict"] = output.strict
    if output.description is not None:
        form["description"] = output.description
    return form


def _encode_reasoning(reasoning: Reasoning | None) -> dict[str, Any]:
    if reasoning is None:
        return {"reasoning": None}
    members = {"effort": reasoning.effort, "summary": reasoning.summary, "max_tokens": reasoning.budget}
    native = reasoning.native[1] if reasoning.native is not None and reasoning.native[0] == NAME else {}
    return {"reasoning": {k: v for k, v in {**native, **members}.items() if v is not None} or None}


_FLAT: Final = frozenset({NAME, "chat"})
"""Dialects whose hosted tools are objects of this wire."""


def _encode_tools(tools: Iterable[Tool]) -> dict[str, Any]:
    return {"tools": [encode_tool(tool) for tool in tools] or None}


def encode_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool in its flat form; a function says ``strict``, whose default differs here."""
    if tool.kind == "hosted":
        flat = tool.native is not None and tool.native[0] in _FLAT
        return {**(tool.native[1] if flat and tool.native else {}), "type": tool.name}
    native = dict(tool.native[1]) if tool.native is not None and tool.native[0] == NAME else {}
    native.pop("namespace", None)
    if "tool_search" in native:
        return dict(native["tool_search"])
    body: dict[str, Any] = {"type": tool.kind, "name": tool.name}
    if tool.description is not None:
        body["description"] = tool.description
    if tool.kind == "custom":
        return {**body, **({"format": tool.format} if tool.format else {}), **native}
    body["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {**body, "strict": bool(tool.strict), **native}


def _encode_tool_choice(choice: ToolChoice | None) -> dict[str, Any]:
    if choice is None:
        return {"tool_choice": None}
    if choice.mode == "named":
        if choice.kind == "hosted":
            return {"tool_choice": dict(choice.native[1]) if choice.native else {"type": choice.name}}
        return {"tool_choice": {"type": choice.kind, "name": choice.name}}
    if choice.mode == "allowed":
        mode = "required" if choice.required else "auto"
        tools = [flat_tool(tool) for tool in choice.allowed]
        return {"tool_choice": {"type": "allowed_tools", "mode": mode, "tools": tools}}
    return {"tool_choice": choice.mode}


_ENCODERS: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "instructions": lambda value: {"instructions": value},
    "tools": _encode_tools,
    "tool_choice": _encode_tool_choice,
    "parallel_tool_calls": lambda value: {"parallel_tool_calls": value},
    "sampling": _encode_sampling,
    "output": _encode_output,
    "reasoning": _encode_reasoning,
    "metadata": lambda value: {"metadata": value},
    "hints": dict,
}


__all__ = ["DEFAULT_OPTIONS", "ResponsesOptions", "encode_request", "fit"]
