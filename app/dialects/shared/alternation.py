"""Alternating turns: adjacent messages of one role merged, and the system prompt separated.

Anthropic's Messages and Bedrock's Converse need this. What each vendor refuses, with sources:
docs/contract/providers.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    ToolResultPart,
)
from app.dialects.shared.losses import Losses
from app.dialects.shared.members import cache_mark

_SYSTEM_ROLES: Final = frozenset({"system", "developer"})

SystemPart = TextPart | RefusalPart

Block = dict[str, Any]

PLACEHOLDER_TEXT: Final = "."
"""Text of a user message that would otherwise be empty; some wires refuse an empty one."""


def merge_turns(messages: Iterable[Message], *, roles: Mapping[str, Role] | None = None) -> list[Message]:
    """Merge adjacent messages of one role and name into one, parts in order.

    ``roles`` maps roles to others before merging, e.g. ``{"tool": "user"}`` for wires that
    send tool results in user messages. A merged message has the name and the native members
    of its first message and no item, because it stands for several items.
    """
    runs: list[tuple[Role, list[Message]]] = []
    for message in messages:
        role = (roles or {}).get(message.role, message.role)
        if runs and runs[-1][0] == role and runs[-1][1][0].name == message.name:
            runs[-1][1].append(message)
        else:
            runs.append((role, [message]))
    return [_merge(role, run) for role, run in runs]


def _merge(role: Role, run: list[Message]) -> Message:
    """Return one message of ``role`` for a run; a single message that has this role is not copied."""
    first = run[0]
    if len(run) > 1:
        parts = tuple(part for message in run for part in message.parts)
        return Message(role, parts, name=first.name, native=first.native)
    return first if first.role == role else Message(role, first.parts, first.item, first.name, first.native)


def split_results(role: Role, parts: Sequence[Part]) -> list[Message]:
    """Return one turn as messages: tool results become a message of role ``tool`` before the rest."""
    results = tuple(part for part in parts if isinstance(part, ToolResultPart))
    others = tuple(part for part in parts if not isinstance(part, ToolResultPart))
    messages = [Message("tool", results)] if results else []
    return [*messages, Message(role, others or (TextPart(""),))] if others or not results else messages


def split_conversation(
    request: Request, losses: Losses, *, system_turns: bool
) -> tuple[list[SystemPart], list[Message]]:
    """Return the parts of the system prompt, and the turns, with user and assistant alternating.

    Tool results become part of the user's turn. The system prompt consists of the instructions
    and the system messages before the first turn. A later system message stays in place, as a
    turn of role ``system``, if ``system_turns`` is true (the model reads such turns) and it
    follows a user's turn. Otherwise it moves to the system prompt, which is reported: as user
    text it would lose its authority. Names of messages are dropped and reported.
    """
    system: list[SystemPart] = [TextPart(request.instructions)] if request.instructions else []
    turns: list[Message] = []
    for message in request.messages:
        if message.name is not None and message.role != "tool":
            losses.report("message_name", "Messages have no names here; the name was left out")
        if message.role in _SYSTEM_ROLES and not turns:
            system += system_texts(_normalize(message).parts, losses)
        else:
            turns.append(_normalize(message))
    alternating = merge_turns(turns, roles={"tool": "user", "developer": "system"})
    others: list[Message] = []
    for index, message in enumerate(alternating):
        if message.role != "system" or (system_turns and _may_hold_system(alternating, index)):
            others.append(message)
            continue
        losses.report("message_role", "A later system message was moved to the system prompt")
        system += system_texts(message.parts, losses)
    return system, alternating if len(others) == len(alternating) else merge_turns(others)


def system_texts(parts: Iterable[Part], losses: Losses) -> list[SystemPart]:
    """Return the text parts of a system message; other parts are reported, which refuses the request."""
    texts: list[SystemPart] = []
    for part in parts:
        if isinstance(part, TextPart | RefusalPart):
            texts.append(part)
        else:
            losses.report("content", "A system message can hold only text")
    return texts


def _normalize(message: Message) -> Message:
    """Drop the name, and move a cache mark from the message to its last part that may have one."""
    if message.native is not None and cache_mark(message.native) is not None:
        parts = list(message.parts)
        _mark_last(parts, message.native)
        return replace(message, name=None, parts=tuple(parts))
    return message if message.name is None else replace(message, name=None)


def _mark_last(parts: list[Part], native: Native | None) -> bool:
    """Put the cache mark of ``native`` on the last part that may have one; return False if there is none."""
    if native is None:
        return False
    for at in range(len(parts) - 1, -1, -1):
        part = parts[at]
        if isinstance(part, ReasoningPart | OpaquePart):
            continue
        own = part.native[1] if part.native is not None and part.native[0] == native[0] else {}
        parts[at] = replace(part, native=(native[0], {**own, "cache_control": cache_mark(native)}))
        return True
    return False


def merge_blank_texts(parts: Iterable[Part], losses: Losses) -> list[Part]:
    """Return ``parts`` without texts of white space alone, which Anthropic and Bedrock refuse.

    White space beside another text is appended or prepended to it (Claude writes such blocks
    between cited texts); elsewhere it is dropped. Its cache mark moves to the part before it.
    """
    result: list[Part] = []
    prefix = ""
    for part in parts:
        if isinstance(part, TextPart | RefusalPart):
            if not part.text.strip():
                prefix += _append_blank(result, part.text)
                if cache_mark(part.native) is not None and not _mark_last(result, part.native):
                    losses.report("cache_control", "A cache mark on white space alone was left out")
                continue
            part = replace(part, text=prefix + part.text) if prefix else part
        result.append(part)
        prefix = ""
    return result


def _append_blank(parts: list[Part], blank: str) -> str:
    """Append white space to a text that ends ``parts``; otherwise return it, for the next text."""
    if not parts or not isinstance(last := parts[-1], TextPart | RefusalPart):
        return blank
    parts[-1] = replace(last, text=last.text + blank)
    return ""


def alternate_turns(turns: Iterable[Block], blank: Block, losses: Losses, *, user_first: bool) -> list[Block]:
    """Return turns as the wire has them (``role`` and ``content`` blocks), with roles alternating.

    A user's turn without content gets the block ``blank``. An assistant's turn without content
    (null, white space, another model's reasoning) is dropped and its neighbours are merged. With
    ``user_first`` a conversation that begins with the assistant gets a user's turn in front.
    """
    result: list[Block] = []
    for turn in turns:
        if not turn["content"] and turn["role"] == "user":
            turn = {**turn, "content": [blank]}
            losses.report("message_text", f"An empty user message was sent as '{PLACEHOLDER_TEXT}'")
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
    """Change a conversation that ends with the assistant's turn into one that Claude accepts.

    Claude refuses trailing white space there. ``prefills`` is false for models that do not
    continue an assistant's turn: a user's turn is appended for them.
    """
    if not turns or turns[-1]["role"] != "assistant":
        return
    if not prefills:
        warning = f"This model does not go on from an assistant's message; '{PLACEHOLDER_TEXT}' was sent as the user's next"
        losses.report("message_text", warning)
        turns.append({"role": "user", "content": [blank]})
        return
    last = turns[-1]["content"][-1]
    text = last.get("text", "").rstrip()
    if text != last.get("text", ""):
        turns[-1]["content"][-1] = {**last, "text": text}
        losses.report("message_text", "The white space at the end of the last assistant message was cut off")


def _may_hold_system(turns: list[Message], index: int) -> bool:
    """Tell whether a system turn may stand here: behind the user's, and at the end or before the assistant's."""
    following = turns[index + 1].role if index + 1 < len(turns) else "assistant"
    return index > 0 and turns[index - 1].role == "user" and following == "assistant"
