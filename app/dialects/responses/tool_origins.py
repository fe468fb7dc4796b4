"""The place of a tool in a client's body: alone, in a namespace, or as the client's own tool search."""

from __future__ import annotations

from typing import Final

from app.canonical.record import record

SEARCH: Final = "tool_search"


@record
class Place:
    """The client's name of a tool; ``namespace`` is None for one outside of namespaces.

    ``search`` marks the client's own tool search, whose calls are items of a type of their own.
    """

    name: str
    namespace: str | None = None
    search: bool = False

    def members(self) -> dict[str, str]:
        """Return the members of an item that name the tool."""
        namespace = {} if self.namespace is None else {"namespace": self.namespace}
        return {"name": self.name, **namespace}
