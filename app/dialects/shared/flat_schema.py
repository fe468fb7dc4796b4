"""A tool's schema in the simpler forms that some wires demand.

Anthropic answers 400 to ``anyOf``, ``oneOf`` and ``allOf`` at the top of a tool's schema
(its own error text, seen in public reports from August 2025 on, over Bedrock too). Deeper
down they stay. The branches are joined: what any of them allows is allowed, what all of
them need is needed, and the rule itself is told in the description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.reading import as_dict, as_list, as_str, dicts, json_text

_COMBINED: Final = ("allOf", "anyOf", "oneOf")
_WORDS: Final = {"allOf": "All of", "anyOf": "At least one of", "oneOf": "Exactly one of"}
_MAX_DEPTH: Final = 8


def flattened(schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return an object schema with nothing combined at its top, and the keywords that went.

    The input is not changed; a schema that combines nothing comes back as it is.
    """
    found = [name for name in _COMBINED if name in schema]
    return (_joined(schema, schema, 0), found) if found else (dict(schema), found)


def _joined(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    flat = {name: value for name, value in schema.items() if name not in _COMBINED}
    properties, required = dict(as_dict(flat.get("properties"))), as_list(flat.get("required"))
    rules = [as_str(flat.get("description"))]
    for word in _COMBINED:
        branches = [_branch(branch, root, depth) for branch in dicts(schema.get(word))]
        for branch in branches:
            _add(properties, as_dict(branch.get("properties")), word)
        needs = [as_list(branch.get("required")) for branch in branches]
        required = required + _needed(needs, word)
        if word != "allOf" and any(needs):
            rules.append(f"{_WORDS[word]} these sets of members must be given: {json_text(needs)}.")
    flat |= {"type": "object", "properties": properties}
    flat["required"] = [name for name in dict.fromkeys(map(str, required)) if name in properties]
    flat["description"] = " ".join(filter(None, rules))
    return {name: value for name, value in flat.items() if value or name not in {"required", "description"}}


def _branch(branch: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
    if depth >= _MAX_DEPTH:
        return {}
    reference = as_str(branch.get("$ref"))
    if reference.startswith("#"):
        branch = {**_target(root, reference), **{k: v for k, v in branch.items() if k != "$ref"}}
        return _branch(branch, root, depth + 1)
    return _joined(branch, root, depth + 1) if any(word in branch for word in _COMBINED) else branch


def _target(root: Mapping[str, Any], reference: str) -> dict[str, Any]:
    at: Any = root
    for step in reference[1:].strip("/").split("/"):
        at = as_dict(at).get(step.replace("~1", "/").replace("~0", "~")) if step else at
    return as_dict(at)


def _add(properties: dict[str, Any], more: Mapping[str, Any], word: str) -> None:
    """Add a branch's properties; one that differs from branch to branch may be any of them."""
    deeper = "allOf" if word == "allOf" else "anyOf"
    for name, value in more.items():
        known = properties.setdefault(name, value)
        if known == value:
            continue
        options = known[deeper] if isinstance(known, dict) and known.keys() == {deeper} else [known]
        if value not in options:
            properties[name] = {deeper: [*options, value]}


def _needed(needs: list[list[Any]], word: str) -> list[Any]:
    if word == "allOf":
        return [name for names in needs for name in names]
    return [name for name in needs[0] if all(name in names for names in needs)] if needs else []


# a schema of the plainest kind

_TOP: Final = frozenset({"type", "properties", "required"})
_SILENT: Final = frozenset({"$schema", "$id", "$defs", "definitions", "$comment", "$anchor", "title"})
_MAX_NODES: Final = 4096


def plain_schema(schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a schema whose top has ``type``, ``properties`` and ``required`` alone, and the
    keywords whose meaning went.

    References are written out (to a bounded depth and size), closed objects are not said to be
    closed: Amazon's Nova models take no more (Amazon Nova's user guide, "Defining a tool").
    """
    writer = _Plain(schema)
    found = writer.node({name: value for name, value in schema.items() if name in _TOP}, 0)
    lost = [name for name in schema if name not in _TOP | _SILENT | {"description", "additionalProperties"}]
    return found, [*lost, *sorted(writer.dropped)]


class _Plain:
    """Writes nodes of one schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0
        self.dropped: set[str] = set()

    def node(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """Return one node without references and the keywords that are not taken."""
        self._nodes += 1
        if depth > _MAX_DEPTH * 4 or self._nodes > _MAX_NODES:
            self.dropped.add("$ref")
            return {"type": "object"}
        if reference := as_str(schema.get("$ref")):
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            return self.node({**_target(self._root, reference), **beside}, depth + 1)
        kept = {name: value for name, value in schema.items() if name not in _SILENT}
        if kept.pop("additionalProperties", None):
            self.dropped.add("additionalProperties")
        return {name: self._value(name, value, depth) for name, value in kept.items()}

    def _value(self, name: str, value: Any, depth: int) -> Any:
        if name in {"properties", "patternProperties"}:
            return {key: self.node(as_dict(inner), depth + 1) for key, inner in as_dict(value).items()}
        if name in {"enum", "const", "default", "required", "examples", "type"}:
            return value
        if isinstance(value, dict):
            return self.node(value, depth + 1)
        if isinstance(value, list):
            return [self.node(one, depth + 1) if isinstance(one, dict) else one for one in value]
        return value
