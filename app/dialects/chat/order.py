"""The order of messages that some chat providers require, applied to messages in the wire's form.

Which provider requires what, with sources: docs/contract/providers.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from app.dialects.shared.alternation import PLACEHOLDER_TEXT
from app.dialects.shared.lenient_json import JSON
from app.dialects.shared.losses import Losses

_SYSTEM: Final = "system"
_MERGEABLE_ROLES: Final = frozenset({"user", "assistant"})


def alternate(messages: Iterable[JSON], losses: Losses) -> list[JSON]:
    """Return the messages with system messages first and then user and assistant alternating.

    Adjacent messages of one role are merged, later system messages move to the front, and the
    conversation begins and ends with a user message.
    """
    system: list[JSON] = []
    turns: list[JSON] = []
    for message in messages:
        if message["role"] == _SYSTEM:
            if turns:
                losses.report("message_role", "A later system message was moved to the front")
            system.append(message)
        elif (
            turns
            and turns[-1]["role"] == message["role"] in _MERGEABLE_ROLES
            and not turns[-1].get("tool_calls")
        ):
            turns[-1] = _join(turns[-1], message)
        else:
            turns.append(message)
    for end, place, verb in ((0, "first", "begins"), (-1, "last", "ends")):
        if turns and turns[end]["role"] == "assistant":
            warning = f"'{PLACEHOLDER_TEXT}' was sent as a {place} user's message: a conversation {verb} with one here"
            losses.report("message_text", warning)
            turns.insert(len(turns) if end else 0, {"role": "user", "content": PLACEHOLDER_TEXT})
    return [*system, *turns]


def separate_tool_turns(messages: Iterable[JSON], losses: Losses) -> list[JSON]:
    """Return the messages with an assistant message inserted wherever a user message follows a tool's."""
    turns: list[JSON] = []
    for message in messages:
        if turns and turns[-1]["role"] == "tool" and message["role"] in {"user", _SYSTEM}:
            warning = f"'{PLACEHOLDER_TEXT}' was sent as the assistant's message between a tool's result and the next message"
            losses.report("message_text", warning)
            turns.append({"role": "assistant", "content": PLACEHOLDER_TEXT})
        turns.append(message)
    return turns


def _join(first: JSON, second: JSON) -> JSON:
    one, two = first.get("content"), second.get("content")
    content = (
        f"{one}\n\n{two}" if isinstance(one, str) and isinstance(two, str) else [*_parts(one), *_parts(two)]
    )
    return {**first, **second, "content": content}


def _parts(content: Any) -> list[JSON]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
