"""The view of ``/admin/usage``: totals of the call log, grouped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import eq
from typing import Any, Final

from flask import Response, request

from app.errors import GatewayError
from app.state import histogram, rollups
from app.state.call_rows import Members
from app.state.key_names import KeyFilter, names_of
from app.state.sums import FILTERS, GROUPS, HOUR, NANO, Sums, key_of, members_of, value_of
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response

_METADATA: Final = "metadata."
_TIMES: Final = {"hour": "%Y-%m-%dT%H:00:00Z", "day": "%Y-%m-%d"}
_SHARES: Final = (50, 95, 99)
_GROUP_OF: Final = {"key_id": "key"}
"""Members whose sums are kept with those of another."""
_NAMES: Final = (*_TIMES, *(name for name in GROUPS if name != "metadata"))


def sum_usage() -> Response:
    """Sum the calls of whole hours, grouped by the query."""
    names, filters = _group_names(), requests.filters(FILTERS)
    groups: dict[tuple[Any, ...], Sums] = {}
    last_names: dict[str, str] = {}
    for hour, members, sums in _sums(names, filters):
        label = tuple(_member(name, hour, members) for name in names)
        groups.setdefault(label, Sums()).add(sums)
        if "key" in names and members.get("key_id"):  # sums of an older version have none
            key_id, name = str(members["key_id"]), str(members["key"])
            if name != key_id or key_id not in last_names:
                last_names[key_id] = name
    last_names.update(names_of(requests.state().db, list(last_names)))
    rows = [(dict(zip(names, label, strict=True)), sums) for label, sums in groups.items()]
    for row, _ in rows:
        if row.get("key_id") in last_names:
            row["key"] = last_names[row["key_id"]]
    rows.sort(key=lambda pair: [str(part or "") for part in pair[0].values()])
    data = [{**row, **_show_sums(sums)} for row, sums in rows]
    return json_response(
        {"object": "list", "data": data, "has_more": False, "first_id": None, "last_id": None}
    )


def _sums(names: Sequence[str], filters: Mapping[str, str]) -> Iterator[tuple[int, Members, Sums]]:
    """Yield hour or day, members and sums of what fits; if at most one member is asked for, from the rollups of that member."""
    log, span = requests.state().call_log, requests.span()
    fits: dict[str, rollups.Fits] = {name: partial(eq, value) for name, value in filters.items()}
    if "key" in filters:
        keys = KeyFilter(requests.state().db, filters["key"])
        fits["key"] = lambda label: keys.has(*key_of(label))
    members = {_GROUP_OF.get(name, name) for name in (*names, *filters)} - set(_TIMES)
    if len(members) > 1 or not members <= set(rollups.MEMBERS):
        detailed = any(name == "user" or name.startswith(_METADATA) for name in names)
        for hour, members_of_sums, sums in log.usage(span, detailed=detailed):
            if all(test(value_of(name, members_of_sums)) for name, test in fits.items()):
                yield hour, members_of_sums, sums
        return
    unit = HOUR if "hour" in names else rollups.DAY if "day" in names else None
    member = next(iter(members), rollups.WHOLE)
    for start, value, sums in log.usage_by(span, member, unit=unit, fits=fits.get(member)):
        yield start, members_of(member, value), sums


def _group_names() -> list[str]:
    names = [name for name in request.args.get("group_by", "").split(",") if name]
    for name in names:
        if name not in _NAMES and not (name.startswith(_METADATA) and len(name) > len(_METADATA)):
            raise GatewayError(
                "bad_request",
                f"Invalid 'group_by': '{name[:64]}'. Supported values are: {', '.join(_NAMES)} and metadata.NAME.",
                param="group_by",
                code="invalid_value",
            )
    parts = [(name, "key_id") if name == "key" else (name,) for name in names]
    return list(dict.fromkeys(chain.from_iterable(parts)))  # a name that two keys had says too little


def _member(name: str, hour: int, members: Members) -> Any:
    if name in _TIMES:
        return time.strftime(_TIMES[name], time.gmtime(hour))
    if name.startswith(_METADATA):
        return (members.get("metadata") or {}).get(name[len(_METADATA) :])
    return None if name == "key" and members.get("key_id") else members.get(name)


def _show_sums(sums: Sums) -> dict[str, Any]:
    figures = sums.figures()
    return {
        **{name: figures[name] for name in ("calls", "errors", "input_tokens", "output_tokens")},
        "cost": figures["cost"] / NANO,
        **{name: figures[name] for name in ("unpriced", "cache_hits")},
        "latency": _percentiles(sums.latency),
        "first_content": _percentiles(sums.first_content),
    }


def _percentiles(times: int) -> dict[str, int | None]:
    values = histogram.percentiles(times, _SHARES)
    return {f"p{share}": milliseconds for share, milliseconds in zip(_SHARES, values, strict=True)}
