"""History: what ``previous_response_id``, ``conversation`` and ``item_reference`` stand for.

``instructions`` never carry over. Errors are in OpenAI's words; a history is never silently
shortened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.responses_form.errors import mutually_exclusive
from app.responses_form.items import (
    as_items,
    call_id_of,
    check_tool_outputs,
    conversation_id_of,
    is_reference,
    item_type,
    lone_thoughts,
    normalise,
)
from app.state.chain import References, find
from app.state.database import Database
from app.state.ids import check_previous_response_id
from app.state.items import show_item, unpack
from app.state.records import EXPANDED_MAX, JSON, Expansion, Source
from app.wire.offload import aside


class History:
    """Expands requests from the store, each by at most ``limit`` bytes."""

    def __init__(self, db: Database, *, limit: int = EXPANDED_MAX) -> None:
        self._db = db
        self._limit = limit

    def expand(
        self,
        tenant: str,
        input: str | Sequence[Mapping[str, Any]] | None,
        *,
        previous_response_id: Any = None,
        conversation: Any = None,
        accepted: bool = False,
        begins: bool = False,
    ) -> Expansion:
        """Put the history before ``input`` and resolve its item references.

        ``conversation`` is an id or ``{"id": …}``. Reads the database only when the request refers to something.
        ``accepted``: a stored response refers to it already, so it counts even if it was deleted since. ``begins``: a
        turn of the conversation is about to be stored; while another runs this raises 409 ``conversation_locked`` before
        anything is read. Raises the contract's errors for ids that are malformed, unknown, deleted or another tenant's,
        for both a previous response and a conversation, for more bytes than the limit, and for a tool call without output.
        """
        items = as_items(input)
        if previous_response_id is not None and conversation is not None:
            raise mutually_exclusive()
        parent_id = None if previous_response_id is None else check_previous_response_id(previous_response_id)
        conversation_id = None if conversation is None else conversation_id_of(conversation)
        references = [str(one.get("id")) for one in items if is_reference(one)]
        if parent_id is None and conversation_id is None and not references:
            return Expansion(items, [None] * len(items), items)
        lookup = self._db.read(
            lambda connection: find(
                connection,
                tenant,
                parent_id,
                conversation_id,
                references,
                limit=self._limit,
                deleted_too=accepted,
                begins=begins,
            )
        )
        return aside(
            lookup.history.size, lambda: _check_outputs(_join(items, lookup, parent_id, conversation_id))
        )

    def resolve(self, tenant: str, items: Sequence[Mapping[str, Any]]) -> list[JSON]:
        """Return ``items`` with their references replaced by the items they stand for, so that they can be stored again.

        Raises ``not_found`` for an item that is missing, deleted or another tenant's.
        """
        own = [dict(one) for one in items]
        references = [str(one.get("id")) for one in own if is_reference(one)]
        if not references:
            return own
        lookup = self._db.read(
            lambda connection: find(connection, tenant, None, None, references, limit=self._limit)
        )
        return _join(own, lookup, None, None).own


def _check_outputs(expansion: Expansion) -> Expansion:
    check_tool_outputs(expansion.input)
    return expansion


def _join(
    items: Iterable[JSON],
    references: References,
    parent_id: str | None,
    conversation_id: str | None,
) -> Expansion:
    input_items, sources = _usable(references, items)
    bodies = dict(zip(references.history.ids, references.history.bodies, strict=True))
    own: list[JSON] = []
    by_id = dict(references.referenced)
    for one in items:
        if is_reference(one):
            item_id = str(one.get("id"))
            if item_id in by_id:  # else the history, or an earlier reference, brought it already
                body, source = by_id.pop(item_id)
                input_items.append(unpack(body, references.files))
                sources.append(source)
                own.append(show_item(item_id, body, references.files))
        elif not _repeats(one, bodies, references.files):
            input_items.append(one)
            sources.append(None)
            own.append(one)
    head = references.conversation_head
    return Expansion(input_items, sources, own, parent_id, conversation_id, head)


def _usable(references: References, items: Iterable[JSON]) -> tuple[list[JSON], list[Source | None]]:
    """Return the history, with its sources, that an upstream accepts.

    It is without the reasoning and the unanswered calls that a turn left when it was cut off; ``items`` are the new ones.
    """
    history: list[JSON] = []
    sources: list[Source | None] = []
    past = [unpack(body, references.files) for body in references.history.bodies]
    answered_calls = {call_id_of(one) for one in (*past, *items) if item_type(one).endswith("_output")}
    alone = lone_thoughts(past)
    for place, (value, source) in enumerate(zip(past, references.history.sources, strict=True)):
        cut_off = value.get("status") in ("incomplete", "in_progress")
        if cut_off and value.get("type") != "message" and call_id_of(value) not in answered_calls:
            continue
        if place in alone:  # reasoning of a provider of Responses has no status
            continue
        history.append(value)
        sources.append(source)
    return history, sources


def _repeats(one: JSON, bodies: Mapping[str, bytes], files: Mapping[str, bytes]) -> bool:
    """Tell whether a client sent an item that the history has already, word for word."""
    body = bodies.get(str(one.get("id", "")))
    if body is None:
        return False
    return _bare(unpack(body, files)) == _bare(normalise(one))


def _bare(value: JSON) -> JSON:
    return {key: member for key, member in value.items() if key not in ("id", "status")}
