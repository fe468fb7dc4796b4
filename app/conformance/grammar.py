"""The base of the grammars of streams: it collects which rules a stream breaks, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


class Grammar:
    """One stream under check; ``where`` names the event that is being checked."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.where = ""

    def report(self, violation: str) -> None:
        """Add a broken rule."""
        self.violations.append(f"{self.where}: {violation}")

    def expect(self, rules: Mapping[str, object]) -> None:
        """Report each rule that does not hold; ``rules`` maps what is wrong otherwise to whether the rule holds."""
        for violation, holds in rules.items():
            if not holds:
                self.report(violation)
