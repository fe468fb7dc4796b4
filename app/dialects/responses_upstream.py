"""A create request, written for a provider that speaks Responses (client half).

A body that came in as Responses goes out as its own copy; what layers changed in the
canonical request since is written over it. Every call is stateless upstream: the gateway
keeps the state (docs/architecture.md). What the target's published request type lacks is
left out with a warning, or mapped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
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
from app.dialects.base import ClientContext, Encoded, ServerContext
from app.dialects.effort import effort_of
from app.dialects.losses import Losses
from app.dialects.reading import as_dict, as_list, count, dicts
from app.dialects.responses_echo import echo_tool_choice, flat_tool, max_output_tokens
from app.dialects.responses_items import NAME
from app.dialects.responses_request import (
    CHAT_MEMBERS,
    ENCRYPTED,
    LOGPROBS,
    decode_request,
    namespaces,
)
from app.dialects.responses_writing import ItemWriter, item_prefix

STATE_MEMBERS: Final = ("previous_response_id", "conversation", "background", "fallbacks")
"""Members that only the gateway acts on; never sent to a provider."""

ONLY_OPEN_RESPONSES: Final = frozenset({"presence_penalty", "frequency_penalty"})
"""Request members of Open Responses that OpenAI's and Azure's request types lack."""

REASONING_LOST: Final = "Reasoning that this model or account cannot read was left out."

_FEATURES: Final[Mapping[str, str]] = {
    "reasoning": "reasoning_effort",
    "top_logprobs": "top_logprobs",
    "max_output_tokens": "max_tokens",
}
_UNIQUE_ID: Final = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})
_MAX_ID: Final = 64
_USUAL_OUTPUT: Final = 32_000


@dataclass(frozen=True, slots=True)
class ResponsesOptions:
    """How a target's Responses API differs from OpenAI's.

    ``lacks`` names request members that its published type does not have (left out with a
    warning). ``min_output_tokens`` is the least ``max_output_tokens`` it takes.
    ``reasoning_models`` matches the models that reason (None: all may): for others
    ``reasoning`` is left out and encrypted reasoning not asked for;
    ``dropped_when_reasoning`` is left out for those that do. ``item_ids`` tells whether
    input items keep their ids, ``cache_control`` whether Anthropic's cache marks may stay,
    ``open_reasoning`` whether reasoning without encrypted content may go in (OpenAI refuses
    its text and looks its id up in a store we do not use), ``reasoning_budget`` whether
    ``reasoning.max_tokens`` is known.
    """

    lacks: frozenset[str] = CHAT_MEMBERS
    min_output_tokens: int = 16
    reasoning_models: re.Pattern[str] | None = None
    dropped_when_reasoning: frozenset[str] = frozenset()
    item_ids: bool = True
    cache_control: bool = False
    open_reasoning: bool = False
    reasoning_budget: bool = False

    def reasons(self, model: str) -> bool:
        """Tell whether ``model`` may be asked to reason."""
        return self.reasoning_models is None or self.reasoning_models.search(model) is not None


DEFAULT_OPTIONS: Final = ResponsesOptions()


def encode_request(request: Request, context: ClientContext) -> Encoded:
    """Return the create body for the target; losses go to ``context.losses``."""
    options = context.options or DEFAULT_OPTIONS
    native = request.origin is not None and request.origin.dialect == NAME
    body = _from_origin(request) if native else _from_canonical(request, context.losses)
    if context.model:
        body["model"] = context.model
    if not isinstance(body.get("input"), str):
        body["input"] = encode_input(request, context)
    body["stream"] = request.stream
    return Encoded(fit(body, options, context.losses))


def encode_input(request: Request, context: ClientContext) -> list[dict[str, Any]]:
    """Return the input items of a request's messages, foreign signatures left out."""
    messages = [_fitting(message, context.losses) for message in request.messages]
    writer = ItemWriter(_sealer(context), namespaces=namespaces(request.tools) or None)
    return writer.items(messages)


def _sealer(context: ClientContext) -> Callable[[Signature], str | None]:
    def seal(signature: Signature) -> str | None:
        if context.accepts(signature, NAME):
            return signature.value
        context.losses.report("reasoning_signature", REASONING_LOST)
        return None

    return seal


# --- messages --------------------------------------------------------------------------


def _fitting(message: Message, losses: Losses) -> Message:
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
    body: dict[str, Any] = {}
    for name, encoder in _ENCODERS.items():
        _write_over(body, encoder(getattr(request, name)))
    options = body.pop("web_search_options", None)
    if options is not None:
        body["tools"] = [*body.get("tools", ()), _web_search(as_dict(options))]
    for name in request.extra:
        losses.report(name)
    return body


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
    return {
        "max_output_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": sampling.logit_bias,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
        "n": sampling.n,
    }


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


def _encode_tools(tools: Iterable[Tool]) -> dict[str, Any]:
    return {"tools": [encode_tool(tool) for tool in tools] or None}


def encode_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool in its flat form; a function says ``strict``, whose default differs here."""
    native = dict(tool.native[1]) if tool.native is not None and tool.native[0] == NAME else {}
    native.pop("namespace", None)
    if tool.kind == "hosted":
        return native or {"type": tool.name}
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


# --- what the target takes -------------------------------------------------------------


def fit(body: Mapping[str, Any], options: ResponsesOptions, losses: Losses) -> dict[str, Any]:
    """Return ``body`` as the target takes it: stateless, without the tolerances of our door,
    and without what the target lacks (reported).

    Used by translation and by the pass alike. Raises GatewayError when a loss would change
    the answer.
    """
    sent = {k: v for k, v in body.items() if k not in STATE_MEMBERS and v is not None}
    _keep_house(sent)
    _ask_logprobs(sent)
    _leave_out(sent, options, losses)
    _fit_tokens(sent, options, losses)
    _fit_reasoning(sent, options, losses)
    sent["store"] = False
    if isinstance(sent.get("input"), list):
        sent["input"] = _fit_input(sent["input"], options, losses)
    if not options.cache_control and isinstance(sent.get("tools"), list):
        sent["tools"] = [_without_mark(tool) for tool in sent["tools"]]
    return sent


def _keep_house(sent: dict[str, Any]) -> None:
    """Undo what our door tolerates: chat nesting, ``any``, ``text.max_tokens``, include_usage."""
    if "tools" in sent:
        sent["tools"] = [flat_tool(tool) for tool in dicts(sent["tools"])]
    if "tool_choice" in sent:
        sent["tool_choice"] = echo_tool_choice(sent["tool_choice"])
    bound = max_output_tokens(sent)
    if bound is not None:
        sent["max_output_tokens"] = bound
    text = as_dict(sent.get("text"))
    if "max_tokens" in text:
        sent["text"] = {name: value for name, value in text.items() if name != "max_tokens"}
    streamed = as_dict(sent.get("stream_options"))
    kept = {name: value for name, value in streamed.items() if name != "include_usage"}
    sent.pop("stream_options", None)
    if kept and sent.get("stream"):
        sent["stream_options"] = kept
    if not sent.get("stream"):
        sent.pop("stream", None)


def _ask_logprobs(sent: dict[str, Any]) -> None:
    """Chat's ``logprobs`` (a boolean, or a number of alternatives) is an ``include`` here."""
    given = sent.pop("logprobs", None)
    if not given:
        return
    sent["include"] = [*as_list(sent.get("include")), LOGPROBS]
    if not isinstance(given, bool):
        sent.setdefault("top_logprobs", count(given))


def _leave_out(sent: dict[str, Any], options: ResponsesOptions, losses: Losses) -> None:
    if sent.get("n") == 1:
        del sent["n"]
    for name in [name for name in sent if name in options.lacks]:
        losses.report(_FEATURES.get(name, name), param=name)
        del sent[name]


def _fit_tokens(sent: dict[str, Any], options: ResponsesOptions, losses: Losses) -> None:
    bound = count(sent.get("max_output_tokens"))
    if bound is None or bound >= options.min_output_tokens:
        return
    least = sent["max_output_tokens"] = options.min_output_tokens
    losses.report(
        "max_tokens", f"'max_output_tokens' was raised to {least}, the least that the provider takes."
    )


def _fit_reasoning(sent: dict[str, Any], options: ResponsesOptions, losses: Losses) -> None:
    if not options.reasons(str(sent.get("model"))):
        if sent.pop("reasoning", None) is not None:
            losses.report(
                "reasoning_effort", "'reasoning' was left out: the model does not reason.", param="reasoning"
            )
        return
    for name in [name for name in sent if name in options.dropped_when_reasoning]:
        losses.report(name)
        del sent[name]
    include = as_list(sent.get("include"))
    if ENCRYPTED not in include:
        sent["include"] = [*include, ENCRYPTED]
    if not options.reasoning_budget:
        _fit_budget(sent, losses)


def _fit_budget(sent: dict[str, Any], losses: Losses) -> None:
    """Say a budget of thinking tokens as an effort."""
    reasoning = as_dict(sent.get("reasoning"))
    budget = reasoning.get("max_tokens")
    if not isinstance(budget, int):
        return
    kept = {name: value for name, value in reasoning.items() if name != "max_tokens"}
    effort = effort_of(budget, count(sent.get("max_output_tokens")) or _USUAL_OUTPUT)
    sent["reasoning"] = {"effort": effort, **kept}
    losses.report("reasoning_budget", f"A budget of thinking tokens was sent as effort '{effort}'.")


def _fit_input(items: Iterable[Any], options: ResponsesOptions, losses: Losses) -> list[Any]:
    """Leave out reasoning that the target could not read. Ids then go too: the target would
    miss the reasoning that it knows to belong to them."""
    given = list(items)
    kept = [item for item in given if not _is_unreadable(item, options.open_reasoning)]
    if len(kept) < len(given):
        losses.report("reasoning_signature", REASONING_LOST)
    with_ids = options.item_ids and len(kept) == len(given)
    return [_fit_item(item, options, with_ids, losses) for item in kept]


def _is_unreadable(item: Any, open_reasoning: bool) -> bool:
    """Tell whether a reasoning or compaction item lacks the cipher that it lives by."""
    kind = item.get("type") if isinstance(item, dict) else None
    if kind not in ("reasoning", "compaction") or item.get("encrypted_content"):
        return False
    return kind == "compaction" or not (open_reasoning and (item.get("content") or item.get("summary")))


def _fit_item(item: Any, options: ResponsesOptions, with_ids: bool, losses: Losses) -> Any:
    if not isinstance(item, dict):
        return item
    kind, item_id = item.get("type", "message"), item.get("id")
    fitted = dict(item)
    if isinstance(item_id, str) and kind in _UNIQUE_ID:
        foreign = not item_id.startswith(f"{item_prefix(kind)}_") or len(item_id) > _MAX_ID
        if foreign or not with_ids:
            del fitted["id"]
    if kind == "message" and fitted.pop("name", None) is not None:
        losses.report("message_name")
    content = fitted.get("content")
    if not options.cache_control and isinstance(content, list):
        fitted["content"] = [_without_mark(part) for part in content]
    return fitted


def _without_mark(value: Any) -> Any:
    """Leave out ``cache_control``: a mark for another vendor's cache, refused elsewhere."""
    if not isinstance(value, dict) or "cache_control" not in value:
        return value
    return {name: member for name, member in value.items() if name != "cache_control"}
