"""Query members, typed: a bad one is a 400 that names it, whether or not it takes effect."""

from __future__ import annotations

import re
from typing import Final

from flask import request
from werkzeug.datastructures import MultiDict

from app.errors import GatewayError
from app.state.paging import PageQuery

_INCLUDE: Final = re.compile(r"include(\[\d*\])?")
_INTEGER: Final = re.compile(r"-?\d{1,18}")
_MAX_CURSOR: Final = 512


def boolean(name: str, default: bool) -> bool:
    """Return a ``true`` or ``false`` of the query."""
    text = request.args.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise GatewayError(
            "bad_request",
            f"Invalid value: '{text[:64]}'. Supported values are: 'true' and 'false'.",
            param=name,
            code="invalid_value",
        )
    return text == "true"


def integer(name: str, default: int | None, *, least: int | None = None) -> int | None:
    """Return a decimal integer of the query."""
    text = request.args.get(name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text):
        raise GatewayError(
            "bad_request",
            f"Invalid type for '{name}': expected an integer, but got '{text[:64]}' instead.",
            param=name,
            code="invalid_type",
        )
    value = int(text)
    if least is not None and value < least:
        raise GatewayError(
            "bad_request",
            f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, "
            f"but got {value} instead.",
            param=name,
            code="integer_below_min_value",
        )
    return value


def include() -> list[str]:
    """Return the ``include`` list in any of its spellings: repeated, ``include[]``,
    ``include[0]``, comma lists; empty ones count for nothing."""
    args: MultiDict[str, str] = request.args
    values = [value for name in args if _INCLUDE.fullmatch(name) for value in args.getlist(name)]
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def page(default_order: str = "desc") -> PageQuery:
    """Return ``limit``, ``order``, ``after`` and ``before``."""
    limit = integer("limit", 20)
    return PageQuery(
        limit=20 if limit is None else limit,
        order=request.args.get("order", default_order),
        after=_cursor("after"),
        before=_cursor("before"),
    )


def _cursor(name: str) -> str | None:
    value = request.args.get(name)
    if value is None or value == "":
        return None
    if len(value) > _MAX_CURSOR:
        raise GatewayError("bad_request", f"Invalid '{name}': too long.", param=name, code="invalid_value")
    return value
