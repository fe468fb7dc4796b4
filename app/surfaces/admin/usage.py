"""The view of ``/admin/usage``: totals of the call log, grouped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flask import Response, request

from app.errors import GatewayError
from app.state import histogram, rollups
from app.state.sums import FILTERS, GROUPS, HOUR, NANO, Members, Sums
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response

_METADATA: Final = "metadata."
_TIMES: Final = {"hour": "%Y-%m-%dT%H:00:00Z", "day": "%Y-%m-%d"}
_SHARES: Final = (50, 95, 99)
_NAMES: Final = (*_TIMES, *(name for name in GROUPS if name != "metadata"))


def sum_usage() -> Response:
    """Sum the calls of whole hours, grouped by the query."""
    names, filters = _group_names(), requests.filters(FILTERS)
    groups: dict[tuple[Any, ...], Sums] = {}
    for hour, members, sums in _sums(names, filters):
        if all(members.get(name) == value for name, value in filters.items()):
            label = tuple(_member(name, hour, members) for name in names)
            groups.setdefault(label, Sums()).add(sums)
    ordered = sorted(groups.items(), key=lambda pair: [str(part or "") for part in pair[0]])
    data = [{**dict(zip(names, label, strict=True)), **_show_sums(sums)} for label, sums in ordered]
    return json_response(
        {"object": "list", "data": data, "has_more": False, "first_id": None, "last_id": None}
    )


def _sums(names: Sequence[str], filters: Mapping[str, str]) -> Iterator[tuple[int, Members, Sums]]:
    """Yield hour or day, members and sums; if at most one member is asked for, from the rollups of that member."""
    log, span = requests.state().call_log, requests.span()
    members = {*names, *filters} - set(_TIMES)
    if len(members) > 1 or not members <= set(rollups.MEMBERS):
        detailed = any(name == "user" or name.startswith(_METADATA) for name in names)
        yield from log.usage(span, detailed=detailed)
        return
    unit = HOUR if "hour" in names else rollups.DAY if "day" in names else None
    member = next(iter(members), rollups.WHOLE)
    for start, value, sums in log.usage_by(span, member, unit=unit, only=filters.get(member)):
        yield start, {member: value}, sums


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
    return list(dict.fromkeys(names))


def _member(name: str, hour: int, members: Members) -> Any:
    if name in _TIMES:
        return time.strftime(_TIMES[name], time.gmtime(hour))
    if name.startswith(_METADATA):
        return (members.get("metadata") or {}).get(name[len(_METADATA) :])
    return members.get(name)


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
