"""How a page asks: the admin API in this process, as the administrator whose session it is; forms."""

from __future__ import annotations

from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

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
    """What the admin API refused, with its status and its words."""

    def __init__(self, status: int, error: Any) -> None:
        self.status = status
        self.message = str(error.get("message", "")) if isinstance(error, dict) else ""
        self.param = error.get("param") if isinstance(error, dict) else None
        super().__init__(self.message)


def gateway() -> Gateway:
    """Return the gateway that is shown."""
    return gateway_of(current_app)


def get(path: str, **query: Any) -> Any:
    """Return what ``path`` below ``/admin`` answers; members of the query that are empty are left out.

    Raises Refusal."""
    members = {name: value for name, value in query.items() if value not in (None, "")}
    return _ask("GET", path, query_string=members)


def change(method: str, path: str, body: Any = None, **query: Any) -> Any:
    """Change something; raises Refusal."""
    members = {name: value for name, value in query.items() if value not in (None, "")}
    return _ask(method, path, query_string=members, **({} if body is None else {"json": body}))


def _ask(method: str, path: str, **sent: Any) -> Any:
    admin_client: AdminClient = current_app.extensions[ADMIN_CLIENT]
    status, answer = admin_client.ask(g.actor, method, path, **sent)
    if status >= 400:
        raise Refusal(status, answer.get("error"))
    return answer


def form() -> dict[str, str]:
    """Return the fields of a form that was sent, read once; the last of a name counts."""
    if "form" not in g:
        g.form = _read_form()
    fields: dict[str, str] = g.form
    return fields


def has_form() -> bool:
    """Tell whether the request brings the fields of a form."""
    return request.mimetype == _FORM


def _read_form() -> dict[str, str]:
    if not has_form():
        raise GatewayError("unsupported_media", f"Send the form as {_FORM}.")
    body = read_body(request, limit=_LARGEST_FORM, deadline=gateway().settings.body_deadline)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError as error:
        _refuse_form(error)
    return dict(pairs)


def _refuse_form(error: ValueError) -> NoReturn:
    raise GatewayError("bad_request", "The form cannot be read.") from error
