"""What a key or its tenant may use: models by patterns, and types of requests.

Tests: tests/gateway/test_allowances.py, tests/surfaces/test_allowances.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.canonical.record import record


@record
class Allowance:
    """One level. ``models`` are patterns over ``provider/model`` and over names of the operator's;
    ``operations`` are types of requests. None: all."""

    models: tuple[str, ...] | None = None
    operations: frozenset[str] | None = None

    def allows_model(self, target: str, alias: str | None) -> bool:
        """Tell whether ``provider/model``, or the name that led to it, fits a pattern."""
        if self.models is None:
            return True
        names = (target,) if alias is None else (target, alias)
        return any(fits(pattern, name) for pattern in self.models for name in names)

    def allows_provider(self, name: str) -> bool:
        """Tell whether some model of a provider may fit a pattern."""
        if self.models is None:
            return True
        prefix = f"{name}/"
        fixed = [(pattern, pattern.partition("*")[0]) for pattern in self.models]
        return any(
            head.startswith(prefix) or (head != pattern and prefix.startswith(head))
            for pattern, head in fixed
        )

    def allows_operation(self, name: str) -> bool:
        """Tell whether a type of request is allowed."""
        return self.operations is None or name in self.operations


def allowance(models: Iterable[str] | None, operations: Iterable[str] | None) -> tuple[Allowance, ...]:
    """Return the level that members make; none where they allow everything."""
    if models is None and operations is None:
        return ()
    return (
        Allowance(
            None if models is None else tuple(models),
            None if operations is None else frozenset(operations),
        ),
    )


def fits(pattern: str, name: str) -> bool:
    """Tell whether ``name`` fits a pattern in which ``*`` stands for any characters, and nothing else does.

    Each piece is looked for once, from where the one before it ended: a later place would leave less."""
    first, *pieces = pattern.split("*")
    if not pieces:
        return name == pattern
    last = pieces.pop()
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    place, end = len(first), len(name) - len(last)
    for piece in pieces:
        at = name.find(piece, place, end)
        if at < 0:
            return False
        place = at + len(piece)
    return True
