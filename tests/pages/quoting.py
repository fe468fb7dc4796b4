"""Reading a quoted page: is the quote the page's, and does an answer have the members quoted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SIXTEEN = (
    *("openai", "anthropic", "azure", "bedrock", "cohere", "vertex", "mistral", "ollama"),
    *("gemini", "groq", "openrouter", "sgl", "parasail", "elevenlabs", "perplexity", "cerebras"),
)


def page(shared_dir: Path, number: str) -> str:
    """Return the text of a page, white space folded."""
    (file,) = (shared_dir / "seeds").glob(f"{number}_*.txt")
    return folded(file.read_text(encoding="utf-8"))


def folded(text: str) -> str:
    """Return text without differences of white space."""
    return " ".join(text.split())


def members(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every member in a quoted object; lists count by their first entry."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            here = f"{path}.{name}" if path else name
            yield here
            yield from members(inner, here)
    elif isinstance(value, list) and value:
        yield from members(value[0], f"{path}[]")


def quoted(text: str) -> Any:
    """Return the object that a page's example shows."""
    return json.loads(text)


def kind(value: Any) -> str:
    """Return the JSON type of a value; numbers are one type."""
    if isinstance(value, bool):
        return "boolean"
    names = {int: "number", float: "number", str: "string", dict: "object", list: "array", type(None): "null"}
    return names[type(value)]


def misfits(answer: Mapping[str, Any], shape: Mapping[str, str]) -> list[str]:
    """Name the members of ``shape`` (path to types, ``|`` between) that ``answer`` lacks or types otherwise.

    A path step is a member's name, or ``[]`` for each entry of a list.
    """
    found: list[str] = []
    for path, kinds in shape.items():
        values = list(_at(answer, path.replace("[]", ".[]").split(".")))
        if not values:
            found.append(f"{path}: absent")
        found += [f"{path}: {kind(v)}" for v in values if kind(v) not in kinds.split("|")]
    return found


def _at(value: Any, steps: list[str]) -> Iterator[Any]:
    if not steps:
        yield value
    elif steps[0] == "[]":
        for entry in value if isinstance(value, list) else ():
            yield from _at(entry, steps[1:])
    elif isinstance(value, Mapping) and steps[0] in value:
        yield from _at(value[steps[0]], steps[1:])
