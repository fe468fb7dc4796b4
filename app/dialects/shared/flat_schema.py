"""A tool's schema in the simpler forms that some wires demand.

Anthropic answers 400 to ``anyOf``, ``oneOf`` and ``allOf`` at the top of a tool's schema
(its own error text, seen in public reports from August 2025 on, over Bedrock too). Deeper
down they stay. The branches are joined: what any of them allows is allowed, what all of
them need is needed, and the rule itself is told in the description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.record import record
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts, json_text
from app.dialects.shared.schema_expansion import VALUES, Expansion

_COMBINED: Final = ("allOf", "anyOf", "oneOf")
_COMBINATIONS: Final = {"allOf": "All of", "anyOf": "At least one of", "oneOf": "Exactly one of"}
_MAX_DEPTH: Final = 8


def flatten(schema: Mapping[str, Any], expansion: Expansion) -> tuple[dict[str, Any], list[str]]:
    """Return an object schema with nothing combined at its top, and the keywords that went.

    The input is not changed; a schema that combines nothing comes back as it is. A branch
    for whose references ``expansion`` has no room demands nothing.
    """
    found = [name for name in _COMBINED if name in schema]
    return (_join(schema, _Root(schema, expansion), 0), found) if found else (dict(schema), found)


@record
class _Root:
    """The schema that references point into, and what may still be written out of it."""

    schema: Mapping[str, Any]
    expansion: Expansion

    def target(self, reference: str, *, whole: bool) -> dict[str, Any] | None:
        """Return what a reference means; ``{}`` for nothing, None where there is no room.

        ``whole``: it is written out with all that is in it, not node by node.
        """
        at: Any = self.schema if reference.startswith("#") else None
        for step in reference[1:].strip("/").split("/"):
            at = as_dict(at).get(step.replace("~1", "/").replace("~0", "~")) if step else at
        found = as_dict(at)
        take = self.expansion.take_whole if whole else self.expansion.take
        return found if take(found) else None


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
        beside = {name: value for name, value in branch.items() if name != "$ref"}
        return _branch({**target, **beside}, root, depth + 1)
    return _join(branch, root, depth + 1) if any(word in branch for word in _COMBINED) else branch


def _add(properties: dict[str, Any], branches: list[dict[str, Any]], word: str) -> None:
    """Add the branches' properties; one that differs from branch to branch may be any of them."""
    deeper = "allOf" if word == "allOf" else "anyOf"
    found: dict[str, dict[str, Any]] = {}  # name: the different schemas by their text
    for branch in branches:
        for name, value in branch.items():
            if name not in found:
                found[name] = {json_text(one): one for one in _options(properties, name, deeper)}
            found[name].setdefault(json_text(value), value)
    for name, options in found.items():
        one, *more = options.values()
        properties[name] = {deeper: [one, *more]} if more else one


def _options(properties: Mapping[str, Any], name: str, deeper: str) -> list[Any]:
    if name not in properties:
        return []
    known = properties[name]
    return list(as_list(known[deeper])) if isinstance(known, dict) and known.keys() == {deeper} else [known]


def _common_required(needs: list[list[Any]], word: str) -> list[Any]:
    if word == "allOf":
        return [name for names in needs for name in names]
    if not needs:
        return []
    common = set.intersection(*(set(map(str, names)) for names in needs))
    return [name for name in needs[0] if str(name) in common]


# a schema of the plainest kind

_IGNORED: Final = frozenset({"$schema", "$id", "$defs", "definitions", "$comment", "$anchor"})
_MAX_OPEN: Final = 24  # references within references


def plain_schema(schema: Mapping[str, Any], expansion: Expansion) -> tuple[dict[str, Any], list[str]]:
    """Return a schema without references and what they need, and the keywords whose meaning went.

    References are written out once on each path, as far as ``expansion`` has room, and closed
    objects are not said to be closed (docs/contract/providers.md, Nova).
    """
    writer = _Flattener(_Root(schema, expansion))
    return writer.node(schema), sorted(writer.dropped)


class _Flattener:
    """Writes the nodes of one schema."""

    def __init__(self, root: _Root) -> None:
        self._root = root
        self._open: list[str] = []  # the references that are being written out
        self.dropped: set[str] = set()

    def node(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return one node without references and the keywords that are not taken."""
        if reference := as_str(schema.get("$ref")):
            return self._resolve(schema, reference)
        members = {name: value for name, value in schema.items() if name not in _IGNORED}
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
        node = self.node({**target, **{name: value for name, value in schema.items() if name != "$ref"}})
        self._open.pop()
        return node

    def _value(self, name: str, value: Any) -> Any:
        if name in VALUES:
            return value
        if name in {"properties", "patternProperties"}:
            return {key: self.node(as_dict(inner)) for key, inner in as_dict(value).items()}
        if isinstance(value, dict):
            return self.node(value)
        if isinstance(value, list):
            return [self.node(one) if isinstance(one, dict) else one for one in value]
        return value
