"""What pages request: the admin API of this process, as the administrator of the session. And the forms they send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from flask import current_app, g, request

from app.errors import GatewayError
from app.gateway.core import Gateway, gateway_of
from app.surfaces.admin.client import AdminClient
from app.surfaces.body.reader import read_body

ADMIN_CLIENT: Final = "sluice_admin_client"
_LARGEST_FORM: Final = 256 * 1024
_FIELDS: Final = 200
_FORM: Final = "application/x-www-form-urlencoded"


class Refusal(Exception):
    """An error of the admin API: its status and its message."""

    def __init__(self, status: int, error: Any) -> None:
        members = error if isinstance(error, dict) else {}
        self.status = status
        self.message = str(members.get("message", ""))
        super().__init__(self.message)


def gateway() -> Gateway:
    """Return the gateway of this application."""
    return gateway_of(current_app)


def get(path: str, **query: Any) -> Any:
    """Return the JSON of ``GET path``, which is below ``/admin``; raise what ``ask`` raises."""
    return ask("GET", path, **query)


def ask(method: str, path: str, body: Any = None, **query: Any) -> Any:
    """Return the JSON of an answer of the admin API; raise Refusal for an error.

    ``path`` is below ``/admin``, ``body`` is sent as JSON, and parameters of ``query`` that are empty are left out."""
    admin_client: AdminClient = current_app.extensions[ADMIN_CLIENT]
    content = {} if body is None else {"json": body}
    status, answer = admin_client.ask(g.actor, method, path, query_string=without_empty(query), **content)
    if status >= 400:
        raise Refusal(status, answer.get("error"))
    return answer


def without_empty(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that are neither None nor empty."""
    return {name: value for name, value in members.items() if value not in (None, "")}


def older_rows(page: Mapping[str, Any], filters: Mapping[str, Any]) -> str | None:
    """Return the query for the rows after those of ``page``, with the same filters; None for the last page."""
    return urlencode({**without_empty(filters), "after": page["last_id"]}) if page["has_more"] else None


def form() -> dict[str, str]:
    """Return the fields of the form that was sent; the last of a name counts."""
    if "form" not in g:
        g.form = _read_form()
    fields: dict[str, str] = g.form
    return fields


def has_form() -> bool:
    """Tell whether the request has a form as its body."""
    return request.mimetype == _FORM


def _read_form() -> dict[str, str]:
    if not has_form():
        raise GatewayError("unsupported_media", f"Send the form as {_FORM}.")
    body = read_body(request, limit=_LARGEST_FORM, deadline=gateway().settings.body_deadline)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict"))
    except ValueError as error:
        raise GatewayError("bad_request", "The form cannot be read.") from error
