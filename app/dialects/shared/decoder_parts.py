"""Building blocks of decoders: items, tool calls, finish reasons, native members, costs, the end of a stream.

Each wire supplies its own names as tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.canonical.events import Event, Failed
from app.canonical.request import Message, Native, Part, TextPart, ToolCallPart
from app.canonical.response import Finish, FinishReason, Usage
from app.dialects.shared.lenient_json import as_dict, count, number, opt_str
from app.dialects.shared.tool_forms import ANSWER_TOOL, free_text
from app.errors import GatewayError


def continues_item(part: Part, before: Sequence[Part]) -> bool:
    """Tell whether ``part`` belongs to the item of the last part of ``before``: adjacent texts share one."""
    return isinstance(part, TextPart) and bool(before) and isinstance(before[-1], TextPart)


def items_of(parts: Sequence[Part]) -> tuple[Message, ...]:
    """Return an assistant message for each item: adjacent texts share one, every other part has its own."""
    groups: list[list[Part]] = []
    for part in parts:
        if groups and continues_item(part, groups[-1]):
            groups[-1].append(part)
        else:
            groups.append([part])
    return tuple(Message("assistant", tuple(group)) for group in groups)


def call_part(
    call_id: str, name: str, arguments: str, customs: frozenset[str], native: Native | None = None
) -> Part:
    """Return the part for a tool call whose ``arguments`` are JSON text.

    A call of the answer tool is the structured answer, hence text. A call of a free-text tool
    (named in ``customs``) is unwrapped from its JSON object. Raises ``upstream_invalid`` for a
    call without a name.
    """
    if name_of_call(name) == ANSWER_TOOL:
        return TextPart(arguments)
    if name in customs:
        return ToolCallPart(call_id, name, free_text(arguments), "custom", native=native)
    return ToolCallPart(call_id, name, arguments or "{}", native=native)


def name_of_call(name: Any) -> str:
    """Return the name of a tool call in an answer; raises ``upstream_invalid`` if it has none,
    because no client could run it."""
    if isinstance(name, str) and name:
        return name
    raise nameless_call()


def nameless_call() -> GatewayError:
    """Return the error of an answer with a tool call that has no name."""
    return GatewayError("upstream_invalid", "The provider made a tool call without a name.")


def is_free_text(part: Part) -> bool:
    """Tell whether a part is a call of a free-text tool. Its input arrives wrapped in JSON, so none of
    it can be written before all of it is there."""
    return isinstance(part, ToolCallPart) and part.kind == "custom"


def finish_of(
    raw: Any, reasons: Mapping[str, FinishReason], parts: Sequence[Part], sequence: Any = None
) -> Finish:
    """Return the finish of an answer; ``reasons`` maps the wire's finish words to canonical ones.

    An unknown word is ``stop``, and so is ``tool_calls`` if ``parts`` have no tool call (the answer
    tool was called). ``sequence`` is the stop sequence that ended the answer.
    """
    word = opt_str(raw)
    calls = any(isinstance(part, ToolCallPart) for part in parts)
    reason = reasons.get(word or "", "tool_calls" if calls and word is None else "stop")
    return Finish("stop" if reason == "tool_calls" and not calls else reason, word, opt_str(sequence))


def counts_at(raw: Mapping[str, Any], table: Mapping[tuple[str, str], str]) -> dict[str, int]:
    """Return usage details that are not 0; ``table`` maps (group, member) of the wire's usage to canonical names."""
    return {
        name: tokens
        for (group, member), name in table.items()
        if (tokens := count(as_dict(raw.get(group)).get(member)))
    }


def groups_of(details: Mapping[str, int], table: Mapping[tuple[str, str], str]) -> dict[str, dict[str, int]]:
    """Return usage details in the groups of a wire, the inverse of ``counts_at``; groups without a count are left out."""
    groups: dict[str, dict[str, int]] = {}
    for (group, member), name in table.items():
        groups.setdefault(group, {})[member] = details.get(name, 0)
    return {group: counts for group, counts in groups.items() if any(counts.values())}


def choice_index(choice: Mapping[str, Any], position: int) -> int:
    """Return the ``index`` of a choice, its position in the list if it has none."""
    index = count(choice.get("index"))
    return position if index is None else index


def token_count(body: Any, *, member: str) -> int:
    """Return the number of tokens in ``member`` of a token counter's answer; raises ``upstream_invalid``
    if it is none."""
    tokens = count(as_dict(body).get(member))
    if tokens is None:
        raise GatewayError("upstream_invalid", "The provider's answer has no token count.", raw=body)
    return tokens


class TerminalDecoder:
    """Base of decoders for streams that end with a terminal event rather than ``[DONE]``.

    The subclass sets ``_over`` when it reads that event, and ignores what follows.
    """

    def __init__(self) -> None:
        self._over = False
        self._has_begun = False

    def done(self) -> list[Event]:
        """Read ``[DONE]``, which some servers send and which has no meaning here."""
        return []

    def eof(self) -> list[Event]:
        """Read the end of the body; before the terminal event it is a failure (``upstream_cut``)."""
        return [] if self._over else self._fail(cut_stream())

    def _begins(self) -> bool:
        """Tell whether the answer begins now: true at the first call only."""
        begins, self._has_begun = not self._has_begun, True
        return begins

    def _fail(self, error: GatewayError, usage: Usage | None = None) -> list[Event]:
        self._over = True
        return [Failed(error, usage or self._usage_so_far())]

    def _usage_so_far(self) -> Usage | None:
        """Return the usage that the stream has reported so far."""
        return None


def cut_stream() -> GatewayError:
    """Return the error of a stream that closed before its terminal event."""
    return GatewayError("upstream_cut", "The provider's stream broke off before its end.")


def decode_cost(usage: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the cost in US dollars with at least ``total_cost``, None if the usage has none.

    Perplexity reports an object, OpenRouter a number. With the client's own key at a provider
    (``is_byok``), OpenRouter's number is only its fee; the provider's price is in ``cost_details``
    (https://openrouter.ai/docs/use-cases/byok, November 2026).
    """
    cost = usage.get("cost")
    if isinstance(cost, dict):
        return cost if number(cost.get("total_cost")) is not None else None
    fee, details = number(cost), as_dict(usage.get("cost_details"))
    price = number(details.get("upstream_inference_cost")) if usage.get("is_byok") is True else 0
    return None if fee is None or price is None else {**details, "total_cost": fee + price}
