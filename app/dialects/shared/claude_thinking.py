"""Thinking and sampling of a Claude, under its family's rules, for any wire.

Rules: contract/providers.md, top section and 3.4. A budget is at least 1,024 and below
the output limit; thinking needs a tool choice of auto or none and a temperature of 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.record import record
from app.canonical.request import Reasoning, Request, Sampling
from app.dialects.shared.claude import Family
from app.dialects.shared.effort import budget_of, effort_of, nearest_effort
from app.dialects.shared.lenient_json import count, opt_str, rest
from app.dialects.shared.losses import Losses

MIN_BUDGET: Final = 1024
NAME: Final = "messages"
"""The dialect whose ``thinking`` member is read here for all of them."""

_OFF: Final = frozenset({"disabled", "between_tools"})
_MIN_THINKING_TOP_P: Final = 0.95


@record
class Thinking:
    """What to send: the ``thinking`` object and the effort's name, None where absent."""

    config: dict[str, Any] | None = None
    effort: str | None = None

    @property
    def on(self) -> bool:
        """True when the model is told to think."""
        return self.config is not None and self.config["type"] not in _OFF


@record
class ThinkingContext:
    """What thinking depends on: the output limit, whether a tool call is forced, and
    whether an assistant turn is open that does not begin with thinking."""

    max_tokens: int
    forced: bool = False
    bare_turn: bool = False


def thinking_of(
    reasoning: Reasoning | None, family: Family, around: ThinkingContext, losses: Losses
) -> Thinking:
    """Return the thinking to ask for, reporting what of the client's wish is not kept.

    An effort becomes an adaptive effort or a share of the output limit, a budget is moved
    into its bounds or becomes an effort where the family takes none.
    """
    if reasoning is None or (reasoning.effort is None and reasoning.budget is None):
        if reasoning is not None and reasoning.summary is not None:
            losses.report("reasoning_summary", "No reasoning was asked for, so there is no summary of it")
        return Thinking()
    if reasoning.budget == 0 or (reasoning.budget is None and reasoning.effort == "none"):
        return _disable(family, losses)
    if not family.can_think:
        losses.report(_requested_member(reasoning))
        return Thinking()
    if family.adaptive and not (family.budgets and (reasoning.budget or 0) > 0):
        return _adaptive(reasoning, family, around, losses)
    return _with_budget(reasoning, around, losses)


def decode_thinking(thinking: Mapping[str, Any], effort: str | None = None) -> Reasoning | None:
    """Return what a ``thinking`` object (Anthropic's) and an effort ask for; None for nothing."""
    native = (NAME, {"thinking": dict(thinking)}) if thinking else None
    kind = opt_str(thinking.get("type"))
    if kind in _OFF:
        return Reasoning("none", native=native)
    if kind == "enabled":
        return Reasoning(effort, count(thinking.get("budget_tokens")), native=native)
    if kind is not None:
        return Reasoning(effort, -1, native=native)
    return Reasoning(effort) if effort is not None else None


def with_thinking(request: Request, *, foreign: bool = True) -> Request:
    """Return the request with a client's ``thinking`` member read as reasoning, and without the
    effort ``default``, which is Groq's word for none that was said.

    Anthropic documents that member for its OpenAI-compatible endpoint, so clients of other
    wires write it beside the standard ones; an effort that stands there too goes with it. It
    stays where it is not ``foreign`` to the wire.
    """
    if request.reasoning is not None and request.reasoning.effort == "default":
        request = replace(request, reasoning=replace(request.reasoning, effort=None))
    thinking = request.extra.get("thinking")
    if (
        not foreign
        or request.origin is None
        or request.origin.dialect == NAME
        or not isinstance(thinking, dict)
    ):
        return request
    current = request.reasoning or Reasoning()
    wish = decode_thinking(thinking, current.effort)
    if wish is None:
        return request
    if wish.effort is None and wish.budget is None:
        wish = replace(wish, budget=-1)
    reasoning = replace(wish, summary=current.summary)
    return replace(request, reasoning=reasoning, extra=rest(request.extra, frozenset({"thinking"})))


def _requested_member(reasoning: Reasoning) -> str:
    return "reasoning_effort" if reasoning.budget is None else "reasoning_budget"


def _disable(family: Family, losses: Losses) -> Thinking:
    if family.off_type is None:
        losses.report("reasoning_effort", "This model always thinks; the lowest effort is asked for")
        return Thinking(effort=family.efforts[0])
    return Thinking({"type": family.off_type} if family.can_think else None)


def _adaptive(reasoning: Reasoning, family: Family, around: ThinkingContext, losses: Losses) -> Thinking:
    wanted = reasoning.effort
    if (reasoning.budget or 0) > 0:
        wanted = effort_of(reasoning.budget or 0, around.max_tokens)
        losses.report("reasoning_budget", f"This model takes no budget; effort '{wanted}' is asked for")
    effort = None if wanted is None else nearest_effort(wanted, family.efforts)
    if effort != wanted:
        losses.report("reasoning_effort", f"Effort '{wanted}' is not known here; '{effort}' is asked for")
    if around.forced:
        _leave_out(reasoning, losses, "a tool call is forced")
        return Thinking(effort=effort)
    config: dict[str, Any] = {"type": "adaptive"}
    if family.hides_thinking:
        config["display"] = "summarized"
    return Thinking(config, effort)


def _with_budget(reasoning: Reasoning, around: ThinkingContext, losses: Losses) -> Thinking:
    obstacle = _obstacle(around)
    if obstacle:
        _leave_out(reasoning, losses, obstacle)
        return Thinking()
    if reasoning.budget is None:
        wanted = budget_of(reasoning.effort or "medium", around.max_tokens)
    else:
        wanted = reasoning.budget
    budget = min(max(wanted, MIN_BUDGET), around.max_tokens - 1)
    if reasoning.budget is not None and reasoning.budget > 0 and budget != wanted:
        losses.report("reasoning_budget", f"The thinking budget {wanted} was moved to {budget}")
    return Thinking({"type": "enabled", "budget_tokens": budget})


def _obstacle(around: ThinkingContext) -> str | None:
    if around.forced:
        return "a tool call is forced"
    if around.max_tokens <= MIN_BUDGET:
        return f"the output limit leaves no room for {MIN_BUDGET} thinking tokens"
    if around.bare_turn:
        return "the turn to be continued does not begin with this model's own thinking"
    return None


def _leave_out(reasoning: Reasoning, losses: Losses, why: str) -> None:
    losses.report(_requested_member(reasoning), f"Thinking was left out because {why}")


def sampling_of(sampling: Sampling, family: Family, thinking: bool, losses: Losses) -> Mapping[str, Any]:
    """Return ``temperature``, ``top_p`` and ``top_k`` as far as the family takes them.

    One of temperature and top_p goes out, temperature first; values that are the default
    anyway are left out without a word where they may not be sent.
    """
    sent: dict[str, Any] = {}
    temperature = _temperature(sampling.temperature, family, thinking, losses)
    if temperature is not None:
        sent["temperature"] = temperature
    if _takes_top_p(sampling.top_p, family, thinking, temperature, losses):
        sent["top_p"] = sampling.top_p
    if sampling.top_k is not None and sampling.top_k >= 0:
        if family.sampling and not thinking:
            sent["top_k"] = sampling.top_k
        else:
            losses.report("top_k", _why_not("top_k", thinking and family.sampling))
    return sent


def _temperature(value: float | None, family: Family, thinking: bool, losses: Losses) -> float | None:
    if value is None or (value == 1 and not family.sampling):
        return None
    if not family.sampling or (thinking and value != 1):
        losses.report("temperature", _why_not("temperature", family.sampling))
        return None
    if value > 1:
        losses.report("temperature", f"A Claude's temperature ends at 1; {value:g} was lowered to it")
    return min(value, 1)


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
        return False
    return True


def _why_not(member: str, because_it_thinks: bool) -> str:
    if because_it_thinks:
        return f"'{member}' cannot be combined with thinking and was left out"
    return f"'{member}' is not taken by this model and was left out"
