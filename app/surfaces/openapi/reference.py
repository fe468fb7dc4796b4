"""The description as people read it: the unified door first, then door by door, each operation once.

The same operation stands at many paths. The first door that serves it shows it, and names the others. A key is asked for
once, as a bearer; a door's introduction names the other headers that take it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from app.operations import OPERATIONS
from app.surfaces.mounts import MOUNTS, Mount
from app.surfaces.openapi.document import path_of
from app.surfaces.rules import DoorRule
from app.version import __version__

_TITLES: Final[Mapping[str, str]] = {
    "unified": "OpenAI's API, any provider",
    "anthropic": "Anthropic's API",
    "cohere": "Cohere's API",
    "gemini": "Google's API",
    "vertex": "Google's API, Vertex's paths",
    "bedrock": "AWS Bedrock's API",
    "operations": "The gateway itself",
}
_ORDER: Final = {mount.name: number for number, mount in enumerate(MOUNTS)}
_LAST: Final = len(_ORDER)
_OPERATIONS: Final = tuple(OPERATIONS)
_BEARER: Final = "bearer"
_INFO: Final[Mapping[str, str]] = {
    "title": "API reference",
    "version": __version__,
    "description": (
        "Each operation stands here once, at the door that serves it first; its other paths are named below it. "
        "The examples ask `sandbox/echo`, which answers without any provider's key: open one and press *Try*. "
        "Where the server asks for a key, set it under *Authentication* once."
    ),
}


def reference(document: Mapping[str, Any], rules: Iterable[DoorRule]) -> dict[str, Any]:
    """Return ``document`` with each operation at one path alone, grouped by the door that shows it."""
    paths: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[DoorRule]] = {}
    for same in _operations(rules):
        first = same[0]
        path, group = path_of(first), _group(first.mount)
        (method,) = _methods(first)
        described = document["paths"][path]
        member = {**described[method], "tags": [_title(group)], "description": _other_paths(same)}
        member["security"] = member["security"][:1]
        member["parameters"] = [*described.get("parameters", ()), *described[method]["parameters"]]
        paths.setdefault(path, {})[method] = member
        groups.setdefault(group, []).extend(same)
    tags = [{"name": _title(group), "description": _introduction(groups[group])} for group in groups]
    schemes = {_BEARER: document["components"]["securitySchemes"][_BEARER]}
    components = {**document["components"], "securitySchemes": schemes}
    return {**document, "info": _INFO, "tags": tags, "paths": paths, "components": components}


def _operations(rules: Iterable[DoorRule]) -> list[list[DoorRule]]:
    """Return the rules of each operation, the one that is shown first; doors in their order."""
    found: dict[tuple[str, str, str], list[DoorRule]] = {}
    for rule in sorted(rules, key=_sort_key):
        route = rule.route
        if route.method != "OPTIONS":
            found.setdefault((route.method, route.view, route.answer), []).append(rule)
    return list(found.values())


def _sort_key(rule: DoorRule) -> tuple[int, int, int]:
    """Return where a rule stands: by its door, then by the door's prefix, then by its operation."""
    mount = rule.mount
    if mount is None:
        return _LAST, 0, 0
    operation = _OPERATIONS.index(rule.operation.name) if rule.operation else len(_OPERATIONS)
    begun = (number for number, prefix in enumerate(mount.prefixes) if rule.rule.startswith(prefix))
    return _ORDER[mount.name], next(begun, len(mount.prefixes)), operation


def _methods(rule: DoorRule) -> set[str]:
    return {method.lower() for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}


def _group(mount: Mount | None) -> str:
    return "operations" if mount is None else mount.name


def _title(group: str) -> str:
    return _TITLES.get(group, group)


def _other_paths(same: Sequence[DoorRule]) -> str:
    """Return a sentence that names the other paths of an operation, in Markdown."""
    paths = [f"`{path_of(rule)}`" for rule in same[1:]]
    return f"Also at {', '.join(paths)}." if paths else ""


def _introduction(rules: Sequence[DoorRule]) -> str:
    """Return what is to be known of a group's doors, in Markdown: their prefixes, and where else a key may stand."""
    prefixes = {prefix for rule in rules if rule.mount is not None for prefix in rule.mount.prefixes}
    shown = [
        f"`{prefix.replace('<path:', '{').replace('<', '{').replace('>', '}')}`"
        for prefix in sorted(prefixes)
    ]
    headers = sorted({f"`{name}`" for rule in rules for name in rule.credentials.headers})
    key = f" The key may stand in {' or '.join(headers)}, too." if headers else ""
    return f"Served below {', '.join(shown)}.{key}" if shown else "Asked without a key."
