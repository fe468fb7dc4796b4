"""A client's Responses body decoded as the canonical Request (server half).

The surfaces check the top level of a body; everything below is checked here. Unknown members at the top
level remain in ``extra``. Source of members: OpenAI's API description (2026 edition).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.canonical.request import (
    Message,
    Origin,
    Output,
    Reasoning,
    Request,
    Sampling,
    Signature,
    State,
    ToolChoice,
)
from app.dialects.base import ServerContext
from app.dialects.responses.checks import check_input
from app.dialects.responses.echo import conversation_id, echo_tool_choice, max_output_tokens
from app.dialects.responses.items_in import NAME, Sign, decode_item
from app.dialects.responses.tools_in import Names, decode_input_item, decode_tools, names_of, rename_entries
from app.dialects.shared.lenient_json import (
    as_dict,
    as_list,
    as_str,
    count,
    number,
    opt_str,
    rest,
    without_nulls,
)
from app.dialects.shared.members import as_native
from app.dialects.shared.strict_json import ClientObject
from app.dialects.shared.unmapped_members import INCLUDES
from app.errors import GatewayError

LOGPROBS: Final = "message.output_text.logprobs"
ENCRYPTED: Final = "reasoning.encrypted_content"

_HONOURED: Final = (
    LOGPROBS,
    ENCRYPTED,
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
)
"""Values of ``include`` that are no hints: each has its own place, or the gateway shows what was sent anyway. The other
ones are about the results of tools that the provider runs, as ``max_tool_calls`` is."""

_HINTS: Final[Mapping[str, tuple[Any, ...]]] = {
    "service_tier": ("auto", "default"),
    "user": (),
    "safety_identifier": (),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "prompt_cache_options": (),
    "prediction": (),
    "web_search_options": (),
    "truncation": ("disabled",),
    "max_tool_calls": (),
    "moderation": (),
    "context_management": (),
    "prompt": (),
}
"""Members that go into ``Request.hints``, with the values that are defaults."""

CHAT_MEMBERS: Final = frozenset(
    {
        "stop", "seed", "logit_bias", "logprobs", "n", "presence_penalty", "frequency_penalty",
        "top_k", "modalities", "audio", "prediction", "web_search_options",
    }
)  # fmt: skip
"""Members of chat completions that a Responses body may have on TrueFoundry's surface; targets that are
called by chat completions support them."""

KNOWN: Final = (
    frozenset(
        {
            "model", "input", "instructions", "previous_response_id", "conversation",
            "max_output_tokens", "max_tool_calls", "temperature", "top_p", "top_logprobs", "tools",
            "tool_choice", "parallel_tool_calls", "text", "reasoning", "include", "store",
            "background", "stream", "stream_options", "metadata", "fallbacks",
        }
    )
    | frozenset(_HINTS)
    | CHAT_MEMBERS
)  # fmt: skip


def decode_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return the canonical request of a Responses body.

    Raises GatewayError ``bad_request`` with the path of a wrong member, and ``not_found`` for an item
    reference.
    """
    refuse_several(body)
    members = ClientObject(body)
    sign, names = _signer(context), names_of(body)
    tools = tuple(decode_tools(body, names))
    return Request(
        model=opt_str(body.get("model")) or context.model or "",
        messages=tuple(_messages(body, sign, names)),
        instructions=opt_str(body.get("instructions")),
        tools=tools,
        tool_choice=decode_tool_choice(body.get("tool_choice"), names),
        parallel_tool_calls=members.flag("parallel_tool_calls"),
        sampling=_sampling(body),
        output=_output(members),
        reasoning=_reasoning(members),
        stream=body.get("stream") is True,
        metadata=members.mapping("metadata"),
        state=_state(members),
        hints=_hints(body, hosted=any(tool.kind == "hosted" for tool in tools)),
        extra=without_nulls(rest(body, KNOWN)),
        origin=Origin(NAME, body),
    )


def refuse_several(body: Mapping[str, Any]) -> None:
    """Raise GatewayError ``bad_request`` if the body requests several choices: an answer in this form has one."""
    n = body.get("n")
    if isinstance(n, int) and not isinstance(n, bool) and n > 1:
        raise GatewayError(
            "bad_request",
            f"Invalid 'n': integer above maximum value. Expected a value <= 1, but got {n} instead.",
            param="n",
            code="integer_above_max_value",
        )


def _signer(context: ServerContext) -> Sign:
    return lambda text: context.unwrap(text) or Signature(text, NAME)


def _messages(body: Mapping[str, Any], sign: Sign, names: Names) -> Iterator[Message]:
    for member in ("instructions", "input"):
        value = body.get(member)
        if isinstance(value, str):
            if member == "input":
                yield decode_item({"role": "user", "content": value}, sign)
            continue
        for item in check_input(value, member):
            if item.get("type") != "additional_tools":  # ``decode_tools`` decodes those
                yield decode_input_item(item, sign, names)


def _sampling(body: Mapping[str, Any]) -> Sampling:
    logprobs = body.get("logprobs")  # chat's boolean, or a number of alternatives
    wants_logprobs = bool(logprobs) or LOGPROBS in as_list(body.get("include"))
    top = count(body.get("top_logprobs"))
    if (number(logprobs) or 0) > 0:
        top = top or count(logprobs)
    bias = body.get("logit_bias")
    return Sampling(
        max_tokens=max_output_tokens(body),
        temperature=number(body.get("temperature")),
        top_p=number(body.get("top_p")),
        top_k=_integer(body.get("top_k")),
        stop=_stop(body.get("stop")),
        seed=_integer(body.get("seed")),
        presence_penalty=number(body.get("presence_penalty")),
        frequency_penalty=number(body.get("frequency_penalty")),
        logit_bias=bias if isinstance(bias, dict) and bias else None,
        logprobs=True if wants_logprobs else None,
        top_logprobs=top if wants_logprobs else None,
        n=count(body.get("n")),
    )


def _stop(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(text for text in as_list(value) if isinstance(text, str))


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _output(request: ClientObject) -> Output:
    body, nothing = request.members, ClientObject({})
    text = request.object("text") or nothing
    form = (text.object("format") or nothing).members
    kind = opt_str(form.get("type")) or "text"
    common: dict[str, Any] = {
        "verbosity": opt_str(text.members.get("verbosity")),
        "modalities": tuple(m for m in as_list(body.get("modalities")) if isinstance(m, str)),
        "audio": body["audio"] if isinstance(body.get("audio"), dict) else None,
    }
    if kind == "json_object":
        return Output(format="json", **common)
    if kind != "json_schema":
        return Output(**common)
    members = {**as_dict(form.get("json_schema")), **form}
    return Output(
        format="schema",
        schema=ClientObject(members, "text.format").mapping("schema") or {},
        name=opt_str(members.get("name")),
        strict=members["strict"] if isinstance(members.get("strict"), bool) else None,
        description=opt_str(members.get("description")),
        **common,
    )


_REASONING: Final = frozenset({"effort", "summary", "max_tokens", "generate_summary"})


def _reasoning(request: ClientObject) -> Reasoning | None:
    reasoning = request.mapping("reasoning")
    if not reasoning:
        return None
    return Reasoning(
        effort=opt_str(reasoning.get("effort")),
        budget=_integer(reasoning.get("max_tokens")),
        summary=opt_str(reasoning.get("summary")) or opt_str(reasoning.get("generate_summary")),
        native=as_native(NAME, rest(reasoning, _REASONING)),
    )


def _state(request: ClientObject) -> State:
    return State(
        store=request.flag("store"),
        previous_response_id=opt_str(request.members.get("previous_response_id")),
        conversation=conversation_id(request.members.get("conversation")),
        background=request.flag("background"),
    )


def _hints(body: Mapping[str, Any], *, hosted: bool) -> dict[str, Any]:
    """Return the hints that have an effect or that nobody knows; ``hosted``: the provider may run tools."""
    hints = {
        name: body[name]
        for name, defaults in _HINTS.items()
        if body.get(name) is not None and body[name] not in defaults
    }
    include = [value for value in as_list(body.get("include")) if value not in _HONOURED]
    if include and (hosted or any(value not in INCLUDES for value in include)):
        hints["include"] = include
    if not hosted:
        hints.pop("max_tool_calls", None)
    return hints


# --- tool choice ------------------------------------------------------------------------


def decode_tool_choice(value: Any, names: Names) -> ToolChoice | None:
    """Return the canonical tool choice, None if the client set none."""
    if value is None:
        return None
    choice = echo_tool_choice(value)
    if isinstance(choice, str):
        mode = choice if choice in ("auto", "none", "required") else "auto"
        return ToolChoice(mode)  # type: ignore[arg-type]
    kind = as_str(choice.get("type"))
    if kind == "allowed_tools":
        tools = tuple(rename_entries(choice.get("tools"), names))
        return ToolChoice("allowed", allowed=tools, required=choice.get("mode") == "required")
    if kind == "namespace":
        return ToolChoice("allowed", allowed=tuple(rename_entries([choice], names)), required=True)
    if kind in ("function", "custom"):
        name = names.name_of_call(as_str(choice.get("name")), opt_str(choice.get("namespace")))
        return ToolChoice("named", name=name or None, kind=kind)  # type: ignore[arg-type]
    return ToolChoice("named", name=kind, kind="hosted", native=(NAME, choice))
