"""The context of the current request, for code that runs in every request.

Flask's ``request``, ``g`` and ``current_app`` are proxies of its two contexts; access through a proxy takes ten times as
long. One object serves as both here. Both functions raise LookupError outside of a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flask import Flask, Request
from flask.ctx import AppContext, RequestContext, _AppCtxGlobals
from flask.globals import _cv_app, _cv_request
from werkzeug.routing import MapAdapter


class Globals:
    """Flask's ``g`` without the ``__getattr__`` that slows down each access to a member."""

    __contains__, __iter__ = _AppCtxGlobals.__contains__, _AppCtxGlobals.__iter__
    get, pop, setdefault = _AppCtxGlobals.get, _AppCtxGlobals.pop, _AppCtxGlobals.setdefault


class Context:
    """What Flask's proxies look up: the application, the request and ``g``. The adapter is None where the table of rules
    without parameters had the rule."""

    __slots__ = ("app", "g", "request", "url_adapter")

    def __init__(self, app: Flask, request: Request) -> None:
        self.app = app
        self.request = request
        self.g = Globals()
        self.url_adapter: MapAdapter | None = None


request_context: Final[Callable[[], RequestContext]] = _cv_request.get
"""Return the context that has ``request``."""

app_context: Final[Callable[[], AppContext]] = _cv_app.get
"""Return the context that has ``app`` and ``g``."""
