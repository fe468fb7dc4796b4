"""What commands print: JSON or aligned text, and why they stopped."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import Any


class Refusal(Exception):
    """Why a command stopped, and its exit code: 1 for a failure, 2 for a wrong command line."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def print_result(args: argparse.Namespace, value: Any, text: str) -> int:
    """Print ``value`` as JSON if ``--json`` was passed, else ``text``; return 0."""
    print(json.dumps(value, indent=2) if args.json else text)
    return 0


def members_of(row: Iterable[tuple[str, Any]]) -> str:
    """Return one object as text: a line for each member."""
    return align((name, _cell(value)) for name, value in row)


def table_of(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as text: a line for each, below the names of the columns."""
    return align([columns, *(map(_cell, row) for row in rows)])


def align(rows: Iterable[Iterable[str]]) -> str:
    """Return rows as lines with aligned cells."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".")
    if isinstance(value, list) and not any(isinstance(one, dict) for one in value):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict | list | bool) else str(value)
