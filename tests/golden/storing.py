"""The stored records: one file a fixture, the request and what goes out to each target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.gateway.core import Gateway
from tests.golden.fixtures import FIXTURES, TARGETS
from tests.golden.making import Record, record

FOLDER = Path(__file__).parent / "records"


def records(gateway: Gateway, operation: str, name: str) -> dict[str, Record]:
    """Make one fixture's records for all targets."""
    return {
        model: record(gateway, operation, FIXTURES[operation][name], model) for model in TARGETS[operation]
    }


def document(operation: str, name: str, made: dict[str, Record]) -> dict[str, Any]:
    """What the file of a fixture holds."""
    return {
        "request": dict(FIXTURES[operation][name]),
        "outgoing": {model: one.stored() for model, one in made.items()},
    }


def path(operation: str, name: str) -> Path:
    """Where a fixture's records lie."""
    return FOLDER / operation / f"{name}.json"


def strays(wanted: set[Path]) -> set[Path]:
    """Return the records of requests that are none of ``wanted``."""
    return {file for operation in FIXTURES for file in (FOLDER / operation).glob("*.json")} - wanted


def write(gateway: Gateway) -> int:
    """Write all files anew and drop those of no fixture; return how many were written."""
    expected = {
        path(operation, name): (operation, name) for operation in FIXTURES for name in FIXTURES[operation]
    }
    for file in strays(set(expected)):
        file.unlink()
    for file, (operation, name) in expected.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        made = document(operation, name, records(gateway, operation, name))
        file.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(expected)
