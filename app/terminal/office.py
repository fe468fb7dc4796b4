"""The admin API for a command: asked in this process, over the same configuration and database."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.config import Secret, Settings


def ask(settings: Settings, method: str, path: str, **sent: Any) -> tuple[int, Mapping[str, Any]]:
    """Return the status and the JSON that ``path`` below ``/admin`` answers; ``sent`` is ``json`` or ``query_string``."""
    from app import create_app
    from app.gateway.core import gateway_of
    from app.gateway.layers.log import mute

    mute()
    master = secrets.token_urlsafe()
    app = create_app(replace(settings, master_key=Secret(master), open=False))
    headers = {"authorization": f"Bearer {master}"}
    try:
        answer = app.test_client().open(f"/admin{path}", method=method, headers=headers, **sent)
    finally:
        gateway_of(app).close()
    return answer.status_code, json.loads(answer.data)
