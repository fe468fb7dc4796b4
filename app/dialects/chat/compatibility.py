"""A chat body that passes, adapted to the request type of its target.

A member of another API that the target does not have is mapped, or dropped with a warning; a member that
no known API defines is passed on. Variants that the gateway accepts (flat tools, the tool choice
``any``) are written in OpenAI's form. Everything else stays unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.chat.options import (
    KNOWN_MEMBERS,
    KNOWN_MESSAGE_MEMBERS,
    KNOWN_PART_MEMBERS,
    KNOWN_TOOL_MEMBERS,
    ChatOptions,
)
from app.dialects.chat.parts_out import report
from app.dialects.shared.effort import ASSUMED_LIMIT, effort_of
from app.dialects.shared.lenient_json import JSON, as_dict, count, dicts, opt_str, rest
from app.dialects.shared.losses import Losses
from app.dialects.shared.tool_results import pair_chat

_THOUGHTS: Final = frozenset({"reasoning", "reasoning_content", "reasoning_details"})
_CALLABLE: Final = ("function", "custom")
_TOOL_MEMBERS: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
_EVERYWHERE: Final = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
"""Members of a message that all providers have."""
_MODES: Final[Mapping[str, str]] = {"any": "required", "tool": "required"}


def fit(body: Mapping[str, Any], options: ChatOptions, losses: Losses) -> JSON:
    """Return a copy of ``body`` adapted to a provider's ``options``; losses are reported.

    Raises GatewayError ``unsupported_parameter`` if a loss would change the answer.
    """
    return _Adapter(options, losses).body(body)


class _Adapter:
    def __init__(self, options: ChatOptions, losses: Losses) -> None:
        self._options = options
        self._losses = losses

    def body(self, body: Mapping[str, Any]) -> JSON:
        outgoing: JSON = {}
        for name, value in body.items():
            if name not in KNOWN_MEMBERS or self._options.takes(name) or (name, value) == ("n", 1):
                outgoing[name] = value
            elif name == "reasoning" and isinstance(value, dict):
                outgoing |= self._effort(value, body)
            elif value not in (None, {}, []):
                self._losses.report(name, param=name)
        self._fit_limits(outgoing)
        if isinstance(outgoing.get("messages"), list):
            messages = pair_chat(outgoing["messages"], self._losses)
            outgoing["messages"] = [self._message(message) for message in messages]
        if isinstance(outgoing.get("tools"), list):
            self._fit_tools(outgoing)
        if "tool_choice" in outgoing:
            outgoing["tool_choice"] = _choice(outgoing["tool_choice"])
        return outgoing

    def _fit_limits(self, outgoing: JSON) -> None:
        """Send one member for the output limit: the newer name if it is set or the model needs it."""
        older, newer = outgoing.get("max_tokens"), outgoing.get("max_completion_tokens")
        if (
            newer is None
            and older is not None
            and self._options.needs_newer_limit(str(outgoing.get("model")))
        ):
            newer = older
        if newer is not None:
            outgoing["max_completion_tokens"] = newer
            outgoing.pop("max_tokens", None)

    def _effort(self, reasoning: JSON, body: Mapping[str, Any]) -> JSON:
        """Return ``reasoning_effort`` for a ``reasoning`` object, ``{}`` if the client set both."""
        effort, budget = opt_str(reasoning.get("effort")), count(reasoning.get("max_tokens"))
        for name, value in reasoning.items():
            if name not in {"effort", "max_tokens"} and value not in (None, False):
                self._losses.report(f"reasoning_{name}", param=f"reasoning.{name}")
        if body.get("reasoning_effort") is not None:
            return {}
        if effort is None and budget is not None:
            limit = count(body.get("max_completion_tokens")) or count(body.get("max_tokens")) or ASSUMED_LIMIT
            effort = effort_of(budget, limit)
            warning = f"the reasoning budget was sent as effort '{effort}'"
            self._losses.report("reasoning_budget", warning, param="reasoning.max_tokens")
        return {} if effort is None else {"reasoning_effort": effort}

    def _message(self, message: Any) -> Any:
        if not isinstance(message, dict) or _is_plain(message):
            return message
        outgoing = self._filter(message, KNOWN_MESSAGE_MEMBERS, self._options.message_members)
        if self._options.history == "none":
            outgoing = self._without_reasoning(outgoing)
        if isinstance(outgoing.get("content"), list):
            outgoing["content"] = [self._part(part) for part in outgoing["content"]]
        if isinstance(outgoing.get("tool_calls"), list) and self._options.history != "extra_content":
            outgoing["tool_calls"] = [self._call(call) for call in outgoing["tool_calls"]]
        return outgoing

    def _without_reasoning(self, message: JSON) -> JSON:
        if any(message.get(name) for name in _THOUGHTS):
            report(self._losses, "reasoning_history")
        return rest(message, _THOUGHTS)

    def _part(self, part: Any) -> Any:
        members = self._options.part_members
        return self._filter(part, KNOWN_PART_MEMBERS, members) if isinstance(part, dict) else part

    def _call(self, call: Any) -> Any:
        if not isinstance(call, dict) or "extra_content" not in call:
            return call
        report(self._losses, "reasoning_signature")
        return rest(call, frozenset({"extra_content"}))

    def _filter(self, members: JSON, names: frozenset[str], supported: frozenset[str]) -> JSON:
        foreign = names - supported if not self._options.open_members else frozenset()
        for name in sorted(foreign & members.keys()):
            if members[name]:
                self._losses.report(name)
        return rest(members, foreign)

    def _fit_tools(self, outgoing: JSON) -> None:
        tools = [self._tool(tool) for tool in dicts(outgoing["tools"]) if self._is_supported(tool)]
        if tools or not dicts(outgoing["tools"]):
            outgoing["tools"] = tools
            return
        if _choice(outgoing.get("tool_choice")) not in (None, "auto", "none"):
            report(self._losses, "forced_tool")
        for name in _TOOL_MEMBERS & outgoing.keys():
            del outgoing[name]

    def _is_supported(self, tool: JSON) -> bool:
        kind = _kind(tool)
        if kind in _CALLABLE or self._options.runs(kind):
            return True
        self._losses.report("hosted_tool", f"the hosted tool '{kind}' was left out")
        return False

    def _tool(self, tool: JSON) -> JSON:
        kind = _kind(tool)
        if kind not in _CALLABLE:
            return tool
        if not isinstance(tool.get(kind), dict):
            tool = {"type": kind, kind: rest(tool, frozenset({"type"}))}
        inner = self._filter(tool[kind], KNOWN_TOOL_MEMBERS, self._options.tool_members)
        outer = self._filter(tool, KNOWN_TOOL_MEMBERS, self._options.tool_members)
        return {"type": kind, **outer, kind: inner}


def _is_plain(message: JSON) -> bool:
    """Tell whether a message has only members that all providers have, as most messages of a history do."""
    if not message.keys() <= _EVERYWHERE or isinstance(message.get("content"), list):
        return False
    return "tool_calls" not in message or not any(
        "extra_content" in call for call in dicts(message["tool_calls"])
    )


def _kind(tool: Mapping[str, Any]) -> str:
    return opt_str(tool.get("type")) or ("custom" if "custom" in tool else "function")


def _choice(choice: Any) -> Any:
    """Return a tool choice in OpenAI's form."""
    if isinstance(choice, str):
        return _MODES.get(choice, choice)
    members = as_dict(choice)
    kind, name = opt_str(members.get("type")), opt_str(members.get("name"))
    if name is not None and kind in {"function", "tool", "custom"}:
        kind = "custom" if kind == "custom" else "function"
        return {"type": kind, kind: {"name": name}}
    if members.keys() == {"type"} and kind in {"any", "tool", "required", "auto", "none"}:
        return _MODES.get(kind, kind)
    return choice
