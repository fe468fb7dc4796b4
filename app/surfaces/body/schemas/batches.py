"""The body of ``POST batches`` (OpenAI's Batch API)."""

from __future__ import annotations

import re
from typing import Any, Final

from marshmallow import ValidationError

from app.dialects.shared.faults import Faults, unsupported, wrong_type
from app.gateway.batch_lines import ENDPOINTS, endpoint_of
from app.surfaces.body.schemas.base import Body, Object, String, fault
from app.surfaces.body.schemas.parts import metadata

LEAST_EXPIRY: Final = 3_600
MOST_EXPIRY: Final = 2_592_000
"""Seconds after which a file may expire: an hour to 30 days, as at OpenAI."""
_WINDOW: Final = re.compile(r"([1-9][0-9]{0,3})([hd])")
_SECONDS: Final = {"h": 3_600.0, "d": 86_400.0}
_MOST_DAYS: Final = 365


class Window(String):
    """A completion window: a number of hours or days, such as ``24h``."""

    def check_bounds(self, value: Any) -> None:
        """Check the form and the length."""
        if not 0 < window_seconds(value) <= _MOST_DAYS * _SECONDS["d"]:
            raise fault(
                "invalid_value",
                f"Invalid value: '{value[:64].replace('{', '(').replace('}', ')')}'. Supported values are hours "
                f"or days, as '24h' and '7d', {_MOST_DAYS} days at most.",
            )


class Endpoint(String):
    """The endpoint of the lines of a batch."""

    def check_bounds(self, value: Any) -> None:
        """Check that batches of it are served."""
        if endpoint_of(value) is None:
            raise ValidationError([unsupported(value, ", ".join(f"'{one}'" for one in ENDPOINTS))])


def expiry(value: dict[str, Any]) -> Faults:
    """Check ``output_expires_after``: seconds from the creation on."""
    if value.get("anchor") != "created_at":
        return {"anchor": [unsupported(value.get("anchor"), "'created_at'")]}
    seconds = value.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        return {"seconds": [wrong_type("an integer", seconds)]}
    if not LEAST_EXPIRY <= seconds <= MOST_EXPIRY:
        return {"seconds": [unsupported(seconds, f"{LEAST_EXPIRY} to {MOST_EXPIRY}")]}
    return None


def window_seconds(window: str) -> float:
    """Return the seconds of a completion window, 0 for an invalid one."""
    match = _WINDOW.fullmatch(window)
    return int(match[1]) * _SECONDS[match[2]] if match else 0.0


class BatchBody(Body):
    """``POST batches``."""

    input_file_id = String(required=True, longest=512)
    endpoint = Endpoint(required=True)
    completion_window = Window(required=True)
    metadata = Object(check=metadata)
    output_expires_after = Object(check=expiry)
