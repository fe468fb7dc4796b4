"""The contexts of the current request, for what every request asks.

These are the variables below Flask's ``request``, ``g`` and ``current_app``, which are proxies: a look through one
costs ten times as much. Both raise LookupError outside of a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flask.ctx import AppContext, RequestContext
from flask.globals import _cv_app, _cv_request

request_context: Final[Callable[[], RequestContext]] = _cv_request.get
"""Return what holds ``request``."""

app_context: Final[Callable[[], AppContext]] = _cv_app.get
"""Return what holds ``app`` and ``g``."""
