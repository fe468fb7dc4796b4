"""The admin API, called inside this process by the window and by commands.

Calls go through the whole application, so roles, schemas and the audit apply as for outside callers.
"""

from __future__ import annotations

import json
from typing import Any, Final

from flask import Flask
from werkzeug.test import Client

from app.state.audit import Actor

ACTOR: Final = "sluice.actor"
"""The internal caller; a request from outside cannot set this environ entry."""


class AdminClient:
    """Calls the WSGI application ``admin``."""

    def __init__(self, admin: Flask) -> None:
        self._client = Client(admin, use_cookies=False)

    def ask(self, actor: Actor, method: str, path: str, **content: Any) -> tuple[int, Any]:
        """Return status and JSON of the answer to ``actor``'s request for ``path``, which is below ``/admin``.

        ``content`` is ``json`` or ``query_string``, as Werkzeug's test client takes them."""
        environ = {ACTOR: actor, "REMOTE_ADDR": actor.address}
        answer = self._client.open(path, method=method, environ_overrides=environ, **content)
        return answer.status_code, json.loads(answer.get_data())
