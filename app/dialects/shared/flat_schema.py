"""A tool's schema without a combination at its top, which some wires refuse.

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
