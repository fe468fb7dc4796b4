"""``truncation: auto`` of a turn, for targets whose API does not have it: the oldest items make room for the rest.

Items are left out from the start, as OpenAI's API description has it, calls together with their results; what a summary could
not replace stays, and a summary, too. The window is that of the price catalogue, the tokens are the
gateway's estimate.

Tests: tests/lifecycle/test_history_truncation.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from app.dialects.shared.losses import Loss
from app.gateway.call import Call, Target
from app.gateway.compaction_items import Item, call_id_of, is_summary, stay
from app.gateway.estimates import tokens_of_body
from app.gateway.offload import aside_for
from app.responses_form.items import as_items

MEMBER: Final = "truncation"


def truncate(call: Call, target: Target, window: int | None) -> Call:
    """Return the call with as much of its history as fits into the window of ``target``, and a warning that names the rest.

    With an unknown window the call stays as it is, and the target reports the member."""
    if window is None or call.full_body.get(MEMBER) != "auto":
        return call
    call = replace(call, provided=call.provided | {MEMBER})
    body, items = call.full_body, as_items(call.full_body.get("input"))
    kept = aside_for(call, lambda: _newest(items, body, window))
    if len(kept) == len(items):
        return call
    loss = Loss(
        MEMBER,
        f"The oldest {len(items) - len(kept)} items were left out: the context window of '{target.label}' has "
        f"{window} tokens.",
    )
    return replace(call, upstream_body={**body, "input": kept}, left_out=(*call.left_out, loss))


def _newest(items: Sequence[Item], body: Mapping[str, Any], window: int) -> list[Item]:
    """Return the items without the oldest, as far as the window needs that and they may be left out."""
    output = body.get("max_output_tokens")
    room = window - min(output if isinstance(output, int) else 0, window // 2)
    surplus = tokens_of_body(body) - room
    if surplus <= 0:
        return list(items)
    staying = stay(items) | {place for place, item in enumerate(items) if is_summary(item)}
    together: dict[str, list[int]] = {}  # the places of a call and its results
    for place, item in enumerate(items):
        together.setdefault(call_id_of(item) or "", []).append(place)
    gone: set[int] = set()
    for place, item in enumerate(items):
        if surplus <= 0:
            break
        if place not in staying and place not in gone:
            call_id = call_id_of(item)
            places = together[call_id] if call_id else [place]
            gone.update(places)
            surplus -= tokens_of_body([items[one] for one in places])
    return [item for place, item in enumerate(items) if place not in gone]
