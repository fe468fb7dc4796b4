"""How signatures of one model's reasoning travel through another surface's slots.

A signature leaves as ``slr1.`` and base64url JSON of its maker's dialect, realm and value,
sealed with the operator's key where one is given. Text without that tag is native to the
dialect that brought it.
"""

from __future__ import annotations

import base64
from typing import Final

from app.canonical.request import Signature
from app.config import Settings
from app.gateway.call import Sealing
from app.wire.json import dumps, loads_lenient

_TAG: Final = "slr1."


def wrap(signature: Signature) -> str:
    """Return the text that stands for ``signature`` in a surface's slot."""
    members = {"d": signature.dialect, "r": signature.realm, "v": signature.value}
    return _TAG + base64.urlsafe_b64encode(dumps(members)).decode().rstrip("=")


def unwrap(text: str) -> Signature | None:
    """Return the signature that ``wrap`` made, None for text that is not ours."""
    if not text.startswith(_TAG):
        return None
    encoded = text[len(_TAG) :]
    try:
        members = loads_lenient(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except ValueError:
        return None
    if not isinstance(members, dict) or not isinstance(members.get("v"), str):
        return None
    return Signature(members["v"], str(members.get("d")), members.get("r"))


def make_sealing(settings: Settings) -> Sealing:
    """Return the pair for these settings."""
    return Sealing(wrap, unwrap)
