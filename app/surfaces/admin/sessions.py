"""Administrators, known by their key or by a session of the window.

The session is a secret in an HttpOnly, SameSite=Strict cookie, stored as a hash under the operator's secret
key. A change by cookie also needs a token that only the window's pages know.
Tests: tests/surfaces/test_window.py.
"""

from __future__ import annotations

from typing import Final

from flask import Request, Response

from app.canonical.record import record
from app.config import Secret, Settings
from app.errors import GatewayError
from app.gateway.core import Gateway
from app.state.audit import Actor
from app.state.key_format import ADMIN, is_sound
from app.surfaces.credentials import is_equal

COOKIE: Final = "sluice_session"
TOKEN_HEADER: Final = "x-csrf-token"
TOKEN_FIELD: Final = "csrf"
SECONDS: Final = 12 * 3_600
"""Seconds that a session lasts."""

_MASTER: Final = "master"
_SAFE: Final = frozenset({"GET", "HEAD"})
_LONGEST: Final = 128  # characters of a cookie


@record
class Administrator:
    """An administrator known by a key; ``owner`` identifies the sessions."""

    name: str
    role: str
    owner: str


@record
class Session:
    """An active session."""

    secret: str
    administrator: Administrator

    def actor(self, address: str) -> Actor:
        """Return the session's administrator as an actor."""
        return Actor(self.administrator.name, self.administrator.role, address)


def master_key(settings: Settings) -> Secret | None:
    """Return the master key: the operator's, or the one generated at startup."""
    return settings.master_key or settings.generated_key


def administrator(gateway: Gateway, key: str) -> Administrator | None:
    """Return the administrator with the key ``key``."""
    master = master_key(gateway.settings)
    if master is not None and is_equal(master.reveal(), key):
        return master_of(gateway, master)
    if is_sound(key, ADMIN) and (row := gateway.state().admins.find(key)) is not None:
        return Administrator(row.name, row.role, row.id)
    return None


def master_of(gateway: Gateway, master: Secret) -> Administrator:
    """Return the holder of the master key; another master key has other sessions."""
    return Administrator(_MASTER, "admin", f"{_MASTER}:{gateway.state().sessions.mark(master.reveal())}")


def current(gateway: Gateway, request: Request) -> Session | None:
    """Return the session of a request."""
    secret = request.cookies.get(COOKIE, "")
    if not secret or len(secret) > _LONGEST:
        return None
    owner = gateway.state().sessions.owner(secret)
    administrator = None if owner is None else _administrator_of(gateway, owner)
    return None if administrator is None else Session(secret, administrator)


def _administrator_of(gateway: Gateway, owner: str) -> Administrator | None:
    kind, _, mark = owner.partition(":")
    if kind == _MASTER:
        master = master_key(gateway.settings)
        if master is not None and gateway.state().sessions.is_mark(mark, master.reveal()):
            return Administrator(_MASTER, "admin", owner)
        return None
    row = gateway.state().admins.get(owner)
    return None if row is None else Administrator(row.name, row.role, owner)


def token(gateway: Gateway, session: Session) -> str:
    """Return the token of a session."""
    return gateway.state().sessions.mark(f"csrf {session.secret}")


def check_token(gateway: Gateway, session: Session, request: Request, form_token: str = "") -> None:
    """Raise ``forbidden`` for a request that would change something without the session's token.

    The token is in the header ``x-csrf-token``, or is ``form_token``, the field of a form."""
    if request.method in _SAFE:
        return
    token = request.headers.get(TOKEN_HEADER) or form_token
    if not gateway.state().sessions.is_mark(token, f"csrf {session.secret}"):
        raise GatewayError(
            "forbidden",
            "This page is of an older session; reload it and try again."
            f" (A change by the session's cookie needs the session's token in the header '{TOKEN_HEADER}'.)",
        )


def check_origin(request: Request) -> None:
    """Raise ``forbidden`` for a request from another site's page."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    is_ours = site in ("same-origin", "none") if site else origin in (None, request.host_url.rstrip("/"))
    if not is_ours:
        raise GatewayError("forbidden", "A page of another site may not ask for this.")


def write_cookie(request: Request, response: Response, secret: str) -> None:
    """Set the session cookie; an empty ``secret`` deletes it."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=SECONDS if secret else 0,
        path=cookie_path(request),
        secure=request.is_secure,
        httponly=True,
        samesite="Strict",
    )


def cookie_path(request: Request) -> str:
    """Return the path of the whole server, since the API below ``/admin`` takes the cookie too."""
    return request.script_root.removesuffix("/ui") or "/"
