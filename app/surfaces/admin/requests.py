"""What the admin API's views share: the gateway and the caller, checked bodies and queries, lists as answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

from flask import Response, current_app, g, request

from app.config_loading.faults import ConfigError
from app.config_loading.tables import Strict
from app.config_loading.tenancy import validate
from app.config_loading.value_kinds import MISSING
from app.errors import GatewayError
from app.gateway.core import Gateway, gateway_of
from app.gateway.owners import Owners
from app.state.audit import Actor
from app.state.lookup import Page
from app.state.state import State
from app.surfaces.body import queries
from app.surfaces.body.reader import json_body
from app.surfaces.replies.answers import json_response

_LARGEST_BODY: Final = 1024 * 1024
_MOST_ROWS: Final = 100
_ROWS: Final = 20  # without ``limit``
_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def gateway() -> Gateway:
    """Return the gateway of this application."""
    return gateway_of(current_app)


def actor() -> Actor:
    """Return the caller."""
    actor: Actor = g.actor
    return actor


def state() -> State:
    """Return the store."""
    return gateway().state()


def owners() -> Owners:
    """Return the tenants and keys."""
    return Owners(gateway().settings, gateway().state, gateway().cache_store)


_instance: Final = cache(lambda schema: schema())


def valid_body(schema: type[Strict], *, optional: bool = False) -> dict[str, Any]:
    """Return the body's members; raise ``bad_request`` with every fault and its place."""
    deadline = gateway().settings.body_deadline
    body = json_body(request, limit=_LARGEST_BODY, deadline=deadline, optional=optional)
    try:
        return validate(_instance(schema), body)
    except ConfigError as error:
        raise _refusal(error) from error


def _refusal(error: ConfigError) -> GatewayError:
    details = [_detail(place, sentence) for place, sentence in error.faults]
    return GatewayError("bad_request", **details[0], details=details if len(details) > 1 else ())


def _detail(place: str, sentence: str) -> dict[str, Any]:
    if sentence == MISSING:
        message, code = f"Missing required parameter: '{place}'.", "missing_required_parameter"
    else:
        end = "" if sentence.endswith((".", "?")) else "."
        message, code = f"Invalid '{place}': {sentence}{end}", "invalid_value"
    return {"message": message, "param": place, "code": code}


def page_query() -> tuple[int, str | None]:
    """Return ``limit``, 1 to 100, and ``after``."""
    return queries.limit(_ROWS, _MOST_ROWS), request.args.get("after") or None


def filters(names: Iterable[str]) -> dict[str, str]:
    """Return the filters of the query."""
    return {name: request.args[name] for name in names if request.args.get(name)}


def span() -> tuple[float | None, float | None]:
    """Return ``from`` and ``to`` of the query as Unix seconds, None for one that is absent."""
    return _parse_time("from"), _parse_time("to")


def _parse_time(name: str) -> float | None:
    """Parse Unix seconds or RFC 3339."""
    text = request.args.get(name)
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise GatewayError(
            "bad_request",
            f"Invalid '{name}': expected Unix seconds, or a time such as 2026-01-31T12:00:00Z.",
            param=name,
            code="invalid_value",
        )
    return moment.timestamp()


def list_response(page: Page[Any]) -> Response:
    """Return a list as a response."""
    rows = page.rows
    return json_response(
        {
            "object": "list",
            "data": rows,
            "has_more": page.has_more,
            "first_id": rows[0]["id"] if rows else None,
            "last_id": rows[-1]["id"] if rows else None,
        }
    )


def deletion_response(kind: str, name: str, **more: Any) -> Response:
    """Return a confirmation of a deletion."""
    return json_response({"id": name, "object": f"{kind}.deleted", "deleted": True, **more})


def creation_response(value: Mapping[str, Any]) -> Response:
    """Return a created object, with status 201."""
    return json_response(value, 201)
