"""The canonical Request encoded for a chat-completions provider, by its ``ChatOptions``.

Each canonical feature becomes the provider's own member for it. Features without one are reported as
losses; their class decides whether that is a warning or a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from app.canonical.request import Output, Reasoning, Request, Tool, ToolChoice
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.chat.messages_out import MessageWriter
from app.dialects.chat.options import (
    KNOWN_MEMBERS,
    KNOWN_TOOL_MEMBERS,
    NAME,
    ChatOptions,
    as_native,
    own_members,
)
from app.dialects.chat.parts_out import filter_native, report
from app.dialects.shared.effort import ASSUMED_LIMIT, effort_of, nearest_effort
from app.dialects.shared.lenient_json import JSON, as_dict, rest, without_nulls
from app.dialects.shared.members import CACHE_MARKS, report_marks, report_members
from app.dialects.shared.sampling_paths import capped_temperature, sampling_members
from app.dialects.shared.tool_forms import custom_schema
from app.dialects.shared.tool_results import pair_results

_ANY_OBJECT: Final = {"type": "object", "properties": {}}
_NO_PREFERENCE: Final = "default"
"""The effort by which Groq's clients express no preference."""
_QUIET_INCLUDES: Final = frozenset({"reasoning.encrypted_content", "message.output_text.logprobs"})
_WEB_SEARCH: Final = "web_search"
_SUMMARY_DIALECTS: Final = frozenset({"chat", "responses"})  # those with a member for summaries
_MEMBERS: Final[Mapping[type, frozenset[str]]] = {object: CACHE_MARKS}  # ``report_marks`` reports these
_LIMIT_AND_SEED: Final = frozenset({"max_tokens", "seed"})
"""Sampling parameters whose member has another name at some providers."""


def encode_request(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body for the target of ``context``; raises ``unsupported_parameter`` if a loss would
    change the answer."""
    return EncodedRequest(_RequestWriter(pair_results(request, context.losses), context).write())


class _RequestWriter:
    def __init__(self, request: Request, context: ClientContext) -> None:
        self._request = request
        self._context = context
        self._options = context.options_as(ChatOptions)
        self._own = request.origin is None or request.origin.dialect == "chat"

    def write(self) -> JSON:
        request = self._request
        report_marks(request, NAME, self._context.losses)
        report_members(request, NAME, _MEMBERS, self._context.losses)
        body = {
            "model": self._context.model,
            "messages": MessageWriter(self._context, self._options).write(request),
            **self._sampling(),
            **self._tools(),
            **self._output(request.output),
            **self._reasoning(request.reasoning),
            **self._hints(),
            **self._stream(),
        }
        return {**body, **rest(self._extra(), frozenset(body))}

    def _select(self, members: Mapping[str, Any]) -> JSON:
        """Return the members that are set and that the provider has; report the others that are set."""
        result: JSON = {}
        for name, value in members.items():
            if value is None or value == ():
                continue
            if self._options.takes(name):
                result[name] = value
            else:
                self._context.losses.report(name, param=name if self._own else None)
        return result

    def _sampling(self) -> JSON:
        sampling, options = self._request.sampling, self._options
        body: JSON = {}
        if sampling.max_tokens is not None:
            body[options.max_tokens] = sampling.max_tokens
        if sampling.seed is not None and (options.seed != "seed" or options.takes("seed")):
            body[options.seed] = sampling.seed
        elif sampling.seed is not None:
            self._context.losses.report("seed")
        temperature = capped_temperature(sampling.temperature, options.temperature_max, self._context.losses)
        others = rest(sampling_members(sampling), _LIMIT_AND_SEED) | {"temperature": temperature}
        no_limit = (sampling.top_k or 0) < 0 and not options.open_members  # vLLM's -1, the default elsewhere
        defaults = {  # to drop a default value is no loss
            "top_k": no_limit,
            "logprobs": not sampling.logprobs and not options.takes("logprobs"),
            "top_logprobs": not sampling.logprobs and not options.takes("top_logprobs"),
            "n": sampling.n == 1 and not options.takes("n"),
        }
        return body | self._select({name: value for name, value in others.items() if not defaults.get(name)})

    def _tools(self) -> JSON:
        request, losses = self._request, self._context.losses
        choice = self._choice()
        tools = [
            body for tool in self._selected_tools() if (body := _TOOLS[tool.kind](self, tool)) is not None
        ]
        search = self._select({"web_search_options": self._search_options()})
        if not tools:
            if request.tools and request.tool_choice is not None and _forces_call(request.tool_choice):
                report(losses, "forced_tool")
            return search
        members = without_nulls({"tools": tools, "tool_choice": choice})
        return search | members | self._select({"parallel_tool_calls": request.parallel_tool_calls})

    def _selected_tools(self) -> Iterable[Tool]:
        """Return the tools to send: all, or those of the tool choice if the provider does not have its mode."""
        choice = self._request.tool_choice
        if choice is None or choice.mode in self._options.tool_choices:
            return self._request.tools
        names = {choice.name} if choice.mode == "named" else {tool.get("name") for tool in choice.allowed}
        selects = choice.mode == "none" or names != {None}
        return [tool for tool in self._request.tools if tool.name in names or not selects]

    def _choice(self) -> Any:
        choice = self._request.tool_choice
        if choice is None or choice.mode in self._options.tool_choices:
            return None if choice is None else self._write_choice(choice)
        return self._replace_choice(choice)

    def _replace_choice(self, choice: ToolChoice) -> str | None:
        """Return ``required``, with fewer tools, for a mode that the provider does not have."""
        forces = _forces_call(choice)
        has_required = "required" in self._options.tool_choices
        if (forces and not has_required) or (choice.mode == "named" and choice.kind == "hosted"):
            report(self._context.losses, "forced_tool")
        if choice.mode == "named":
            self._context.losses.report("tool_choice", "the forced tool was offered alone and made required")
        return "required" if forces else None

    def _write_choice(self, choice: ToolChoice) -> Any:
        if choice.mode == "allowed":
            tools = [_nest(self._write_reference(tool)) for tool in choice.allowed]
            mode = "required" if choice.required else "auto"
            return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
        if choice.mode != "named":
            return choice.mode
        if choice.kind != "hosted":
            kind = choice.kind if self._options.custom_tools else "function"
            return {"type": kind, kind: {"name": choice.name}}
        own = own_members(choice.native)
        if not own or not self._options.runs(choice.name or ""):
            report(self._context.losses, "forced_tool")
        return own

    def _write_reference(self, tool: Mapping[str, Any]) -> Mapping[str, Any]:
        free = tool.get("type") == "custom" and not self._options.custom_tools
        return {**tool, "type": "function"} if free else tool

    def _function(self, tool: Tool) -> JSON:
        options = self._options
        if tool.strict and not options.strict_tools:
            report(self._context.losses, "tool_strict")
        description, parameters = tool.description, tool.parameters
        if description is None and options.tool_description_required:
            description = ""
        if parameters is None and options.tool_parameters_required:
            parameters = _ANY_OBJECT
        strict = tool.strict if options.strict_tools else None
        function = {"name": tool.name, "description": description, "parameters": parameters, "strict": strict}
        members = own_members(tool.native)
        own = self._tool_members(as_dict(members.pop("function", None)))
        return {"type": "function", "function": without_nulls(function) | own, **self._tool_members(members)}

    def _tool_members(self, members: Mapping[str, Any]) -> JSON:
        native = as_native(members)
        return filter_native(
            native, self._options.tool_members, KNOWN_TOOL_MEMBERS, self._context, self._options
        )

    def _custom(self, tool: Tool) -> JSON:
        if not self._options.custom_tools:
            schema = custom_schema(tool, self._context.losses)
            return self._function(Tool("function", tool.name, tool.description, schema))
        form = None if tool.format is None else _nest_format(tool.format)
        members = {"name": tool.name, "description": tool.description, "format": form}
        return {"type": "custom", "custom": without_nulls(members)}

    def _write_hosted(self, tool: Tool) -> JSON | None:
        own = own_members(tool.native)
        if own and self._options.runs(tool.name):
            return own
        if not (self._options.web_search and tool.name.startswith(_WEB_SEARCH)):
            self._context.losses.report("hosted_tool", f"the hosted tool '{tool.name}' was left out")
        return None

    def _search_options(self) -> JSON | None:
        """Return ``web_search_options`` for a hosted web search, for providers that search by themselves."""
        if not self._options.web_search or "web_search_options" in self._request.hints:
            return None
        for tool in self._request.tools:
            if tool.kind == "hosted" and tool.name.startswith(_WEB_SEARCH) and tool.native is not None:
                members = tool.native[1]  # all dialects with this tool have these two members
                names = ("search_context_size", "user_location")
                return {name: members[name] for name in names if members.get(name)} or None
        return None

    def _output(self, output: Output) -> JSON:
        modalities, audio = self._modalities(output), self._audio(output)
        body = self._select({"verbosity": output.verbosity, "modalities": modalities, "audio": audio})
        if output.format == "json":
            body["response_format"] = self._json_format()
        elif output.format == "schema":
            body["response_format"] = self._schema_format(output)
        return body

    def _modalities(self, output: Output) -> list[str] | None:
        """Return the modalities, None for text alone if the provider does not have the member."""
        modalities = list(output.modalities)
        if modalities == ["audio"] and not self._own:
            modalities = ["text", "audio"]  # audio has a transcript here
        is_default = modalities == ["text"] and not self._options.takes("modalities")
        return None if is_default else modalities or None

    def _audio(self, output: Output) -> JSON | None:
        """Return ``audio``. For a request of another API, voice and format are filled in, which are required here.

        Source: ``ChatCompletionAudioParam`` of openai 3.51, read 2026-11-28. A stream must be pcm16.
        """
        if self._own or "audio" not in output.modalities:
            return dict(output.audio) if output.audio and self._own else None
        audio, losses = output.audio or {}, self._context.losses
        if audio.get("speakers"):
            losses.report("speakers", "this model speaks with one voice")
        if not audio.get("voice"):
            losses.report("voice", f"this model requires a voice; '{_VOICE}' was asked for")
        return {"voice": audio.get("voice") or _VOICE, "format": audio.get("format") or "pcm16"}

    def _json_format(self) -> JSON:
        if "json_object" in self._options.formats:
            return {"type": "json_object"}
        self._context.losses.report("output_json", "JSON mode was sent as a schema that accepts any object")
        return {"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object"}}}

    def _schema_format(self, output: Output) -> JSON:
        if "json_schema" not in self._options.formats:
            report(self._context.losses, "output_schema")
        members = {
            "name": output.name or "response",
            "description": output.description,
            "schema": output.schema,
            "strict": output.strict,
        }
        return {"type": "json_schema", "json_schema": without_nulls(members)}

    def _reasoning(self, reasoning: Reasoning | None) -> JSON:
        return {} if reasoning is None else _REASONINGS[self._options.reasoning](self, reasoning)

    def _no_reasoning(self, reasoning: Reasoning) -> JSON:
        if reasoning.effort is not None:
            self._context.losses.report("reasoning_effort", "the reasoning effort was left out")
        elif reasoning.budget is not None:
            self._context.losses.report("reasoning_budget", "the reasoning budget was left out")
        return self._no_summary(reasoning)

    def _no_summary(self, reasoning: Reasoning) -> JSON:
        """Report a summary if the client's dialect has a member for it; reasoning is shown in full anyway."""
        origin = self._request.origin
        if reasoning.summary is not None and (origin is None or origin.dialect in _SUMMARY_DIALECTS):
            self._context.losses.report("reasoning_summary")
        return {}

    def _effort(self, reasoning: Reasoning) -> JSON:
        self._no_summary(reasoning)
        return without_nulls({"reasoning_effort": self._effort_name(reasoning)})

    def _effort_name(self, reasoning: Reasoning) -> str | None:
        """Return the effort to send: the client's own, that of its budget, or the nearest one."""
        level, losses = reasoning.effort, self._context.losses
        efforts = self._options.efforts_for(self._context.model)
        if not efforts:
            if reasoning.budget:
                losses.report("reasoning_budget")
            if level not in (None, "none", _NO_PREFERENCE):
                losses.report("reasoning_effort")
            return None
        if level is None and reasoning.budget is not None and reasoning.budget >= 0:
            level = effort_of(reasoning.budget, self._request.sampling.max_tokens or ASSUMED_LIMIT)
            losses.report("reasoning_budget", f"the reasoning budget was sent as effort '{level}'")
        if level is None or level in efforts or self._options.open_members:
            return level
        if level == "none":
            losses.report("reasoning_effort", "reasoning cannot be turned off here")
        if level in ("none", _NO_PREFERENCE):
            return None
        effort = nearest_effort(level, [name for name in efforts if name != "none"])
        losses.report("reasoning_effort", f"the effort '{level}' was sent as '{effort}'")
        return effort

    def _object(self, reasoning: Reasoning) -> JSON:
        own = own_members(reasoning.native)
        effort = None if reasoning.effort is None else self._effort_name(reasoning)
        budget = reasoning.budget
        if budget == -1:
            budget = None
            own.setdefault("enabled", True)
        members = {"effort": effort, "max_tokens": budget, "summary": reasoning.summary}
        value = {**own, **without_nulls(members)}
        return {"reasoning": value} if value else {}

    def _hints(self) -> JSON:
        request = self._request
        hints = {name: value for name, value in request.hints.items() if name not in _GATEWAY_HINTS}
        for name, has_effect in _GATEWAY_HINTS.items():
            if has_effect(request.hints.get(name)):
                self._context.losses.report(name)
        tiers, tier = self._options.service_tiers, hints.get("service_tier")
        if tier is not None and tiers is not None and tier not in tiers:
            self._context.losses.report("service_tier")
            del hints["service_tier"]
        if not self._own:
            return self._select(hints)
        store = request.state.store if request.state.store or self._options.takes("store") else None
        metadata = dict(request.metadata) if request.metadata is not None else None
        return self._select({**hints, "metadata": metadata, "store": store})

    def _stream(self) -> JSON:
        if not self._request.stream:
            return {}
        own = self._request.extra.get("stream_options") if self._own else None
        options = {"stream_options": {**(own or {}), "include_usage": True}}
        return {"stream": True, **(options if self._options.takes("stream_options") else {})}

    def _extra(self) -> JSON:
        """Return unknown members unchanged if the client's body is a chat body; otherwise report them."""
        members: JSON = {}
        for name, value in rest(self._request.extra, frozenset({"stream_options"})).items():
            if self._own and (name not in KNOWN_MEMBERS or self._options.takes(name)):
                members[name] = value
            elif value is not None:
                self._context.losses.report_member(name)
        return without_nulls(members)


_TOOLS: Final[Mapping[str, Callable[[_RequestWriter, Tool], JSON | None]]] = {
    "function": _RequestWriter._function,
    "custom": _RequestWriter._custom,
    "hosted": _RequestWriter._write_hosted,
}

_REASONINGS: Final[Mapping[str, Callable[[_RequestWriter, Reasoning], JSON]]] = {
    "none": _RequestWriter._no_reasoning,
    "effort": _RequestWriter._effort,
    "object": _RequestWriter._object,
}

_VOICE: Final = "alloy"

_GATEWAY_HINTS: Final[Mapping[str, Callable[[Any], bool]]] = {
    # hints that chat completions do not have, with a test for values that have an effect
    "truncation": lambda value: value not in (None, "disabled"),
    "include": lambda value: bool(set(value or ()) - _QUIET_INCLUDES),
    "max_tool_calls": lambda value: value is not None,
    "context_management": bool,
    "prompt": bool,
}


def _forces_call(choice: ToolChoice) -> bool:
    return choice.mode in {"required", "named"} or choice.required


_TYPE: Final = frozenset({"type"})


def _nest(tool: Mapping[str, Any]) -> JSON:
    """Return an entry of ``allowed_tools``, nested as in chat completions."""
    kind = tool.get("type", "function")
    return {"type": kind, kind: rest(tool, _TYPE)} if kind in {"function", "custom"} else dict(tool)


def _nest_format(flat: Mapping[str, Any]) -> JSON:
    """Return the format of a custom tool, nested as in chat completions."""
    is_flat = flat.get("type") == "grammar" and "grammar" not in flat
    return {"type": "grammar", "grammar": rest(flat, _TYPE)} if is_flat else dict(flat)
