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

    def ask(self, actor: Actor, method: str, path: str, **sent: Any) -> tuple[int, Any]:
        """Return the status and the JSON that ``path`` below ``/admin`` answers ``actor``.

        ``sent`` is ``json`` or ``query_string``."""
        environ = {ACTOR: actor, "REMOTE_ADDR": actor.address}
        answer = self._client.open(path, method=method, environ_overrides=environ, **sent)
        return answer.status_code, json.loads(answer.get_data())
