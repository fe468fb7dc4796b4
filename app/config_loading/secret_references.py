"""Secrets by reference: ``env:NAME`` and ``file:/path`` in place of a text.

Other gateways' spellings ``env.NAME`` and ``os.environ/NAME`` mean the same. Every text of
``[server]``, ``[providers]`` and ``[keys]`` may be a reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path as File
from typing import Any, Final

from app.config_loading.faults import Faults, Path

SECTIONS: Final = ("server", "providers", "keys")

_VARIABLE: Final = re.compile(r"(?:env[:.]|os\.environ/)([A-Za-z_][A-Za-z0-9_]*)")
_FILE: Final = "file:"
_MAX_FILE: Final = 64 * 1024  # bytes


def resolve_references(document: dict[str, Any], environ: Mapping[str, str], faults: Faults) -> set[str]:
    """Replace all references by their values; return the names of the variables used."""
    used: set[str] = set()
    for section in SECTIONS:
        for path, container, name in list(_texts(document.get(section), (section,))):
            text = container[name]
            variable = _VARIABLE.fullmatch(text)
            if variable is not None:
                used.add(variable[1])
                _replace(
                    container, name, environ.get(variable[1], "").strip(), path, faults, "names a variable"
                )
            elif text.startswith(_FILE):
                _replace(container, name, _content(text[len(_FILE) :]), path, faults, "names a file")
    return used


def _replace(container: Any, name: Any, value: str | None, path: Path, faults: Faults, what: str) -> None:
    if value:
        container[name] = value
    else:
        faults.add(path, f"{what} that {'cannot be read' if value is None else 'is not set or empty'}")


def _content(path: str) -> str | None:
    try:
        with File(path).expanduser().open(encoding="utf-8") as file:
            return file.read(_MAX_FILE).strip()
    except (OSError, ValueError, RuntimeError):
        return None


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """Yield (path, holder, name) of every text below ``value``."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, member in members:
        if isinstance(member, str):
            yield (*path, name), value, name
        else:
            yield from _texts(member, (*path, name))
