"""Where a client offered a tool: alone, in a namespace, or as its own search for tools."""

from __future__ import annotations

from typing import Final

from app.canonical.record import record

SEARCH: Final = "tool_search"


@record
class Place:
    """A tool as its client names it: ``namespace`` is None for one that stands alone.

    ``search`` marks the client's own search for tools, whose calls are items of their own."""

    name: str
    namespace: str | None = None
    search: bool = False

    def members(self) -> dict[str, str]:
        """Return the members by which an item names the tool."""
        return (
            {"name": self.name}
            if self.namespace is None
            else {"name": self.name, "namespace": self.namespace}
        )
