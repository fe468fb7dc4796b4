"""Turns that alternate: messages of one side joined, and the system prompt kept apart where a wire does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import (
    Message,
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    Role,
    TextPart,
)
from app.dialects.shared.losses import Losses
from app.dialects.shared.members import cache_mark

_SYSTEM_ROLES: Final = frozenset({"system", "developer"})

SystemPart = TextPart | RefusalPart

Block = dict[str, Any]

PLACEHOLDER_TEXT: Final = "."
"""What is sent for a user's turn of white space alone, so that the turns keep alternating."""


def merge_turns(messages: Iterable[Message], *, roles: Mapping[str, Role] | None = None) -> list[Message]:
    """Join adjacent messages of one role into one, parts in order.

    ``roles`` renames roles first (``{"tool": "user"}`` where results ride on the user's
    turn). The first message's name and native members stay; item identity is dropped
    from a joined message, since it then stands for several items.
    """
    runs: list[tuple[Role, list[Message]]] = []
    for message in messages:
        role = (roles or {}).get(message.role, message.role)
        if runs and runs[-1][0] == role and runs[-1][1][0].name == message.name:
            runs[-1][1].append(message)
        else:
            runs.append((role, [message]))
    return [_one_turn(role, run) for role, run in runs]


def _one_turn(role: Role, run: list[Message]) -> Message:
    """Return the messages of one turn as one; a message that is a turn already as it is."""
    first = run[0]
    if len(run) > 1:
        parts = tuple(part for message in run for part in message.parts)
        return Message(role, parts, name=first.name, native=first.native)
    return first if first.role == role else Message(role, first.parts, first.item, first.name, first.native)


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
            system += system_texts(_as_text(message).parts, losses)
        else:
            turns.append(_as_text(message))
    merged = merge_turns(turns, roles={"tool": "user", "developer": "system"})
    others: list[Message] = []
    for index, message in enumerate(merged):
        if message.role != "system" or (system_turns and _stands_well(merged, index)):
            others.append(message)
            continue
        losses.report("message_role", "A later system message was moved to the system prompt")
        system += system_texts(message.parts, losses)
    return system, merged if len(others) == len(merged) else merge_turns(others)


def system_texts(parts: Iterable[Part], losses: Losses) -> list[SystemPart]:
    """Return the parts of a system message; anything but text is refused."""
    texts: list[SystemPart] = []
    for part in parts:
        if isinstance(part, TextPart | RefusalPart):
            texts.append(part)
        else:
            losses.report("content", "A system message can hold only text")
    return texts


def _as_text(message: Message) -> Message:
    """Drop the name, and hand a cache mark on the whole message to its last part that can bear it."""
    if message.native is not None and cache_mark(message.native) is not None:
        parts = list(message.parts)
        _mark_last(parts, message.native)
        return replace(message, name=None, parts=tuple(parts))
    return message if message.name is None else replace(message, name=None)


def _mark_last(parts: list[Part], native: Native) -> bool:
    """Put a cache mark on the last part that can bear one; False where there is none."""
    for at in range(len(parts) - 1, -1, -1):
        part = parts[at]
        if isinstance(part, ReasoningPart | OpaquePart):
            continue
        own = part.native[1] if part.native is not None and part.native[0] == native[0] else {}
        parts[at] = replace(part, native=(native[0], {**own, "cache_control": cache_mark(native)}))
        return True
    return False


def merge_blank_texts(parts: Iterable[Part], losses: Losses) -> list[Part]:
    """Return parts without texts of white space alone, which some wires refuse.

    White space next to a text joins it (Claude writes such blocks between cited ones); else
    it goes. A cache mark on it goes to the part before.
    """
    result: list[Part] = []
    waiting = ""
    for part in parts:
        if not isinstance(part, TextPart | RefusalPart):
            result.append(part)
            waiting = ""
        elif part.text.strip():
            result.append(replace(part, text=waiting + part.text) if waiting else part)
            waiting = ""
        else:
            waiting += _join_blank(result, part.text)
            if part.native is None or cache_mark(part.native) is None:
                continue
            if not _mark_last(result, part.native):
                losses.report("cache_control", "A cache mark on white space alone was left out")
    return result


def _join_blank(kept: list[Part], blank: str) -> str:
    """Add white space to a text that stands just before; else return it for the next one."""
    if not kept or not isinstance(last := kept[-1], TextPart | RefusalPart):
        return blank
    kept[-1] = replace(last, text=last.text + blank)
    return ""


def alternate_turns(turns: Iterable[Block], blank: Block, losses: Losses, *, user_first: bool) -> list[Block]:
    """Return written turns (``role`` and ``content`` blocks), users' and assistants' by turns.

    A user's turn that holds nothing is sent as ``blank``; an assistant's (null content, white
    space, another model's reasoning) is left out, and what stood around it becomes one turn.
    ``user_first``: the wire refuses a conversation that the assistant opens.
    """
    result: list[Block] = []
    for turn in turns:
        if not turn["content"] and turn["role"] == "user":
            turn = {**turn, "content": [blank]}
            losses.report("message_text", f"A user's message without words was sent as '{PLACEHOLDER_TEXT}'")
        if user_first and not result and turn["role"] == "assistant" and turn["content"]:
            result.append({"role": "user", "content": [blank]})
            warning = f"'{PLACEHOLDER_TEXT}' was sent as a first user's message: a conversation begins with one here"
            losses.report("message_text", warning)
        if result and result[-1]["role"] == turn["role"]:
            result[-1] = {**result[-1], "content": result[-1]["content"] + turn["content"]}
        elif turn["content"]:
            result.append(turn)
    return result


def fit_prefill(turns: list[Block], blank: Block, losses: Losses, *, prefills: bool) -> None:
    """Make a last assistant turn one that a Claude takes: without white space at its end, and,
    where the model does not go on from it, with a user's turn behind it."""
    if not turns or turns[-1]["role"] != "assistant":
        return
    if not prefills:
        warning = f"This model does not go on from an assistant's message; '{PLACEHOLDER_TEXT}' was sent as the user's next"
        losses.report("message_text", warning)
        turns.append({"role": "user", "content": [blank]})
        return
    if "text" not in turns[-1]["content"][-1]:
        return
    last = turns[-1]["content"][-1]
    text = last["text"].rstrip()
    if text != last["text"]:
        turns[-1]["content"][-1] = {**last, "text": text}
        losses.report("message_text", "The white space at the end of the last assistant message was cut off")


def _stands_well(turns: list[Message], index: int) -> bool:
    """A system turn follows the user's and ends the conversation or precedes the assistant's."""
    after = turns[index + 1].role if index + 1 < len(turns) else "assistant"
    return index > 0 and turns[index - 1].role == "user" and after == "assistant"
