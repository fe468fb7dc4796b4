"""A conversation split for wires that keep the system prompt apart from the turns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from app.canonical.request import Message, Part, RefusalPart, Request, TextPart, merge_turns
from app.dialects.shared.losses import Losses

_SYSTEM_ROLES: Final = frozenset({"system", "developer"})

SystemPart = TextPart | RefusalPart


def split_conversation(
    request: Request, losses: Losses, *, system_turns: bool = False
) -> tuple[list[SystemPart], list[Message]]:
    """Return the parts of the system prompt and the turns, user and assistant alternating.

    Tool results ride on the user's turn. Instructions and system messages before the first
    turn are the system prompt. A later one keeps its place (as a turn of role ``system``)
    where ``system_turns`` says that the model reads such turns and it stands after a user's
    turn; elsewhere it joins the system prompt, because as user text it would lose its
    authority, and that is reported. Names of messages have no place and are reported.
    """
    system: list[SystemPart] = [TextPart(request.instructions)] if request.instructions else []
    turns: list[Message] = []
    for message in request.messages:
        if message.name is not None and message.role != "tool":
            losses.report("message_name", "Messages have no names here; the name was left out")
        if message.role in _SYSTEM_ROLES and not turns:
            system += system_texts(message.parts, losses)
        else:
            turns.append(_plain(message))
    merged = merge_turns(turns, roles={"tool": "user", "developer": "system"})
    kept: list[Message] = []
    for index, message in enumerate(merged):
        if message.role != "system" or (system_turns and _stands_well(merged, index)):
            kept.append(message)
            continue
        losses.report("message_role", "A later system message was moved to the system prompt")
        system += system_texts(message.parts, losses)
    return system, merge_turns(kept)


def system_texts(parts: Iterable[Part], losses: Losses) -> list[SystemPart]:
    """Return the parts of a system message; anything but text is refused."""
    texts: list[SystemPart] = []
    for part in parts:
        if isinstance(part, TextPart | RefusalPart):
            texts.append(part)
        else:
            losses.report("content", "A system message can hold only text")
    return texts


def _plain(message: Message) -> Message:
    """Drop the name, and hand a cache mark on the whole message to its last part."""
    native = message.native
    mark = native[1].get("cache_control") if native is not None else None
    if not mark or not message.parts or native is None:
        return replace(message, name=None)
    last = message.parts[-1]
    marked = replace(last, native=(native[0], {"cache_control": mark})) if last.native is None else last
    return replace(message, name=None, parts=(*message.parts[:-1], marked))


def _stands_well(turns: list[Message], index: int) -> bool:
    """A system turn follows the user's and ends the conversation or precedes the assistant's."""
    after = turns[index + 1].role if index + 1 < len(turns) else "assistant"
    return index > 0 and turns[index - 1].role == "user" and after == "assistant"
