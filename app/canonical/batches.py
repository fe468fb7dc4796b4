"""A batch at a provider, in the form that all providers with batches share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class BatchObject:
    """A batch at its provider. ``status`` is OpenAI's word; ``completed`` and ``failed`` count requests.
    ``errors`` are code, message and line of errors of the whole batch; ``metadata`` is that of its creation."""

    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    completed: int = 0
    failed: int = 0
    errors: tuple[dict[str, object], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def ended(self) -> bool:
        """Tell whether it has ended, in any way."""
        return self.status in ENDED
