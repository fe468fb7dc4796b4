"""Findings of a diagnosis: a line each for people, or JSON for scripts.

A finding is ``ok``, ``note`` (information), ``warn`` (probably not intended) or ``fail``; the last two have a remedy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

from app.canonical.record import record

STATES: Final = ("ok", "note", "warn", "fail")


@record
class Finding:
    """One finding: what was checked, its state, a message and a remedy."""

    check: str
    state: str
    message: str
    remedy: str | None = None

    @property
    def line(self) -> str:
        """Return the finding as a line of text."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.state:<4}  {self.check}: {self.message}{remedy}"


def ok(check: str, message: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, "ok", message)


def note(check: str, message: str) -> Finding:
    """Return a finding for information."""
    return Finding(check, "note", message)


def warn(check: str, message: str, remedy: str | None = None) -> Finding:
    """Return a finding that is probably not intended."""
    return Finding(check, "warn", message, remedy)


def fail(check: str, message: str, remedy: str | None = None) -> Finding:
    """Return a finding that must be mended."""
    return Finding(check, "fail", message, remedy)


def is_well(findings: Iterable[Finding]) -> bool:
    """Tell whether no finding needs a remedy."""
    return all(one.state in ("ok", "note") for one in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """Return the findings as JSON text."""
    return json.dumps(as_object(findings), indent=2, ensure_ascii=False)


def as_object(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as a JSON object."""
    return {"object": "examination", "ok": is_well(findings), "findings": [asdict(one) for one in findings]}
