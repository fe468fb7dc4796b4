"""A create request, read: the client's body to a canonical Request (server half).

The body was shape-checked at the door (top level only), so everything below it is checked
here, in OpenAI's words. Unknown top-level members are kept in ``extra``.

Members: contract/responses.md 2; tolerances: contract/surfaces.md 4.
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
from app.dialects.responses.checks import check_input, expect
from app.dialects.responses.echo import conversation_id, echo_tool_choice, max_output_tokens
from app.dialects.responses.items_in import NAME, Sign, decode_item
from app.dialects.responses.tools_in import Names, decode_named, decode_tools, names_of, rename_entries
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, count, number, opt_str, rest

LOGPROBS: Final = "message.output_text.logprobs"
ENCRYPTED: Final = "reasoning.encrypted_content"

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
"""Members that go into ``Request.hints``, with the values that mean "nothing asked"."""

CHAT_MEMBERS: Final = frozenset(
    {
        "stop", "seed", "logit_bias", "logprobs", "n", "presence_penalty", "frequency_penalty",
        "top_k", "modalities", "audio", "prediction", "web_search_options",
    }
)  # fmt: skip
"""Members of chat completions that a Responses body may hold beside its own: they keep
their meaning where the target has it (contract/surfaces.md 3, TrueFoundry)."""

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

    Raises GatewayError ``bad_request`` with the client's own path, and ``not_found`` for an
    item reference that nobody resolved.
    """
    sign, names = _signer(context), names_of(body)
    return Request(
        model=opt_str(body.get("model")) or context.model or "",
        messages=tuple(_messages(body, sign, names)),
        instructions=opt_str(body.get("instructions")),
        tools=tuple(decode_tools(body, names)),
        tool_choice=decode_tool_choice(body.get("tool_choice"), names),
        parallel_tool_calls=_boolean(body, "parallel_tool_calls"),
        sampling=_sampling(body),
        output=_output(body),
        reasoning=_reasoning(body.get("reasoning")),
        stream=body.get("stream") is True,
        metadata=expect(body, "metadata", dict, "an object"),
        state=_state(body),
        hints=_hints(body),
        extra=rest(body, KNOWN),
        origin=Origin(NAME, body),
    )


def _signer(context: ServerContext) -> Sign:
    def sign(text: str) -> Signature:
        return context.unwrap(text) or Signature(text, NAME)

    return sign


def _messages(body: Mapping[str, Any], sign: Sign, names: Names) -> Iterator[Message]:
    for member in ("instructions", "input"):
        value = body.get(member)
        if isinstance(value, str):
            if member == "input":
                yield decode_item({"role": "user", "content": value}, sign)
            continue
        for item in check_input(value, member):
            if item.get("type") != "additional_tools":  # they are among the tools
                yield decode_named(item, sign, names)


def _boolean(body: Mapping[str, Any], name: str) -> bool | None:
    return expect(body, name, bool, "a boolean")


def _sampling(body: Mapping[str, Any]) -> Sampling:
    wanted = LOGPROBS in as_list(body.get("include"))
    logprobs = body.get("logprobs")
    top = count(body.get("top_logprobs"))
    if isinstance(logprobs, int | float) and not isinstance(logprobs, bool) and logprobs > 0:
        top = top or count(logprobs)
    wanted = wanted or bool(logprobs)
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
        logprobs=True if wanted else None,
        top_logprobs=top if wanted else None,
        n=count(body.get("n")),
    )


def _stop(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(text for text in as_list(value) if isinstance(text, str))


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _output(body: Mapping[str, Any]) -> Output:
    text = as_dict(expect(body, "text", dict, "an object"))
    format_ = as_dict(expect(text, "format", dict, "an object", path="text.format"))
    kind = opt_str(format_.get("type")) or "text"
    common: dict[str, Any] = {
        "verbosity": opt_str(text.get("verbosity")),
        "modalities": tuple(m for m in as_list(body.get("modalities")) if isinstance(m, str)),
        "audio": body["audio"] if isinstance(body.get("audio"), dict) else None,
    }
    if kind == "json_object":
        return Output(format="json", **common)
    if kind != "json_schema":
        return Output(**common)
    schema = {**as_dict(format_.get("json_schema")), **format_}
    return Output(
        format="schema",
        schema=as_dict(expect(schema, "schema", dict, "an object", path="text.format.schema")),
        name=opt_str(schema.get("name")),
        strict=schema["strict"] if isinstance(schema.get("strict"), bool) else None,
        description=opt_str(schema.get("description")),
        **common,
    )


_REASONING: Final = frozenset({"effort", "summary", "max_tokens", "generate_summary"})


def _reasoning(value: Any) -> Reasoning | None:
    reasoning = as_dict(expect({"reasoning": value}, "reasoning", dict, "an object"))
    if not reasoning:
        return None
    extras = rest(reasoning, _REASONING)
    return Reasoning(
        effort=opt_str(reasoning.get("effort")),
        budget=_integer(reasoning.get("max_tokens")),
        summary=opt_str(reasoning.get("summary")) or opt_str(reasoning.get("generate_summary")),
        native=(NAME, extras) if extras else None,
    )


def _state(body: Mapping[str, Any]) -> State:
    return State(
        store=_boolean(body, "store"),
        previous_response_id=opt_str(body.get("previous_response_id")),
        conversation=conversation_id(body.get("conversation")),
        background=_boolean(body, "background"),
    )


def _hints(body: Mapping[str, Any]) -> dict[str, Any]:
    hints = {
        name: body[name]
        for name, idle in _HINTS.items()
        if body.get(name) is not None and body[name] not in idle
    }
    include = [value for value in as_list(body.get("include")) if value not in (LOGPROBS, ENCRYPTED)]
    if include:
        hints["include"] = include
    return hints


# --- which of the tools -----------------------------------------------------------------


def decode_tool_choice(value: Any, names: Names) -> ToolChoice | None:
    """Return the canonical choice; None where the client left it to the server."""
    if value is None:
        return None
    choice = echo_tool_choice(value)
    if isinstance(choice, str):
        mode = choice if choice in ("auto", "none", "required") else "auto"
        return ToolChoice(mode)  # type: ignore[arg-type]
    kind = as_str(choice.get("type"))
    if kind == "allowed_tools":
        required = choice.get("mode") == "required"
        allowed = tuple(rename_entries(choice.get("tools"), names))
        return ToolChoice("allowed", allowed=allowed, required=required)
    if kind == "namespace":
        within = [{"type": "function", "name": name} for name in names.within(as_str(choice.get("name")))]
        return ToolChoice("allowed", allowed=tuple(within), required=True)
    if kind in ("function", "custom"):
        name = names.called(as_str(choice.get("name")), opt_str(choice.get("namespace")))
        return ToolChoice("named", name=name or None, kind=kind)  # type: ignore[arg-type]
    return ToolChoice("named", name=kind, kind="hosted", native=(NAME, choice))
