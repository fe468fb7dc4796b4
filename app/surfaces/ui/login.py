"""Logging in and out: with an administrator's key, or by the link that the start printed.

Tries are counted by address, in Redis where there is one. Tests: tests/surfaces/test_window.py.
"""

from __future__ import annotations

import logging
import re
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import quote

from flask import Response, current_app, g, redirect, request

from app import master_key
from app.config import Limit
from app.errors import GatewayError
from app.gateway.core import gateway_of
from app.gateway.limits.charges import Touch
from app.gateway.limits.gate import Hold
from app.surfaces.admin import sessions
from app.surfaces.ui import rendering, requests

_LOG: Final = logging.getLogger(__name__)
_TRIES: Final = Limit("requests", 10, "minute")
_LONGEST_KEY: Final = 1_024
_BACK: Final = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")


def address(back: str = "") -> str:
    """Return the address of the log-in, which leads ``back`` to a page below ``/ui``."""
    query = f"?back={quote(back, safe='')}" if _BACK.fullmatch(back) and back != "/" else ""
    return f"{request.script_root}/login{query}"


def form() -> Response | str:
    """Show the form."""
    return _form(request.args.get("back", ""))


def log_in() -> Response:
    """Begin a session for an administrator's key."""
    tried = _count()
    fields = requests.form()
    key, back = fields.get("key", "").strip(), fields.get("back", "")
    gateway = gateway_of(current_app)
    known = sessions.administrator(gateway, key) if 0 < len(key) <= _LONGEST_KEY else None
    if known is None:
        _LOG.warning("a log-in to the window from %s was refused", request.remote_addr)
        return _form(back, "This is not an administrator key.", 401)
    _LOG.info("%s logged in to the window from %s", known.name, request.remote_addr)
    gateway.limits.end(tried, [0])
    secret = gateway.state().sessions.begin(known.owner, sessions.SECONDS)
    response = redirect(_target(back), 303)
    sessions.write_cookie(request, response, secret)  # type: ignore[arg-type]
    return response  # type: ignore[return-value]


def follow(token: str) -> Response:
    """Begin a session by the link of the start, once.

    The answer is a page that leads on: a cookie that is SameSite=Strict would not go with a redirect of a
    link on another page."""
    tried = _count()
    gateway = gateway_of(current_app)
    made = gateway.settings.generated_key
    if request.method == "HEAD" or made is None or not master_key.is_link(made.reveal(), token):
        return _form("", "This link is not valid or has expired. Restart Sluice for a new one.", 401)
    known = sessions.master_of(gateway, made)
    try:
        secret = gateway.state().sessions.begin(
            known.owner, sessions.SECONDS, link=(token, master_key.LINK_SECONDS)
        )
    except GatewayError as error:
        if error.kind.name != "conflict":
            raise
        return _form("", "This link was already used. Restart Sluice for a new one.", 401)
    _LOG.info("%s logged in to the window by the link, from %s", known.name, request.remote_addr)
    gateway.limits.end(tried, [0])
    response = Response(rendering.page("welcome"))
    sessions.write_cookie(request, response, secret)
    return response


def log_out() -> Response:
    """End this session, or all of this administrator's."""
    running, kept = g.session, gateway_of(current_app).state().sessions
    if requests.form().get("everywhere") == "yes":
        kept.end_all(running.administrator.owner)
    else:
        kept.end(running.secret)
    response = redirect(address(), 303)
    sessions.write_cookie(request, response, "")  # type: ignore[arg-type]
    return response  # type: ignore[return-value]


def _form(back: str, fault: str = "", status: int = 200) -> Response:
    settings = gateway_of(current_app).settings
    opens = sessions.master_key(settings) is not None
    text = rendering.page(
        "login", back=back, fault=fault, has_master=opens, made=settings.generated_key is not None
    )
    return Response(text, status)


def _target(back: str) -> str:
    below = back if _BACK.fullmatch(back) else "/"
    return request.script_root + ("" if below == "/" else below)


def _count() -> Hold:
    """Count a try until it succeeds; raises ``rate_limited`` when there were too many."""
    touch = Touch("login", _network(request.remote_addr or ""), "this address", _TRIES)
    hold = gateway_of(current_app).limits.admit([touch], 0)
    if hold.refused is not None:
        wait = max(1, round(hold.verdict.wait))
        raise GatewayError("rate_limited", f"Too many login attempts. Wait {wait} s.", retry_after=wait)
    return hold


def _network(text: str) -> str:
    """Return what one machine has: an IPv4 address, or the network of an IPv6 address."""
    try:
        found = ip_address(text)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        return str(ip_network(f"{found}/64", strict=False))
    return str(found)
