"""The description for people: the unified surface first, then the others, with each operation once.

Many paths serve the same operation. The first surface that serves it shows it, and lists its other paths. The key is
entered once, as a bearer token; the introduction of a surface lists its other headers for the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from app.operations import OPERATIONS
from app.surfaces.mounts import MOUNTS
from app.surfaces.openapi.document import methods_of, path_of
from app.surfaces.rules import SurfaceRule
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
        "Each operation is listed once, at the first surface that serves it, with its other paths. "
        "The examples use `sandbox/echo`, which needs no provider: open one and press *Try*. "
        "If the server requires a key, set it once under *Authentication*."
    ),
}


def reference(document: Mapping[str, Any], rules: Iterable[SurfaceRule]) -> dict[str, Any]:
    """Return ``document`` with each operation at one path only, grouped by the surface that shows it."""
    paths: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[SurfaceRule]] = {}
    for same in _operations(rules):
        first = same[0]
        path, group = path_of(first), "operations" if first.mount is None else first.mount.name
        (method,) = methods_of(first)
        item, operation = document["paths"][path], document["paths"][path][method]
        paths.setdefault(path, {})[method] = {
            **operation,
            "tags": [_title(group)],
            "description": _other_paths(same),
            "security": operation["security"][:1],
            "parameters": [*item.get("parameters", ()), *operation["parameters"]],
        }
        groups.setdefault(group, []).extend(same)
    tags = [{"name": _title(group), "description": _introduction(groups[group])} for group in groups]
    components = dict(document["components"])
    components["securitySchemes"] = {_BEARER: components["securitySchemes"][_BEARER]}
    return {**document, "info": _INFO, "tags": tags, "paths": paths, "components": components}


def _operations(rules: Iterable[SurfaceRule]) -> list[list[SurfaceRule]]:
    """Return the rules of each operation, the shown one first, in the order of the mounts."""
    operations: dict[tuple[str, str, str], list[SurfaceRule]] = {}
    for rule in sorted(rules, key=_sort_key):
        route = rule.route
        if route.method != "OPTIONS":
            operations.setdefault((route.method, route.view, route.answer), []).append(rule)
    return list(operations.values())


def _sort_key(rule: SurfaceRule) -> tuple[int, int, int]:
    """Return the position of a rule: by its mount, then by the mount's prefix, then by its operation."""
    mount = rule.mount
    if mount is None:
        return _LAST, 0, 0
    operation = _OPERATIONS.index(rule.operation.name) if rule.operation else len(_OPERATIONS)
    prefixes = (number for number, prefix in enumerate(mount.prefixes) if rule.rule.startswith(prefix))
    return _ORDER[mount.name], next(prefixes, len(mount.prefixes)), operation


def _title(group: str) -> str:
    return _TITLES.get(group, group)


def _other_paths(same: Sequence[SurfaceRule]) -> str:
    """Return a sentence that names the other paths of an operation, in Markdown."""
    paths = [f"`{path_of(rule)}`" for rule in same[1:]]
    return f"Also at {', '.join(paths)}." if paths else ""


def _introduction(rules: Sequence[SurfaceRule]) -> str:
    """Return the prefixes of a group and its headers for the key, in Markdown."""
    prefixes = {prefix for rule in rules if rule.mount is not None for prefix in rule.mount.prefixes}
    paths = [
        f"`{prefix.replace('<model:', '{').replace('<', '{').replace('>', '}')}`"
        for prefix in sorted(prefixes)
    ]
    headers = sorted({f"`{name}`" for rule in rules for name in rule.credentials.headers})
    key = f" The key may also be in {' or '.join(headers)}." if headers else ""
    return f"Served below {', '.join(paths)}.{key}" if paths else "Served without a key."
