"""What the decoders of several wires make alike: items, calls, finishes, remainders, a cut.

Knows canonical parts and the tools that stand for something else; each wire brings its
own words as tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.canonical.events import Event, Failed
from app.canonical.request import Message, Native, Part, TextPart, ToolCallPart
from app.canonical.response import Finish, FinishReason, Usage
from app.dialects.shared.lenient_json import as_dict, count, opt_str, rest, without_nulls
from app.dialects.shared.tool_forms import ANSWER_TOOL, free_text
from app.errors import GatewayError


def continues_item(part: Part, before: Sequence[Part]) -> bool:
    """Tell whether ``part`` belongs to the item of the part before it: adjacent texts share one."""
    return isinstance(part, TextPart) and bool(before) and isinstance(before[-1], TextPart)


def items_of(parts: Sequence[Part]) -> tuple[Message, ...]:
    """Return assistant messages, one an item: adjacent texts share one, all else stands alone."""
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
    """Return a call from its input as JSON text, undoing what stood for something else:
    the tool of a JSON answer, and the one member of a free-text tool (``customs``)."""
    if name_of_call(name) == ANSWER_TOOL:
        return TextPart(arguments)
    if name in customs:
        return ToolCallPart(call_id, name, free_text(arguments), "custom", native=native)
    return ToolCallPart(call_id, name, arguments or "{}", native=native)


def name_of_call(name: Any) -> str:
    """Return the name of a tool call in an answer; raises ``upstream_invalid`` where it has none, since
    no client can run such a call."""
    if isinstance(name, str) and name:
        return name
    raise nameless_call()


def nameless_call() -> GatewayError:
    """Return the error of an answer that calls a tool without saying which."""
    return GatewayError("upstream_invalid", "The provider made a tool call without a name.")


def is_free_text(part: Part) -> bool:
    """Tell whether a part calls a free-text tool: its input comes wrapped in JSON, so that
    nothing of it can be told before it is whole."""
    return isinstance(part, ToolCallPart) and part.kind == "custom"


def finish_of(
    raw: Any, reasons: Mapping[str, FinishReason], parts: Sequence[Part], sequence: Any = None
) -> Finish:
    """Return why an answer ended, by the wire's own table of ``reasons``.

    Tool calls that turn out to be none (the tool of a JSON answer) end in a plain stop;
    unknown words are a stop too. ``sequence`` is the stop sequence that was met.
    """
    word = opt_str(raw)
    calls = any(isinstance(part, ToolCallPart) for part in parts)
    reason = reasons.get(word or "", "tool_calls" if calls and word is None else "stop")
    return Finish("stop" if reason == "tool_calls" and not calls else reason, word, opt_str(sequence))


def native_rest(
    dialect: str, members: Mapping[str, Any], known: frozenset[str]
) -> tuple[str, dict[str, Any]] | None:
    """Return the members beside ``known`` and null ones as native to ``dialect``, None if none."""
    left = without_nulls(rest(members, known))
    return (dialect, left) if left else None


def counts_at(raw: Mapping[str, Any], table: Mapping[tuple[str, str], str]) -> dict[str, int]:
    """Return usage details by ``table``: group and member in the wire's usage to our name."""
    return {
        name: found
        for (group, member), name in table.items()
        if (found := count(as_dict(raw.get(group)).get(member)))
    }


def token_count(body: Any, *, member: str) -> int:
    """Return the tokens that a counter's answer tells in ``member``; raises
    ``upstream_invalid`` without a number."""
    tokens = count(as_dict(body).get(member))
    if tokens is None:
        raise GatewayError("upstream_invalid", "The provider's answer has no token count.", raw=body)
    return tokens


class TerminalDecoder:
    """The life of a stream that ends with an event of its own, not with ``[DONE]``.

    Whoever takes that event sets ``_over``; what follows it is passed over.
    """

    def __init__(self) -> None:
        self._over = False

    def done(self) -> list[Event]:
        """Take ``[DONE]``, which says nothing here, where a server sends it at all."""
        return []

    def eof(self) -> list[Event]:
        """Take the end of the body: before the terminal event it is a cut."""
        return [] if self._over else self._fail(cut_stream())

    def _fail(self, error: GatewayError, usage: Usage | None = None) -> list[Event]:
        self._over = True
        return [Failed(error, usage or self._usage_so_far())]

    def _usage_so_far(self) -> Usage | None:
        """Return what the stream has told of its usage so far."""
        return None


def cut_stream() -> GatewayError:
    """Return the error of a stream that closed before its terminal frame."""
    return GatewayError("upstream_cut", "The provider's stream broke off before its end.")
