"""The admin API, asked from inside this process: by the window and by commands.

It goes through the whole application, so that roles, schemas and the audit hold as they do outside.
"""

from __future__ import annotations

import json
from typing import Any, Final

from flask import Flask
from werkzeug.test import Client

from app.state.audit import Actor

ACTOR: Final = "sluice.actor"
"""Who asks from inside; no request from outside can set this in its environment."""


class AdminClient:
    """Asks the application ``admin``."""

    def __init__(self, admin: Flask) -> None:
        self._client = Client(admin, use_cookies=False)

    def ask(self, actor: Actor, method: str, path: str, **sent: Any) -> tuple[int, Any]:
        """Return the status and the JSON that ``path`` below ``/admin`` answers ``actor``.

        ``sent`` is ``json`` or ``query_string``."""
        environ = {ACTOR: actor, "REMOTE_ADDR": actor.address}
        answer = self._client.open(path, method=method, environ_overrides=environ, **sent)
        return answer.status_code, json.loads(answer.get_data())
