"""The environment over the file's document: a variable overrides the member that it names.

Nothing is validated here. Values are put in their places, and each place records its
variable, so that a fault names what the operator wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.config_loading.faults import Faults, Path
from app.config_loading.members import KEYS_VARIABLE, MEMBERS
from app.providers import PROVIDERS, Row, row_of

Document = dict[str, Any]


class Overlay:
    """Writes variables into a document.

    ``sources`` says which variable gave the value at a path; ``declared`` are the providers
    that the file has a section of.
    """

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.document = document
        self.sources: dict[Path, str] = {}
        self.faults = Faults(self.sources)
        declared = document.get("providers")
        self.declared = tuple(declared) if isinstance(declared, dict) else ()
        self._environ = environ

    def apply(self) -> None:
        """Write every variable into the document."""
        for member in MEMBERS:
            self._set_first(("server", *member.path), (member.variable,), member.kind.read)
        for name in dict.fromkeys([*self.declared, *PROVIDERS]):
            self._put_provider(name, row_of(name))
        self._put_keys()

    def chain_of(self, row: Row) -> bool:
        """Tell whether a variable of the vendor's own credential chain is set."""
        return any(self._text(name) for name in row.chain)

    def _put_provider(self, name: str, row: Row) -> None:
        section = self._table(("providers",)).get(name)
        if not (isinstance(section, dict) and "keys" in section):
            self._set_first(("providers", name, "api_key"), row.keys)
        self._set_first(("providers", name, "base_url"), row.urls)
        for option, spec in row.options.items():
            self._set_first(("providers", name, "options", option), spec.variables)

    def _put_keys(self) -> None:
        text = self._text(KEYS_VARIABLE)
        if text is None:
            return
        names: set[str] = set()
        for number, entry in enumerate(text.split(","), 1):
            parts = [part.strip() for part in entry.split(":")]
            if len(parts) not in (2, 3) or not all(parts):
                self.faults.add((KEYS_VARIABLE,), f"entry {number} must be name:key or name:key:tenant")
            elif parts[0] in names:
                self.faults.add((KEYS_VARIABLE,), f"entry {number} repeats a name")
            else:
                names.add(parts[0])
                row = dict(zip(("key", "tenant"), parts[1:], strict=False))
                self._set(("keys", parts[0]), row, KEYS_VARIABLE)

    def _set_first(self, path: Path, variables: tuple[str, ...], parse: Any = str) -> None:
        for variable in variables:
            text = self._text(variable)
            if text is not None:
                self._set(path, parse(text), variable)
                return

    def _set(self, path: Path, value: Any, variable: str) -> None:
        table = self._table(path[:-1])
        table[path[-1]] = value
        self.sources[path] = variable

    def _table(self, path: Path) -> dict[Any, Any]:
        """Return the table at ``path``, created if missing; a detached one if the file has another value there."""
        table: dict[Any, Any] = self.document
        for step in path:
            below = table.setdefault(step, {})
            if not isinstance(below, dict):
                return {}
            table = below
        return table

    def _text(self, variable: str) -> str | None:
        return (self._environ.get(variable) or "").strip() or None
