"""Tool schemas simplified for wires that do not accept all of JSON Schema.

Anthropic refuses ``anyOf``, ``oneOf`` and ``allOf`` at the top level of a tool's schema with 400 (its
error text in public reports since August 2025, also over Bedrock); on deeper levels it accepts them.
``flatten`` merges the branches at the top level; ``plain_schema`` also resolves references. All references
of one request are resolved within one budget (``Expansion``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.record import record
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts, json_text, rest

MAX_EXPANDED: Final = 50_000
"""Size to which the references of one request may grow: 1 for each member and for each 32 characters."""

VALUES: Final = frozenset({"enum", "const", "default", "required", "examples", "example", "type"})
"""Keywords whose values are not schemas and are copied."""


class Expansion:
    """What remains of the budget of one request. Without it a small body could expand without limit."""

    def __init__(self) -> None:
        self._left = MAX_EXPANDED

    def take(self, schema: Mapping[str, Any], *, whole: bool = False) -> bool:
        """Charge for one schema; return False if the budget is exhausted.

        ``whole``: charge for everything in it, rather than for the schema without those in it.
        """
        if self._left > 0:
            self._left -= _weight(schema) if whole else _members(schema, _count_copied)
        return self._left > 0


def _members(schema: Mapping[str, Any], weigh: Callable[[str, Any], int]) -> int:
    return 1 + sum(1 + len(name) // 32 + weigh(name, value) for name, value in schema.items())


def _count_copied(name: str, value: Any) -> int:
    """Return the size of a keyword's value; schemas in it are charged later, when they are resolved."""
    if name in VALUES or not isinstance(value, dict | list):
        return _weight(value)
    if isinstance(value, dict):
        return sum(1 + len(inner) // 32 for inner in value)
    return sum(1 + (0 if isinstance(item, dict) else _weight(item)) for item in value)


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value) // 32
    if isinstance(value, dict):
        return _members(value, lambda name, inner: _weight(inner))
    return sum(1 + _weight(item) for item in value) if isinstance(value, list) else 0


_COMBINED: Final = ("allOf", "anyOf", "oneOf")
_COMBINATIONS: Final = {"allOf": "All of", "anyOf": "At least one of", "oneOf": "Exactly one of"}
_MAX_DEPTH: Final = 8


def flatten(schema: Mapping[str, Any], expansion: Expansion) -> tuple[dict[str, Any], list[str]]:
    """Return an object schema without combinations at the top level, and the keywords that were removed.

    The result allows what any branch allows and requires what all branches require; its
    description states the original rule. A branch whose references exceed ``expansion`` requires
    nothing. The input is not changed.
    """
    keywords = [name for name in _COMBINED if name in schema]
    return (_join(schema, _Root(schema, expansion), 0) if keywords else dict(schema)), keywords


def target_of(reference: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the target of a reference into ``schema``, ``{}`` if there is none."""
    node: Any = schema if reference.startswith("#") else None
    for step in reference[1:].strip("/").split("/"):
        node = as_dict(node).get(step.replace("~1", "/").replace("~0", "~")) if step else node
    return as_dict(node)


@record
class _Root:
    """The schema that references point into, and the budget for expanding them."""

    schema: Mapping[str, Any]
    expansion: Expansion

    def target(self, reference: str, *, whole: bool) -> dict[str, Any] | None:
        """Return the target of a reference, ``{}`` if there is none; None if the budget is exhausted.

        ``whole``: charge the budget for everything within the target, rather than for this node only.
        """
        target = target_of(reference, self.schema)
        return target if self.expansion.take(target, whole=whole) else None


def _join(schema: Mapping[str, Any], root: _Root, depth: int) -> dict[str, Any]:
    flat = {name: value for name, value in schema.items() if name not in _COMBINED}
    properties, required = dict(as_dict(flat.get("properties"))), as_list(flat.get("required"))
    rules = [as_str(flat.get("description"))]
    for word in _COMBINED:
        branches = [_branch(branch, root, depth) for branch in dicts(schema.get(word))]
        _add(properties, [as_dict(branch.get("properties")) for branch in branches], word)
        needs = [as_list(branch.get("required")) for branch in branches]
        required = required + _common_required(needs, word)
        if word != "allOf" and any(needs):
            rules.append(f"{_COMBINATIONS[word]} these sets of members must be given: {json_text(needs)}.")
    flat |= {"type": "object", "properties": properties}
    flat["required"] = [name for name in dict.fromkeys(map(str, required)) if name in properties]
    flat["description"] = " ".join(filter(None, rules))
    return {name: value for name, value in flat.items() if value or name not in {"required", "description"}}


def _branch(branch: Mapping[str, Any], root: _Root, depth: int) -> Mapping[str, Any]:
    if depth >= _MAX_DEPTH:
        return {}
    if reference := as_str(branch.get("$ref")):
        target = root.target(reference, whole=True)
        if target is None:
            return {}
        return _branch({**target, **rest(branch, _REFERENCE)}, root, depth + 1)
    return _join(branch, root, depth + 1) if any(word in branch for word in _COMBINED) else branch


def _add(properties: dict[str, Any], branches: list[dict[str, Any]], word: str) -> None:
    """Add the properties of the branches; one that differs between branches becomes a combination of them."""
    keyword = "allOf" if word == "allOf" else "anyOf"
    options: dict[str, dict[str, Any]] = {}  # name of a property: its different schemas by their text
    for branch in branches:
        for name, value in branch.items():
            if name not in options:
                options[name] = {json_text(one): one for one in _options(properties, name, keyword)}
            options[name].setdefault(json_text(value), value)
    for name, schemas in options.items():
        one, *more = schemas.values()
        properties[name] = {keyword: [one, *more]} if more else one


def _options(properties: Mapping[str, Any], name: str, keyword: str) -> list[Any]:
    if name not in properties:
        return []
    schema = properties[name]
    return (
        list(as_list(schema[keyword]))
        if isinstance(schema, dict) and schema.keys() == {keyword}
        else [schema]
    )


def _common_required(needs: list[list[Any]], word: str) -> list[Any]:
    """Return the names that all branches require; for ``allOf`` those that any of them does."""
    names = [name for branch in needs for name in branch]
    if word == "allOf" or not needs:
        return names
    common = set.intersection(*(set(map(str, branch)) for branch in needs))
    return [name for name in needs[0] if str(name) in common]


# --- plain schemas ------------------------------------------------------------------------

_REFERENCE: Final = frozenset({"$ref"})
_IGNORED: Final = frozenset({"$schema", "$id", "$defs", "definitions", "$comment", "$anchor"})
_MAX_OPEN: Final = 24  # depth of references within references


def plain_schema(schema: Mapping[str, Any], expansion: Expansion) -> tuple[dict[str, Any], list[str]]:
    """Return a schema without references and definitions, and the keywords whose meaning was lost.

    A reference is resolved once on each path, as far as ``expansion`` allows.
    ``additionalProperties`` is dropped (docs/contract/providers.md, Nova).
    """
    writer = _Flattener(_Root(schema, expansion))
    return writer.node(schema), sorted(writer.dropped)


class _Flattener:
    """Resolves the references of one schema."""

    def __init__(self, root: _Root) -> None:
        self._root = root
        self._open: list[str] = []  # the references that are being resolved
        self.dropped: set[str] = set()

    def node(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return one node without references and without keywords that Nova refuses."""
        if reference := as_str(schema.get("$ref")):
            return self._resolve(schema, reference)
        members = rest(schema, _IGNORED)
        if members.pop("additionalProperties", None):
            self.dropped.add("additionalProperties")
        return {name: self._value(name, value) for name, value in members.items()}

    def _resolve(self, schema: Mapping[str, Any], reference: str) -> dict[str, Any]:
        deep = reference in self._open or len(self._open) == _MAX_OPEN
        target = None if deep else self._root.target(reference, whole=False)
        if target is None:
            self.dropped.add("$ref")
            return {"type": "object"}
        self._open.append(reference)
        node = self.node({**target, **rest(schema, _REFERENCE)})
        self._open.pop()
        return node

    def _value(self, name: str, value: Any) -> Any:
        if name in {"properties", "patternProperties"}:
            return {key: self.node(as_dict(inner)) for key, inner in as_dict(value).items()}
        if isinstance(value, dict) and name not in VALUES:
            return self.node(value)
        if isinstance(value, list) and name not in VALUES:
            return [self.node(one) if isinstance(one, dict) else one for one in value]
        return value
