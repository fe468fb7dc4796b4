"""The administrator's key that a start makes where ``SLUICE_MASTER_KEY`` is not set, and the link of the window.

gunicorn's first process makes the key and leaves it in its environment; each worker takes it from
there, so that all of them know the same one, also after a reload. The key opens ``/admin`` and ``/ui``
and no surface. What is printed is not the key but a link, which works once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Final

from app.config import Secret, Settings

VARIABLE: Final = "_SLUICE_MADE_KEY"
LINK_SECONDS: Final = 12 * 3_600
"""How long after the start the link works."""

_FORM: Final = re.compile(r"[0-9a-f]{64}")
_LINK: Final = re.compile(r"([0-9]{1,12})-([0-9a-f]{64})")


def make(environ: MutableMapping[str, str]) -> str:
    """Return the key that this start made; the first caller makes it."""
    if _FORM.fullmatch(environ.get(VARIABLE, "")) is None:
        environ[VARIABLE] = secrets.token_hex(32)
    return environ[VARIABLE]


def adopt(settings: Settings, environ: MutableMapping[str, str]) -> Settings:
    """Return the settings of a worker with the generated key, and remove the key from its
    environment."""
    key = environ.pop(VARIABLE, "")
    if settings.master_key is not None or _FORM.fullmatch(key) is None:
        return settings
    return replace(settings, generated_key=Secret(key))


def link(key: str, now: float | None = None) -> str:
    """Return the token of a link that is made now."""
    moment = int(time.time() if now is None else now)
    return f"{moment}-{_signature(key, moment)}"


def is_link(key: str, token: str, now: float | None = None) -> bool:
    """Tell whether ``token`` is that of a link which still works."""
    match = _LINK.fullmatch(token)
    if match is None or not hmac.compare_digest(_signature(key, int(match[1])), match[2]):
        return False
    age = (time.time() if now is None else now) - int(match[1])
    return age < LINK_SECONDS


def _signature(key: str, moment: int) -> str:
    return hmac.new(key.encode(), b"sluice window link %d" % moment, hashlib.sha256).hexdigest()
