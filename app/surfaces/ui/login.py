"""Logging in and out: with an administrator's key, or by the link that the server printed when it started.

Attempts are limited by address, for all processes together if Redis is configured. Tests: tests/surfaces/test_window.py.
"""

from __future__ import annotations

import logging
import re
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import quote

from flask import Response, current_app, g, request

from app import master_key
from app.config import Limit
from app.errors import GatewayError
from app.gateway.core import gateway_of
from app.gateway.limits.charges import Touch
from app.gateway.limits.gate import Admission
from app.surfaces.admin import sessions
from app.surfaces.ui import rendering, requests

_LOG: Final = logging.getLogger(__name__)
_ATTEMPTS: Final = Limit("requests", 10, "minute")
_LONGEST_KEY: Final = 1_024
_BACK: Final = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")


def address(back: str = "") -> str:
    """Return the URL of the log-in, which then leads ``back`` to a page below ``/ui``."""
    query = f"?back={quote(back, safe='')}" if _BACK.fullmatch(back) and back != "/" else ""
    return f"{request.script_root}/login{query}"


def form() -> Response | str:
    """Show the form."""
    return _form(request.args.get("back", ""))


def log_in() -> Response:
    """Begin a session for an administrator's key."""
    admission, fields, gateway = _count_attempt(), requests.form(), gateway_of(current_app)
    key, back = fields.get("key", "").strip(), fields.get("back", "")
    administrator = sessions.administrator(gateway, key) if 0 < len(key) <= _LONGEST_KEY else None
    if administrator is None:
        _LOG.warning("a log-in to the window from %s was refused", request.remote_addr)
        return _form(back, "This is not an administrator key.", 401)
    _LOG.info("%s logged in to the window from %s", administrator.name, request.remote_addr)
    gateway.limits.end(admission, [0])
    secret = gateway.state().sessions.begin(administrator.owner, sessions.SECONDS)
    return _redirect(request.script_root + (back if _BACK.fullmatch(back) and back != "/" else ""), secret)


def follow(token: str) -> Response:
    """Begin a session by the link that the server printed; it works once.

    The answer is a page with a link, not a redirect: browsers send no SameSite=Strict cookie along a redirect that
    began on another site's page."""
    admission, gateway = _count_attempt(), gateway_of(current_app)
    key = gateway.settings.generated_key
    if request.method == "HEAD" or key is None or not master_key.is_link(key.reveal(), token):
        return _form("", "This link is not valid or has expired. Restart Sluice for a new one.", 401)
    administrator = sessions.master_of(gateway, key)
    try:
        secret = gateway.state().sessions.begin(
            administrator.owner, sessions.SECONDS, link=(token, master_key.LINK_SECONDS)
        )
    except GatewayError as error:
        if error.kind.name != "conflict":
            raise
        return _form("", "This link was already used. Restart Sluice for a new one.", 401)
    _LOG.info("%s logged in to the window by the link, from %s", administrator.name, request.remote_addr)
    gateway.limits.end(admission, [0])
    response = Response(rendering.page("welcome"))
    sessions.write_cookie(request, response, secret)
    return response


def log_out() -> Response:
    """End this session, or all sessions of this administrator."""
    store = gateway_of(current_app).state().sessions
    if requests.form().get("everywhere") == "yes":
        store.end_all(g.session.administrator.owner)
    else:
        store.end(g.session.secret)
    return _redirect(address(), "")


def _redirect(target: str, secret: str) -> Response:
    """Redirect to ``target`` and set the session cookie."""
    response = Response(status=303, headers={"location": target})
    sessions.write_cookie(request, response, secret)
    return response


def _form(back: str, fault: str = "", status: int = 200) -> Response:
    settings = gateway_of(current_app).settings
    text = rendering.page(
        "login",
        back=back,
        fault=fault,
        has_master=sessions.master_key(settings) is not None,
        has_link=settings.generated_key is not None,
    )
    return Response(text, status)


def _count_attempt() -> Admission:
    """Count an attempt until it succeeds; raise ``rate_limited`` after too many."""
    touch = Touch("login", _network(request.remote_addr or ""), "this address", _ATTEMPTS)
    admission = gateway_of(current_app).limits.admit([touch], 0)
    if admission.refused is not None:
        wait = max(1, round(admission.decision.wait))
        raise GatewayError("rate_limited", f"Too many login attempts. Wait {wait} s.", retry_after=wait)
    return admission


def _network(text: str) -> str:
    """Return the addresses that one machine may have: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        address = ip_address(text)
    except ValueError:
        return "unknown"
    return str(ip_network(f"{address}/64", strict=False) if isinstance(address, IPv6Address) else address)
