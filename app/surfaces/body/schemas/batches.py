"""The body of ``POST batches``."""

from __future__ import annotations

import re
from typing import Any, Final

from app.dialects.shared.faults import Faults, unsupported, wrong_type
from app.gateway.batch_lines import ENDPOINTS, endpoint_of
from app.surfaces.body.schemas.base import Body, Table, Text, fault
from app.surfaces.body.schemas.parts import metadata

LEAST_KEPT: Final = 3_600
MOST_KEPT: Final = 2_592_000
_WINDOW: Final = re.compile(r"([1-9][0-9]{0,3})([hd])")
_SECONDS: Final = {"h": 3_600.0, "d": 86_400.0}
_MOST_DAYS: Final = 365


class Window(Text):
    """A completion window: so many hours or days."""

    def bound(self, value: Any) -> None:
        """Check the form and the length."""
        found = _WINDOW.fullmatch(value)
        if found is None or int(found[1]) * _SECONDS[found[2]] > _MOST_DAYS * _SECONDS["d"]:
            raise fault(
                "invalid_value",
                f"Invalid value: '{value[:64].replace('{', '(').replace('}', ')')}'. Supported values are hours "
                f"or days, as '24h' and '7d', {_MOST_DAYS} days at most.",
            )


class Endpoint(Text):
    """What the lines of a batch ask for."""

    def bound(self, value: Any) -> None:
        """Check that it is one of ours."""
        if endpoint_of(value) is None:
            raise fault(*_describe(unsupported(value, ", ".join(f"'{one}'" for one in ENDPOINTS))))


def _describe(found: Any) -> tuple[str, str]:
    return found.code, str(found)


def expiry(value: dict[str, Any]) -> Faults:
    """Check ``expires_after`` and ``output_expires_after``: seconds from the creation on."""
    if value.get("anchor") != "created_at":
        return {"anchor": [unsupported(value.get("anchor"), "'created_at'")]}
    seconds = value.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        return {"seconds": [wrong_type("an integer", seconds)]}
    if not LEAST_KEPT <= seconds <= MOST_KEPT:
        return {"seconds": [unsupported(seconds, f"{LEAST_KEPT} to {MOST_KEPT}")]}
    return None


def window_seconds(window: str) -> float:
    """Return the seconds of a completion window that was checked."""
    found = _WINDOW.fullmatch(window)
    return int(found[1]) * _SECONDS[found[2]] if found else 0.0


class BatchBody(Body):
    """``POST batches``."""

    input_file_id = Text(required=True, longest=512)
    endpoint = Endpoint(required=True)
    completion_window = Window(required=True)
    metadata = Table(check=metadata)
    output_expires_after = Table(check=expiry)
