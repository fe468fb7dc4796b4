"""Identifiers: how ours are made and which foreign ones may be stored.

An id is a prefix, an underscore and 48 lower-case hexadecimal digits, so at most 64
characters for every prefix here. The first 14 digits are the time and the rest is random
(17 bytes): the index of a table takes a new row at its end, whatever it holds already,
where ids that are all random touch another page each. Response and conversation ids are
always ours; an item keeps the id its upstream or client gave it when that id can be
stored, else it gets one of ours.
"""

from __future__ import annotations

import os
import re
import secrets
import string
import time
from collections import deque
from typing import Any, Final

from app.errors import GatewayError
from app.responses_form.items import item_prefix

RESPONSE: Final = "resp"
CONVERSATION: Final = "conv"

_ALPHANUMERIC: Final = string.ascii_letters + string.digits
_STORABLE: Final = re.compile(r"[!-~]{1,512}")


def new_id(prefix: str) -> str:
    """Make an id such as ``resp_`` followed by 48 hexadecimal digits."""
    return f"{prefix}_{digits()}"


def digits() -> str:
    """Return the digits of an id that is made now."""
    try:
        rest = _RANDOM.popleft()  # in one step, whatever threads do
    except IndexError:
        rest = _draw()
    return (time.time_ns() // 1000).to_bytes(7).hex() + rest


def mint(prefix: str) -> str:
    """Return an id in place of one that an upstream did not give: ``call_`` with 24 alphanumerics as OpenAI's, else the
    prefix and 48 hexadecimal digits. A prefix without separator gets an underscore."""
    if prefix[-1:] not in "_-":
        prefix += "_"
    if prefix == "call_":
        return prefix + "".join(secrets.choice(_ALPHANUMERIC) for _ in range(24))
    return prefix + digits()


def new_request_id() -> str:
    """Make the id of a request that came without one: ``req_`` followed by 32 hexadecimal digits."""
    return f"req_{digits()[:32]}"


_RANDOM: Final[deque[str]] = deque()
"""Random digits for the next ids: to ask the kernel for each would be a system call each."""
_AT_ONCE: Final = 128
os.register_at_fork(after_in_child=_RANDOM.clear)


def _draw() -> str:
    """Draw digits for many ids; return 34 of them, which nobody else gets."""
    digits = os.urandom(17 * _AT_ONCE).hex()
    first, *others = [digits[at : at + 34] for at in range(0, len(digits), 34)]
    _RANDOM.extend(others)
    return first


FILE: Final = "file-"


def new_file_id() -> str:
    """Make the id of a file, which OpenAI's clients know by its hyphen."""
    return f"{FILE}{digits()}"


def new_item_id(item_type: str) -> str:
    """Make an id for a Responses item of this ``type`` (``item_…`` for types unknown)."""
    return new_id(item_prefix(item_type))


def storable(value: Any) -> bool:
    """Tell whether a foreign id may reach the database: printable ASCII, at most 512 characters."""
    return isinstance(value, str) and _STORABLE.fullmatch(value) is not None


def check_previous_response_id(value: Any) -> str:
    """Return ``value`` when it has the form of a response id; else raise OpenAI's 400."""
    if isinstance(value, str) and value.startswith(RESPONSE):
        return value
    raise GatewayError(
        "bad_request",
        f"Invalid 'previous_response_id': '{str(value)[:64]}'. Expected an ID that begins with 'resp'.",
        param="previous_response_id",
        code="invalid_value",
    )
