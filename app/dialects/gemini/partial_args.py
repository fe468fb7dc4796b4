"""Arguments of a function call that Vertex streams in pieces (``partialArgs``), put together.

A piece has a JSON path (``$.place.rows[0].name``) and a value; a string may come in several pieces.
Source: google-genai's ``PartialArg``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.dialects.shared.lenient_json import JSON, MAX_DEPTH, as_str

_STEP: Final = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,9})\]|\['([^']*)'\]|\["([^"]*)"\]""")
_VALUES: Final = ("stringValue", "numberValue", "boolValue")


def join_args(pieces: Iterable[Mapping[str, Any]]) -> JSON:
    """Return the arguments that pieces make up; a piece without a place is left out."""
    values: dict[str, list[Any]] = {}
    for piece in pieces:
        value = next((piece[name] for name in _VALUES if piece.get(name) is not None), None)
        values.setdefault(as_str(piece.get("jsonPath")), []).append(value)
    root: dict[Any, Any] = {}
    for path, parts in values.items():
        steps = [int(m[2]) if m[2] else m[1] or m[3] or m[4] for m in _STEP.finditer(path)][:MAX_DEPTH]
        is_text = all(isinstance(part, str) for part in parts)
        node = root
        for step in steps[:-1]:
            node[step] = node[step] if isinstance(node.get(step), dict) else {}
            node = node[step]
        node.update({step: "".join(parts) if is_text else parts[-1] for step in steps[-1:]})
    return {str(name): _tree(value) for name, value in root.items()}


def _tree(node: Any) -> Any:
    """Return a value; an object whose names are all numbers is an array."""
    if not isinstance(node, dict):
        return node
    if all(isinstance(name, int) for name in node):
        return [_tree(value) for _, value in sorted(node.items())]
    return {str(name): _tree(value) for name, value in node.items()}
