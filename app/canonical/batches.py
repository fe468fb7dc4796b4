"""A batch that a provider runs, as every provider with batches tells of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class BatchObject:
    """A batch at its provider. ``status`` is OpenAI's word; ``completed`` and ``failed`` count requests.
    ``errors`` are code, message and line of what is wrong with the whole; ``metadata`` is what it was made with."""

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
        """Tell whether it has ended, however that was."""
        return self.status in ENDED
