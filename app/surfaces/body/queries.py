"""Typed query parameters; an invalid one is a 400 that names it, even if the view ignores it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from flask import Request, request

from app.errors import GatewayError
from app.state.records import PageQuery

_INCLUDE: Final = re.compile(r"include(\[\d*\])?")
_INTEGER: Final = re.compile(r"-?\d{1,18}")
_MAX_CURSOR: Final = 512
_LIMIT: Final = 20


def refuse_nul(request: Request) -> None:
    """Raise ``bad_request`` for a query with a NUL character, which PostgreSQL cannot store."""
    if "%00" not in request.environ.get("QUERY_STRING", ""):
        return
    for name, value in request.args.items(multi=True):
        if "\0" in value:
            raise GatewayError(
                "bad_request",
                f"Invalid '{name[:64]}': it contains a NUL character.",
                param=name[:64],
                code="invalid_value",
            )


def boolean(name: str, default: bool) -> bool:
    """Return a parameter that is ``true`` or ``false``."""
    return choice(name, ("true", "false"), "true" if default else "false") == "true"


def integer(name: str, default: int | None, *, least: int | None = None) -> int | None:
    """Return a parameter that is a decimal integer."""
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


def limit(default: int, most: int) -> int:
    """Return the parameter ``limit``, an integer from 1 to ``most``."""
    value = integer("limit", default, least=1) or default
    if value > most:
        raise GatewayError(
            "bad_request",
            f"Invalid 'limit': integer above maximum value. Expected a value <= {most}, but got {value} instead.",
            param="limit",
            code="integer_above_max_value",
        )
    return value


def choice(name: str, choices: Sequence[str], default: str) -> str:
    """Return a parameter that is one of ``choices``."""
    value = request.args.get(name, default)
    if value not in choices:
        options = " and ".join(f"'{choice}'" for choice in choices)
        raise GatewayError(
            "bad_request",
            f"Invalid value: '{value[:64]}'. Supported values are: {options}.",
            param=name,
            code="invalid_value",
        )
    return value


def include() -> list[str]:
    """Return the list ``include`` in any form: repeated, ``include[]``, ``include[0]`` or with commas, without
    empty values."""
    values = [value for name, value in request.args.items(multi=True) if _INCLUDE.fullmatch(name)]
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def page(default_order: str = "desc") -> PageQuery:
    """Return ``limit``, ``order``, ``after`` and ``before``; the store checks ``limit`` and ``order``."""
    limit = integer("limit", _LIMIT)
    return PageQuery(
        limit=_LIMIT if limit is None else limit,
        order=request.args.get("order", default_order),
        after=cursor("after"),
        before=cursor("before"),
    )


def cursor(name: str) -> str | None:
    """Return the id after or before which a list continues, or None at its beginning."""
    value = request.args.get(name) or None
    if value is not None and len(value) > _MAX_CURSOR:
        raise GatewayError("bad_request", f"Invalid '{name}': too long.", param=name, code="invalid_value")
    return value
