"""Native members of chat completions: those of a part or an answer that only this dialect understands."""

from __future__ import annotations

from functools import partial
from typing import Final

from app.dialects.shared import native

NAME: Final = "chat"

own_members: Final = partial(native.own_members, NAME)
as_native: Final = partial(native.as_native, NAME)
