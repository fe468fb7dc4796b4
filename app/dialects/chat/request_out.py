"""The canonical Request written for a chat-completions wire, by its ``ChatOptions``.

Each canonical feature becomes the member that the wire has for it; what it lacks is
reported through the losses, whose table says whether that is a warning or a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from app.canonical.request import Output, Reasoning, Request, Tool, ToolChoice
from app.dialects.base import ClientContext, EncodedRequest
from app.dialects.chat.losses import report
from app.dialects.chat.messages_out import MessageWriter
from app.dialects.chat.native import NAME, as_native, own_members
from app.dialects.chat.options import KNOWN_MEMBERS, KNOWN_TOOL_MEMBERS, ChatOptions
from app.dialects.chat.parts_out import admitted
from app.dialects.shared.effort import ASSUMED_LIMIT, effort_of, nearest_effort
from app.dialects.shared.lenient_json import as_dict, rest
from app.dialects.shared.members import CACHE_MARKS, report_marks, report_members
from app.dialects.shared.sampling import sampling_members
from app.dialects.shared.tool_forms import custom_schema
from app.dialects.shared.tool_results import pair_results

Json = dict[str, Any]

_DEFAULTS: Final = ChatOptions()
_ANY_OBJECT: Final = {"type": "object", "properties": {}}
_UNSAID: Final = "default"
"""The effort that asks for none in particular: a word of Groq's."""
_QUIET_INCLUDES: Final = frozenset({"reasoning.encrypted_content", "message.output_text.logprobs"})
_WEB_SEARCH: Final = "web_search"
_SUMMARIZED: Final = frozenset({"chat", "responses"})  # dialects that ask for summaries by name
_TAKES: Final[Mapping[type, frozenset[str]]] = {object: CACHE_MARKS}  # told by ``report_marks``, once
_LIMIT_AND_SEED: Final = frozenset({"max_tokens", "seed"})
"""Sampling whose member has another name on some wires."""


def encode_request(request: Request, context: ClientContext) -> EncodedRequest:
    """Return the body of a chat-completions call for the target of ``context``.

    Raises ``unsupported_parameter`` where a loss would change the answer.
    """
    return EncodedRequest(_RequestWriter(pair_results(request, context.losses), context).write())


class _RequestWriter:
    def __init__(self, request: Request, context: ClientContext) -> None:
        self._request = request
        self._context = context
        self._options: ChatOptions = context.options or _DEFAULTS
        self._own = request.origin is None or request.origin.dialect == "chat"

    def write(self) -> Json:
        request = self._request
        report_marks(request, NAME, self._context.losses)
        report_members(request, NAME, _TAKES, self._context.losses)
        body: Json = {"model": self._context.model}
        body["messages"] = MessageWriter(self._context, self._options).write(request)
        body |= self._sampling()
        body |= self._tools()
        body |= self._output(request.output)
        body |= self._reasoning(request.reasoning)
        body |= self._hints()
        body |= self._stream()
        for name, value in self._extra().items():
            body.setdefault(name, value)
        return body

    def _take(self, members: Mapping[str, Any]) -> Json:
        """Return the members that are given and known to the wire; report the others."""
        taken: Json = {}
        for name, value in members.items():
            if value is None or value == ():
                continue
            if self._options.takes(name):
                taken[name] = value
            else:
                self._context.losses.report(name, param=name if self._own else None)
        return taken

    def _sampling(self) -> Json:
        sampling, options = self._request.sampling, self._options
        body: Json = {}
        if sampling.max_tokens is not None:
            body[options.max_tokens] = sampling.max_tokens
        if sampling.seed is not None and (options.seed != "seed" or options.takes("seed")):
            body[options.seed] = sampling.seed
        elif sampling.seed is not None:
            self._context.losses.report("seed")
        others = rest(sampling_members(sampling), _LIMIT_AND_SEED)
        others["temperature"] = self._temperature()
        if (sampling.top_k or 0) < 0 and not options.open_members:
            others["top_k"] = None  # vLLM's word for no limit, which is the others' default
        # a default that the wire does not know is no loss
        silent = {
            "logprobs": not sampling.logprobs,
            "top_logprobs": not sampling.logprobs,
            "n": sampling.n == 1,
        }
        for name, is_default in silent.items():
            if is_default and not options.takes(name):
                others[name] = None
        return body | self._take(others)

    def _temperature(self) -> float | None:
        value, most = self._request.sampling.temperature, self._options.temperature_max
        if value is None or value <= most:
            return value
        self._context.losses.report("temperature", f"'temperature' {value} was lowered to {most:g}")
        return most

    def _tools(self) -> Json:
        choice = self._choice()
        tools = [written for tool in self._offered_tools() if (written := self._tool(tool)) is not None]
        body = self._take({"web_search_options": self._search_options()})
        if not tools:
            self._refuse_forced()
            return body
        body["tools"] = tools
        if choice is not None:
            body["tool_choice"] = choice
        return body | self._take({"parallel_tool_calls": self._request.parallel_tool_calls})

    def _refuse_forced(self) -> None:
        """A call that must be made of tools that were all left out."""
        choice = self._request.tool_choice
        must = choice is not None and (choice.mode in {"required", "named"} or choice.required)
        if must and self._request.tools:
            report(self._context.losses, "forced_tool")

    def _offered_tools(self) -> Iterable[Tool]:
        """The tools to send: all, or those that the choice leaves where the wire cannot say it."""
        choice, known = self._request.tool_choice, self._options.tool_choices
        if choice is None or choice.mode in known:
            return self._request.tools
        if choice.mode == "none":
            return ()
        names = {choice.name} if choice.mode == "named" else {tool.get("name") for tool in choice.allowed}
        return (
            [tool for tool in self._request.tools if tool.name in names]
            if names != {None}
            else self._request.tools
        )

    def _choice(self) -> Any:
        choice = self._request.tool_choice
        if choice is None:
            return None
        known = self._options.tool_choices
        if choice.mode not in known:
            return self._replace_choice(choice, known)
        return self._write_choice(choice)

    def _replace_choice(self, choice: ToolChoice, known: frozenset[str]) -> str | None:
        """Say with ``required`` (over fewer tools) what the wire has no word for."""
        must = choice.mode in {"required", "named"} or choice.required
        if must and "required" not in known:
            report(self._context.losses, "forced_tool")
        if choice.mode == "named" and choice.kind == "hosted":
            report(self._context.losses, "forced_tool")
        if choice.mode == "named":
            self._context.losses.report("tool_choice", "the forced tool was offered alone and made required")
        return "required" if must else None

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
        if not own or not self._runs(choice.name or ""):
            report(self._context.losses, "forced_tool")
        return own

    def _write_reference(self, tool: Mapping[str, Any]) -> Mapping[str, Any]:
        free = tool.get("type") == "custom" and not self._options.custom_tools
        return {**tool, "type": "function"} if free else tool

    def _tool(self, tool: Tool) -> Json | None:
        writer = _TOOLS[tool.kind]
        return writer(self, tool)

    def _function(self, tool: Tool) -> Json:
        function: Json = {"name": tool.name}
        if tool.description is not None or self._options.tool_description_required:
            function["description"] = tool.description or ""
        if tool.parameters is not None:
            function["parameters"] = dict(tool.parameters)
        elif self._options.tool_parameters_required:
            function["parameters"] = dict(_ANY_OBJECT)
        if tool.strict is not None and self._options.strict_tools:
            function["strict"] = tool.strict
        elif tool.strict:
            report(self._context.losses, "tool_strict")
        members = own_members(tool.native)
        function |= self._tool_members(as_dict(members.pop("function", None)))
        return {"type": "function", "function": function, **self._tool_members(members)}

    def _tool_members(self, members: Mapping[str, Any]) -> Json:
        native = as_native(members)
        return admitted(native, self._options.tool_members, KNOWN_TOOL_MEMBERS, self._context, self._options)

    def _custom(self, tool: Tool) -> Json:
        if not self._options.custom_tools:
            schema = custom_schema(tool, self._context.losses)
            return self._function(Tool("function", tool.name, tool.description, schema))
        custom: Json = {"name": tool.name}
        if tool.description is not None:
            custom["description"] = tool.description
        if tool.format is not None:
            custom["format"] = _nest_format(tool.format)
        return {"type": "custom", "custom": custom}

    def _write_hosted(self, tool: Tool) -> Json | None:
        own = own_members(tool.native)
        if own and self._runs(tool.name):
            return own
        if not (self._options.web_search and tool.name.startswith(_WEB_SEARCH)):
            self._context.losses.report("hosted_tool", f"the hosted tool '{tool.name}' was left out")
        return None

    def _runs(self, kind: str) -> bool:
        return self._options.runs(kind)

    def _search_options(self) -> Json | None:
        """What a hosted web search asks for, where the wire searches by itself."""
        if not self._options.web_search or "web_search_options" in self._request.hints:
            return None
        for tool in self._request.tools:
            if tool.kind == "hosted" and tool.name.startswith(_WEB_SEARCH) and tool.native is not None:
                members = tool.native[1]  # the same two words in every dialect that has the tool
                wanted = ("search_context_size", "user_location")
                return {name: members[name] for name in wanted if members.get(name)} or None
        return None

    def _output(self, output: Output) -> Json:
        body = self._take(
            {
                "verbosity": output.verbosity,
                "modalities": self._modalities(output),
                "audio": self._audio(output),
            }
        )
        if output.format == "json":
            body["response_format"] = self._json_format()
        elif output.format == "schema":
            body["response_format"] = self._schema_format(output)
        return body

    def _modalities(self, output: Output) -> list[str] | None:
        """Text alone is what every wire gives, so it need not be said."""
        wanted = list(output.modalities)
        if wanted == ["audio"] and not self._own:
            wanted = ["text", "audio"]  # sound comes with its transcript here
        return None if wanted == ["text"] and not self._options.takes("modalities") else wanted or None

    def _audio(self, output: Output) -> Json | None:
        """Return ``audio``; of another API's request with the voice and format that it must have here.

        Source: ``ChatCompletionAudioParam`` of openai 3.51, read 2026-11-28; a stream is pcm16 only.
        """
        if self._own or "audio" not in output.modalities:
            return dict(output.audio) if output.audio and self._own else None
        wanted, losses = output.audio or {}, self._context.losses
        if wanted.get("speakers"):
            losses.report("speakers", "this model speaks with one voice")
        if not wanted.get("voice"):
            losses.report("voice", f"this model must be told a voice; '{_VOICE}' was asked for")
        return {"voice": wanted.get("voice") or _VOICE, "format": wanted.get("format") or "pcm16"}

    def _json_format(self) -> Json:
        if "json_object" in self._options.formats:
            return {"type": "json_object"}
        self._context.losses.report("output_json", "JSON mode was asked for by a schema of any object")
        return {"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object"}}}

    def _schema_format(self, output: Output) -> Json:
        if "json_schema" not in self._options.formats:
            report(self._context.losses, "output_schema")
        schema: Json = {"name": output.name or "response"}
        if output.description is not None:
            schema["description"] = output.description
        if output.schema is not None:
            schema["schema"] = dict(output.schema)
        if output.strict is not None:
            schema["strict"] = output.strict
        return {"type": "json_schema", "json_schema": schema}

    def _reasoning(self, reasoning: Reasoning | None) -> Json:
        return {} if reasoning is None else _REASONINGS[self._options.reasoning](self, reasoning)

    def _no_reasoning(self, reasoning: Reasoning) -> Json:
        if reasoning.effort is not None:
            self._context.losses.report("reasoning_effort", "the reasoning effort was left out")
        elif reasoning.budget is not None:
            self._context.losses.report("reasoning_budget", "the reasoning budget was left out")
        return self._no_summary(reasoning)

    def _no_summary(self, reasoning: Reasoning) -> Json:
        """A summary is lost where it was asked for by that name; thoughts are shown as they are."""
        origin = self._request.origin
        if reasoning.summary is not None and (origin is None or origin.dialect in _SUMMARIZED):
            self._context.losses.report("reasoning_summary")
        return {}

    def _effort(self, reasoning: Reasoning) -> Json:
        self._no_summary(reasoning)
        effort = self._effort_word(reasoning)
        return {} if effort is None else {"reasoning_effort": effort}

    def _effort_word(self, reasoning: Reasoning) -> str | None:
        wanted = reasoning.effort
        efforts = self._options.efforts_for(self._context.model)
        if not efforts:
            if reasoning.budget:
                self._context.losses.report("reasoning_budget")
            if wanted not in (None, "none", _UNSAID):
                self._context.losses.report("reasoning_effort")
            return None
        if wanted is None and reasoning.budget is not None and reasoning.budget >= 0:
            wanted = effort_of(reasoning.budget, self._request.sampling.max_tokens or ASSUMED_LIMIT)
            warning = f"the reasoning budget was asked for as effort '{wanted}'"
            self._context.losses.report("reasoning_budget", warning)
        if wanted is None or wanted in efforts or self._options.open_members:
            return wanted
        if wanted == _UNSAID:
            return None
        if wanted == "none":
            self._context.losses.report("reasoning_effort", "reasoning cannot be turned off here")
            return None
        effort = nearest_effort(wanted, [name for name in efforts if name != "none"])
        self._context.losses.report("reasoning_effort", f"the effort '{wanted}' was asked for as '{effort}'")
        return effort

    def _object(self, reasoning: Reasoning) -> Json:
        own = own_members(reasoning.native)
        effort = None if reasoning.effort is None else self._effort_word(reasoning)
        members = {"effort": effort, "max_tokens": reasoning.budget, "summary": reasoning.summary}
        if reasoning.budget == -1:
            members["max_tokens"] = None
            own.setdefault("enabled", True)
        value = {**own, **{name: item for name, item in members.items() if item is not None}}
        return {"reasoning": value} if value else {}

    def _hints(self) -> Json:
        request = self._request
        hints = {name: value for name, value in request.hints.items() if name not in _GATEWAY_HINTS}
        for name, asks in _GATEWAY_HINTS.items():
            if asks(request.hints.get(name)):
                self._context.losses.report(name)
        tiers, tier = self._options.service_tiers, hints.get("service_tier")
        if tier is not None and tiers is not None and tier not in tiers:
            self._context.losses.report("service_tier")
            del hints["service_tier"]
        if not self._own:
            return self._take(hints)
        stored = request.state.store if request.state.store or self._options.takes("store") else None
        metadata = dict(request.metadata) if request.metadata is not None else None
        return self._take({**hints, "metadata": metadata, "store": stored})

    def _stream(self) -> Json:
        options = dict(self._request.extra.get("stream_options") or {}) if self._own else {}
        if not self._request.stream:
            return {}
        if not self._options.takes("stream_options"):
            return {"stream": True}
        return {"stream": True, "stream_options": {**options, "include_usage": True}}

    def _extra(self) -> Json:
        """Members of the origin that no API defines go out verbatim on the same wire."""
        sent: Json = {}
        for name, value in self._request.extra.items():
            foreign = name in KNOWN_MEMBERS and not self._options.takes(name)
            if name == "stream_options" or value is None:
                continue
            if self._own and not foreign:
                sent[name] = value
            else:
                self._context.losses.report(name)
        return sent


_TOOLS: Final[Mapping[str, Callable[[_RequestWriter, Tool], Json | None]]] = {
    "function": _RequestWriter._function,
    "custom": _RequestWriter._custom,
    "hosted": _RequestWriter._write_hosted,
}

_REASONINGS: Final[Mapping[str, Callable[[_RequestWriter, Reasoning], Json]]] = {
    "none": _RequestWriter._no_reasoning,
    "effort": _RequestWriter._effort,
    "object": _RequestWriter._object,
}

_VOICE: Final = "alloy"

_GATEWAY_HINTS: Final[Mapping[str, Callable[[Any], bool]]] = {
    # hints that no chat wire has: told only when they ask for something
    "truncation": lambda value: value not in (None, "disabled"),
    "include": lambda value: bool(set(value or ()) - _QUIET_INCLUDES),
    "max_tool_calls": lambda value: value is not None,
    "context_management": bool,
    "prompt": bool,
}


def _nest(tool: Mapping[str, Any]) -> Json:
    """Return a tool reference of ``allowed_tools`` in chat nesting."""
    kind = tool.get("type", "function")
    if kind not in {"function", "custom"}:
        return dict(tool)
    return {"type": kind, kind: {name: value for name, value in tool.items() if name != "type"}}


def _nest_format(flat: Mapping[str, Any]) -> Json:
    """Return a custom tool's format in chat nesting."""
    if flat.get("type") != "grammar" or "grammar" in flat:
        return dict(flat)
    return {"type": "grammar", "grammar": {name: value for name, value in flat.items() if name != "type"}}
