"""Compaction items: what stands for a history, sealed for its tenant in ``encrypted_content``.

There are two kinds. A summary was asked for by the client, who decides what to keep beside it. A replacement was
made by a turn: it stands for everything before it, and also holds the items that stay word for word.

Tests: tests/lifecycle/test_compaction.py, tests/lifecycle/test_context_management.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from app.errors import GatewayError
from app.responses_form.items import REPLACEMENT, item_type, normalise
from app.state.crypto import Sealer
from app.state.ids import new_item_id
from app.wire.json import dumps, dumps_sorted, loads_lenient

_SUMMARY: Final = "slc1."
_OPENING: Final = "Summary of the conversation so far, made to shorten it:\n\n"
_MAX_SEALED: Final = 20_971_520  # characters of ``encrypted_content`` (OpenAI's API description)
_TOOLS: Final = frozenset({"additional_tools", "tool_search_call", "tool_search_output", "mcp_list_tools"})
"""Types of items that offer tools to every later turn."""

Item = Mapping[str, Any]


def seal_summary(summary: str, sealer: Sealer, tenant: str) -> dict[str, Any]:
    """Return the item that holds a summary."""
    return _item(_SUMMARY + sealer.seal(summary.encode(), tenant.encode()))


def replacement(summary: str, kept: Sequence[Item]) -> list[Item]:
    """Return what stands for a history: what holds for every turn, the summary, and the other items that stay."""
    standing = [item for item in kept if is_standing(item)]
    return [*standing, _message(summary), *(item for item in kept if not is_standing(item))]


def seal_replacement(items: Sequence[Item], sealer: Sealer, tenant: str) -> dict[str, Any]:
    """Return the item that stands for everything before it, by ``items``.

    Raises ``too_large`` if they are too long for one item."""
    sealed = REPLACEMENT + sealer.seal(dumps(items), tenant.encode())
    if len(sealed) > _MAX_SEALED:
        raise GatewayError("too_large", "The items that must stay as they are do not fit into one item.")
    return _item(sealed)


def _item(sealed: str) -> dict[str, Any]:
    return {"id": new_item_id("compaction"), "type": "compaction", "encrypted_content": sealed}


def _message(summary: str) -> dict[str, Any]:
    return {"type": "message", "role": "developer", "content": _OPENING + summary}


def is_summary(item: Item) -> bool:
    """Tell whether an item is the message that an opened summary becomes."""
    content = item.get("content")
    return item.get("role") == "developer" and isinstance(content, str) and content.startswith(_OPENING)


def is_standing(item: Item) -> bool:
    """Tell whether an item holds for every later turn: an instruction, or tools."""
    instructs = item_type(item) == "message" and item.get("role") in ("system", "developer")
    return item_type(item) in _TOOLS or (instructs and not is_summary(item))


def stay(items: Sequence[Item]) -> set[int]:
    """Return the places of the items that stay word for word when a history is shortened.

    Instructions and tools stay, the newest message of the user, and the end: what the model has not answered, its own last
    output before results of tools or at the very end, and every call of a result that stays."""
    start = len(items)
    while start and not _is_output(items[start - 1]):
        start -= 1
    if start == len(items) or any(_is_result(item) for item in items[start:]):
        while start and _is_output(items[start - 1]):
            start -= 1
    staying = set(range(start, len(items)))
    staying |= {place for place, item in enumerate(items) if is_standing(item)}
    staying |= set([place for place, item in enumerate(items) if _is_users(item)][-1:])
    calls = {call_id_of(items[place]) for place in staying} - {None}
    return staying | {place for place, item in enumerate(items) if call_id_of(item) in calls}


def call_id_of(item: Item) -> str | None:
    """Return what connects a call with its results, None for other items."""
    call_id = item.get("call_id")
    return call_id if isinstance(call_id, str) else None


def _is_output(item: Item) -> bool:
    """Tell whether a model wrote an item."""
    if item_type(item) == "message":
        return item.get("role") == "assistant"
    return not (_is_result(item) or is_standing(item))


def _is_result(item: Item) -> bool:
    return item_type(item).endswith("_output")


def _is_users(item: Item) -> bool:
    return item_type(item) == "message" and item.get("role") == "user"


def holds_compaction(items: Any) -> bool:
    """Tell whether any item is a compaction of the gateway's."""
    return isinstance(items, list | tuple) and any(_sealed_text(item) is not None for item in items)


def open_items(items: Iterable[Any], sealer: Sealer, tenant: str) -> list[Any]:
    """Return input items with what the gateway's compactions hold in their place.

    What a replacement stands for is left out, except instructions and tools. Raises 400 for an item that cannot be
    unsealed: another tenant's, or an old key's.
    """
    opened: list[Any] = []
    for item in items:
        sealed = _sealed_text(item)
        if sealed is None:
            opened.append(item)
        elif sealed.startswith(_SUMMARY):
            opened.append(_message(_unseal(sealed.removeprefix(_SUMMARY), sealer, tenant).decode()))
        else:
            inner = loads_lenient(_unseal(sealed.removeprefix(REPLACEMENT), sealer, tenant))
            standing = [one for one in opened if is_standing(one)]
            known = set(map(_words, standing))
            opened = [*standing, *(one for one in inner if not is_standing(one) or _words(one) not in known)]
    return opened


def _words(item: Item) -> bytes:
    """Return what makes two items the same, apart from their ids and status."""
    words = {name: value for name, value in normalise(item).items() if name not in ("id", "status")}
    return dumps_sorted(words)


def _sealed_text(item: Any) -> str | None:
    content = item.get("encrypted_content") if isinstance(item, Mapping) else None
    if not isinstance(content, str) or item.get("type") != "compaction":
        return None
    return content if content.startswith((_SUMMARY, REPLACEMENT)) else None


def _unseal(token: str, sealer: Sealer, tenant: str) -> bytes:
    opened = sealer.unseal(token, tenant.encode())
    if opened is None:
        raise GatewayError(
            "bad_request",
            "The 'encrypted_content' of a compaction item cannot be read.",
            param="input",
            code="invalid_value",
        )
    return opened
