"""Parts of an upstream URL that come from outside: path segments and host labels.

Whatever a caller may influence (model, deployment, id, region) enters a URL only
through here. ``quote`` alone is not enough: it leaves ``..`` alone, and the HTTP
library then collapses it.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from app.errors import GatewayError

MAX_SEGMENT: Final = 512

_FORBIDDEN: Final = frozenset("/\\?#%@:")
_DOTS: Final = frozenset({"", ".", ".."})
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)


def segment(value: str, *, allow: str = "", name: str = "value") -> str:
    """Return ``value`` quoted as one path segment.

    ``allow`` lists further characters that this place accepts, out of ``:``, ``@`` and ``/``. A
    path that ends in a ``:verb`` (``models/{model}:generateContent``) must not allow ``:``, or the
    caller would choose the verb. In recorded traffic Bedrock takes ``:`` and ``/`` (ARNs), both
    percent-encoded, and Vertex takes a plain ``@`` (``claude-opus-4-1@20250805``). ``name`` is what
    the message calls the value.

    Raises ``bad_request`` for an empty or dotted value, one past 512 characters, and
    one with ``/ \\ ? # % @ :``, a control or an unprintable character.
    """
    if len(value) > MAX_SEGMENT:
        raise GatewayError("bad_request", f"The {name} is longer than {MAX_SEGMENT} characters.")
    if not _DOTS.isdisjoint(value.split("/") if "/" in allow else (value,)):
        raise GatewayError("bad_request", f"The {name} must not be empty, '.' or '..'.")
    forbidden = _FORBIDDEN.difference(allow)
    if not value.isprintable() or not forbidden.isdisjoint(value):
        characters = " ".join(sorted(forbidden))
        raise GatewayError(
            "bad_request", f"The {name} must not contain {characters} or unprintable characters."
        )
    return quote(value, safe="@" if "@" in allow else "")


def host_label(value: str, *, name: str = "value") -> str:
    """Return ``value`` in lower case if it is one DNS label, else raise ``bad_request``.

    For regions and resource names that become part of a host: letters, digits and
    inner hyphens, at most 63 characters.
    """
    if not _LABEL.fullmatch(value):
        raise GatewayError(
            "bad_request", f"The {name} must be a DNS label: letters, digits and inner hyphens, at most 63."
        )
    return value.lower()
