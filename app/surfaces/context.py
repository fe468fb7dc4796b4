"""The contexts of the current request, for code that runs in every request.

Flask's ``request``, ``g`` and ``current_app`` are proxies of these variables; access through a proxy takes ten times as
long. Both functions raise LookupError outside of a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flask.ctx import AppContext, RequestContext
from flask.globals import _cv_app, _cv_request

request_context: Final[Callable[[], RequestContext]] = _cv_request.get
"""Return the context that has ``request``."""

app_context: Final[Callable[[], AppContext]] = _cv_app.get
"""Return the context that has ``app`` and ``g``."""
