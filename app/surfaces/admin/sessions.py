"""Who an administrator is: by a key, or by the session that the window's log-in began.

The session is a secret in an HttpOnly, SameSite=Strict cookie, stored as a hash under the operator's secret
key. What changes something by cookie needs a token beside it, which only the window's own pages know.
Tests: tests/surfaces/test_window.py.
"""

from __future__ import annotations

import hmac
from typing import Final

from flask import Request, Response

from app.canonical.record import record
from app.config import Secret, Settings
from app.errors import GatewayError
from app.gateway.core import Gateway
from app.state.audit import Actor
from app.state.key_format import ADMIN, is_sound

COOKIE: Final = "sluice_session"
TOKEN_HEADER: Final = "x-csrf-token"
TOKEN_FIELD: Final = "csrf"
SECONDS: Final = 12 * 3_600
"""So long a session lasts."""

_MASTER: Final = "master"
_SAFE: Final = frozenset({"GET", "HEAD"})
_LONGEST: Final = 128


@record
class Administrator:
    """Who was known by a key: ``owner`` is what his sessions are found by."""

    name: str
    role: str
    owner: str


@record
class Session:
    """A session that runs."""

    secret: str
    administrator: Administrator

    def actor(self, address: str) -> Actor:
        """Return who acts in it."""
        return Actor(self.administrator.name, self.administrator.role, address)


def master_key(settings: Settings) -> Secret | None:
    """Return the first administrator's key: the operator's, or the one that the start made."""
    return settings.master_key or settings.generated_key


def administrator(gateway: Gateway, key: str) -> Administrator | None:
    """Return whose key ``key`` is."""
    master = master_key(gateway.settings)
    if master is not None and _same(master.reveal(), key):
        return master_of(gateway, master)
    if is_sound(key, ADMIN) and (found := gateway.state().admins.find(key)) is not None:
        return Administrator(found.name, found.role, found.id)
    return None


def master_of(gateway: Gateway, master: Secret) -> Administrator:
    """Return the holder of the master key; another master key would be another owner of sessions."""
    return Administrator(_MASTER, "admin", f"{_MASTER}:{gateway.state().sessions.mark(master.reveal())}")


def current(gateway: Gateway, request: Request) -> Session | None:
    """Return the session of a request."""
    secret = request.cookies.get(COOKIE, "")
    if not secret or len(secret) > _LONGEST:
        return None
    owner = gateway.state().sessions.owner(secret)
    known = None if owner is None else _administrator_of(gateway, owner)
    return None if known is None else Session(secret, known)


def _administrator_of(gateway: Gateway, owner: str) -> Administrator | None:
    kind, _, mark = owner.partition(":")
    if kind == _MASTER:
        master = master_key(gateway.settings)
        if master is not None and gateway.state().sessions.is_mark(mark, master.reveal()):
            return Administrator(_MASTER, "admin", owner)
        return None
    found = gateway.state().admins.get(owner)
    return None if found is None else Administrator(found.name, found.role, owner)


def token(gateway: Gateway, session: Session) -> str:
    """Return the token that belongs to a session."""
    return gateway.state().sessions.mark(f"csrf {session.secret}")


def check_token(gateway: Gateway, session: Session, request: Request, sent: str = "") -> None:
    """Raise ``forbidden`` for a request that would change something without the session's token.

    It stands in the header ``x-csrf-token``, or is ``sent`` (the field of a form)."""
    if request.method in _SAFE:
        return
    shown = request.headers.get(TOKEN_HEADER, "") or sent
    if not gateway.state().sessions.is_mark(shown, f"csrf {session.secret}"):
        raise GatewayError(
            "forbidden",
            f"A change by the session's cookie needs the session's token in the header '{TOKEN_HEADER}'.",
        )


def check_origin(request: Request) -> None:
    """Raise ``forbidden`` for a request that another site's page makes."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    own = site in ("same-origin", "none") if site else origin in (None, request.host_url.rstrip("/"))
    if not own:
        raise GatewayError("forbidden", "A page of another site may not ask for this.")


def write_cookie(request: Request, response: Response, secret: str) -> None:
    """Give the browser its session; an empty ``secret`` takes it away."""
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
    """Return the path of the whole server: the API below ``/admin`` takes the cookie, too."""
    return request.script_root.removesuffix("/ui") or "/"


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogateescape"))
