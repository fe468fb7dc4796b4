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
from app.config_loading.files import read_text

SECTIONS: Final = ("server", "providers", "keys")

_VARIABLE: Final = re.compile(r"(?:env[:.]|os\.environ/)([A-Za-z_][A-Za-z0-9_]*)")
_FILE: Final = "file:"
_MAX_FILE: Final = 64 * 1024  # characters


def resolve_references(document: dict[str, Any], environ: Mapping[str, str], faults: Faults) -> set[str]:
    """Replace all references by their values; return the names of the variables used."""
    used: set[str] = set()
    for section in SECTIONS:
        for path, container, name in list(_texts(document.get(section), (section,))):
            text = container[name]
            variable = _VARIABLE.fullmatch(text)
            if variable is not None:
                used.add(variable[1])
                if value := environ.get(variable[1], "").strip():
                    container[name] = value
                else:
                    faults.add(path, "names a variable that is not set or empty")
            elif text.startswith(_FILE):
                try:
                    container[name] = _content(text[len(_FILE) :])
                except ValueError as error:
                    faults.add(path, f"names a file that {error}")
    return used


def _content(path: str) -> str:
    """Return the text of a file; raises ``ValueError`` with what is wrong with it."""
    try:
        text = read_text(File(path).expanduser(), _MAX_FILE).strip()
    except (ValueError, RuntimeError) as error:  # the second for a home folder that nobody has
        raise ValueError(f"cannot be read: {error}") from error
    if not text:
        raise ValueError("is empty")
    return text


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
