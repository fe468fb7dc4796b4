"""Typed query members: an invalid one is a 400 that names it, even if it is unused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from flask import Request, request
from werkzeug.datastructures import MultiDict

from app.errors import GatewayError
from app.state.records import PageQuery

_INCLUDE: Final = re.compile(r"include(\[\d*\])?")
_INTEGER: Final = re.compile(r"-?\d{1,18}")
_MAX_CURSOR: Final = 512


def refuse_nul(asked: Request) -> None:
    """Refuse a query with a NUL in one of its values: PostgreSQL takes none."""
    if "%00" not in asked.environ.get("QUERY_STRING", ""):
        return
    for name, value in asked.args.items(multi=True):
        if "\0" in value:
            raise GatewayError(
                "bad_request",
                f"Invalid '{name[:64]}': it holds a NUL character.",
                param=name[:64],
                code="invalid_value",
            )


def boolean(name: str, default: bool) -> bool:
    """Return a query member that is ``true`` or ``false``."""
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
    """Return a query member that is a decimal integer."""
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


def bounded(name: str, default: int, most: int) -> int:
    """Return a query member that is an integer from 1 to ``most``."""
    value = integer(name, default, least=1)
    if value is not None and value > most:
        raise GatewayError(
            "bad_request",
            f"Invalid '{name}': integer above maximum value. Expected a value <= {most}, "
            f"but got {value} instead.",
            param=name,
            code="integer_above_max_value",
        )
    return default if value is None else value


def choice(name: str, choices: Sequence[str]) -> str:
    """Return a query member that is one of ``choices``, by default the first."""
    value = request.args.get(name, choices[0])
    if value not in choices:
        listed = " and ".join(f"'{one}'" for one in choices)
        raise GatewayError(
            "bad_request",
            f"Invalid value: '{value[:64]}'. Supported values are: {listed}.",
            param=name,
            code="invalid_value",
        )
    return value


def include() -> list[str]:
    """Return the ``include`` list in any spelling: repeated, ``include[]``,
    ``include[0]``, comma lists; empty values are ignored."""
    args: MultiDict[str, str] = request.args
    values = [value for name in args if _INCLUDE.fullmatch(name) for value in args.getlist(name)]
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def page(default_order: str = "desc") -> PageQuery:
    """Return ``limit``, ``order``, ``after`` and ``before``."""
    limit = integer("limit", 20)
    return PageQuery(
        limit=20 if limit is None else limit,
        order=request.args.get("order", default_order),
        after=cursor("after"),
        before=cursor("before"),
    )


def cursor(name: str) -> str | None:
    """Return the id after or before which a list continues, or None."""
    value = request.args.get(name)
    if value is None or value == "":
        return None
    if len(value) > _MAX_CURSOR:
        raise GatewayError("bad_request", f"Invalid '{name}': too long.", param=name, code="invalid_value")
    return value
