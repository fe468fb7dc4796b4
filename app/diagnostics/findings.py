"""What an examination found: one line each for people, or JSON for scripts.

A finding is ``ok``, ``note`` (good to know), ``warn`` (hardly meant) or ``fail``; the last two have a remedy.
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
    """One line: what was looked at, how it is, a sentence, and what to do."""

    check: str
    state: str
    message: str
    remedy: str | None = None

    @property
    def line(self) -> str:
        """Return the finding as one reads it."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.state:<4}  {self.check}: {self.message}{remedy}"


def ok(check: str, message: str) -> Finding:
    """Return what is well."""
    return Finding(check, "ok", message)


def note(check: str, message: str) -> Finding:
    """Return what is good to know."""
    return Finding(check, "note", message)


def warn(check: str, message: str, remedy: str | None = None) -> Finding:
    """Return what is hardly meant."""
    return Finding(check, "warn", message, remedy)


def fail(check: str, message: str, remedy: str | None = None) -> Finding:
    """Return what stands in the way."""
    return Finding(check, "fail", message, remedy)


def is_well(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing is to be done."""
    return all(one.state in ("ok", "note") for one in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """Return all findings as the text of one object."""
    return json.dumps(as_object(findings), indent=2, ensure_ascii=False)


def as_object(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return all findings as one object."""
    return {"object": "examination", "ok": is_well(findings), "findings": [asdict(one) for one in findings]}
