"""Thinking and sampling parameters for a Claude model, by its family; shared by all wires that serve one.

Rules (Anthropic's API reference and recorded refusals, see docs/contract/providers.md): a thinking
budget is at least 1,024 tokens and below the output limit; thinking needs the tool choice auto or none
and a temperature of 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.record import record
from app.canonical.request import Reasoning, Request, Sampling
from app.dialects.shared.claude import Family
from app.dialects.shared.effort import budget_of, effort_of, nearest_effort
from app.dialects.shared.lenient_json import count, opt_str, rest, without_nulls
from app.dialects.shared.losses import Losses
from app.dialects.shared.sampling_paths import capped_temperature

MIN_BUDGET: Final = 1024
NAME: Final = "messages"
"""The dialect that defines the ``thinking`` member."""

_OFF_TYPES: Final = frozenset({"disabled", "between_tools"})
_MIN_THINKING_TOP_P: Final = 0.95


@record
class Thinking:
    """What to send: the ``thinking`` object and the name of the effort, None if absent."""

    config: dict[str, Any] | None = None
    effort: str | None = None

    @property
    def on(self) -> bool:
        """True if thinking is requested."""
        return self.config is not None and self.config["type"] not in _OFF_TYPES


@record
class ThinkingContext:
    """What the thinking of a request depends on.

    ``max_tokens`` is the output limit; ``forced``: the tool choice forces a call; ``bare_turn``:
    the last assistant turn is still open and does not begin with thinking.
    """

    max_tokens: int
    forced: bool = False
    bare_turn: bool = False


def thinking_of(
    reasoning: Reasoning | None, family: Family, context: ThinkingContext, losses: Losses
) -> Thinking:
    """Return the thinking to request; differences from the client's ``reasoning`` are reported.

    An effort becomes an adaptive effort or a share of the output limit. A budget is moved into
    its bounds, or becomes an effort if the family has no budgets.
    """
    if reasoning is None or (reasoning.effort is None and reasoning.budget is None):
        if reasoning is not None and reasoning.summary is not None:
            losses.report("reasoning_summary", "No reasoning was requested, so there is no summary")
        return Thinking()
    if reasoning.budget == 0 or (reasoning.budget is None and reasoning.effort == "none"):
        return _disable(family, losses)
    if not family.can_think:
        losses.report(_requested_member(reasoning))
        return Thinking()
    if family.adaptive and not (family.budgets and (reasoning.budget or 0) > 0):
        return _adaptive(reasoning, family, context, losses)
    return _with_budget(reasoning, context, losses)


def decode_thinking(thinking: Mapping[str, Any], effort: str | None) -> Reasoning | None:
    """Return the reasoning of Anthropic's ``thinking`` object and an effort; None if both are empty."""
    native = (NAME, {"thinking": dict(thinking)}) if thinking else None
    kind = opt_str(thinking.get("type"))
    if kind in _OFF_TYPES:
        return Reasoning("none", native=native)
    if kind is None:
        return Reasoning(effort) if effort is not None else None
    return Reasoning(effort, count(thinking.get("budget_tokens")) if kind == "enabled" else -1, native=native)


def with_thinking(request: Request, *, foreign: bool = True) -> Request:
    """Return the request with its extra member ``thinking`` decoded as reasoning.

    Anthropic documents this member for its OpenAI-compatible endpoint, so clients of other wires
    send it beside the standard members; an effort that is also set is kept. With ``foreign``
    false the wire has a ``thinking`` member of its own, which is left alone. The effort
    ``default``, Groq's value for "no preference", is removed.
    """
    if request.reasoning is not None and request.reasoning.effort == "default":
        request = replace(request, reasoning=replace(request.reasoning, effort=None))
    thinking, origin = request.extra.get("thinking"), request.origin
    if not foreign or origin is None or origin.dialect == NAME or not isinstance(thinking, dict):
        return request
    current = request.reasoning or Reasoning()
    reasoning = decode_thinking(thinking, current.effort)
    if reasoning is None:
        return request
    budget = -1 if reasoning.effort is None and reasoning.budget is None else reasoning.budget
    reasoning = replace(reasoning, budget=budget, summary=current.summary)
    return replace(request, reasoning=reasoning, extra=rest(request.extra, frozenset({"thinking"})))


def _requested_member(reasoning: Reasoning) -> str:
    return "reasoning_effort" if reasoning.budget is None else "reasoning_budget"


def _disable(family: Family, losses: Losses) -> Thinking:
    if family.off_type is None:
        losses.report("reasoning_effort", "This model always thinks; the lowest effort was sent")
        return Thinking(effort=family.efforts[0])
    return Thinking({"type": family.off_type} if family.can_think else None)


def _adaptive(reasoning: Reasoning, family: Family, context: ThinkingContext, losses: Losses) -> Thinking:
    wish = reasoning.effort
    if (reasoning.budget or 0) > 0:
        wish = effort_of(reasoning.budget or 0, context.max_tokens)
        losses.report("reasoning_budget", f"This model accepts no budget; effort '{wish}' was sent")
    effort = None if wish is None else nearest_effort(wish, family.efforts)
    if effort != wish:
        losses.report("reasoning_effort", f"Effort '{wish}' is unknown to this API; '{effort}' was sent")
    if context.forced:
        _report_no_thinking(reasoning, losses, "a tool call is forced")
        return Thinking(effort=effort)
    display = {"display": "summarized"} if family.hides_thinking else {}
    return Thinking({"type": "adaptive", **display}, effort)


def _with_budget(reasoning: Reasoning, context: ThinkingContext, losses: Losses) -> Thinking:
    obstacle = _obstacle(context)
    if obstacle:
        _report_no_thinking(reasoning, losses, obstacle)
        return Thinking()
    wish = reasoning.budget
    if wish is None:
        wish = budget_of(reasoning.effort or "medium", context.max_tokens)
    budget = min(max(wish, MIN_BUDGET), context.max_tokens - 1)
    if (reasoning.budget or 0) > 0 and budget != wish:
        losses.report("reasoning_budget", f"The thinking budget {wish} was moved to {budget}")
    return Thinking({"type": "enabled", "budget_tokens": budget})


def _obstacle(context: ThinkingContext) -> str | None:
    """Return what makes a thinking budget impossible, None if nothing does."""
    obstacles = {
        "a tool call is forced": context.forced,
        f"the output limit leaves no room for {MIN_BUDGET} thinking tokens": context.max_tokens <= MIN_BUDGET,
        "the turn to be continued does not begin with this model's own thinking": context.bare_turn,
    }
    return next((obstacle for obstacle, holds in obstacles.items() if holds), None)


def _report_no_thinking(reasoning: Reasoning, losses: Losses, why: str) -> None:
    losses.report(_requested_member(reasoning), f"Thinking was left out because {why}")


def sampling_of(sampling: Sampling, family: Family, thinking: bool, losses: Losses) -> Mapping[str, Any]:
    """Return the members ``temperature``, ``top_p`` and ``top_k`` that the family accepts.

    If both are set, temperature is sent rather than top_p. What is dropped is reported, unless
    its value is the default.
    """
    temperature = _temperature(sampling.temperature, family, thinking, losses)
    takes_top_p = _takes_top_p(sampling.top_p, family, thinking, temperature, losses)
    top_k = sampling.top_k if (sampling.top_k or 0) >= 0 else None
    if top_k is not None and (thinking or not family.sampling):
        losses.report("top_k", _why_not("top_k", thinking and family.sampling))
        top_k = None
    top_p = sampling.top_p if takes_top_p else None
    return without_nulls({"temperature": temperature, "top_p": top_p, "top_k": top_k})


def _temperature(value: float | None, family: Family, thinking: bool, losses: Losses) -> float | None:
    if value is None or (value == 1 and not family.sampling):
        return None
    if not family.sampling or (thinking and value != 1):
        losses.report("temperature", _why_not("temperature", family.sampling))
        return None
    return capped_temperature(value, 1, losses)


def _takes_top_p(
    value: float | None, family: Family, thinking: bool, temperature: float | None, losses: Losses
) -> bool:
    if value is None or (value == 1 and (temperature is not None or not family.sampling)):
        return False
    if not family.sampling or (thinking and value < _MIN_THINKING_TOP_P):
        losses.report("top_p", _why_not("top_p", family.sampling))
        return False
    if temperature is not None:
        losses.report("top_p", "This model takes one of temperature and top_p; top_p was left out")
    return temperature is None


def _why_not(member: str, because_it_thinks: bool) -> str:
    if because_it_thinks:
        return f"'{member}' cannot be combined with thinking and was left out"
    return f"'{member}' is not supported by this model and was left out"
