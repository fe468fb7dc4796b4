"""Encode JSON Schema in Google's reduced form, the OpenAPI subset of ``Schema`` (client half).

Only for hosts and model families that do not take full JSON Schema. Key order is kept, and
sent as ``propertyOrdering``. Source: google-genai's ``types.Schema``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.dialects.shared.flat_schema import Expansion, target_of
from app.dialects.shared.lenient_json import as_dict, as_list, dicts, rest

_SUPPORTED: Final = frozenset(
    {
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "default",
        "example",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "required",
        "propertyOrdering",
    }
)
_IGNORED: Final = frozenset({"$schema", "$id", "$defs", "definitions", "$comment"})
_MAX_DEPTH: Final = 24


class Reducer:
    """Reduce one schema; ``dropped`` has the names of keywords that the reduced form lacks.

    References are replaced by their targets. A reference inside its own target, or one for which
    ``expansion`` has no room left, becomes any object, and ``$ref`` is in ``dropped``.
    """

    def __init__(self, root: Mapping[str, Any], expansion: Expansion) -> None:
        self._root = root
        self._expansion = expansion
        self._open: list[str] = []  # the references around the current schema
        self.dropped: set[str] = set()

    def reduce(self, schema: Any, depth: int = 0) -> dict[str, Any]:
        """Return a schema in reduced form; ``depth`` is the number of schemas around it."""
        target, references = self._resolve(as_dict(schema))
        if target is None or depth > _MAX_DEPTH:
            return self._any_object()
        if (self._open or references) and not self._expansion.take(target):
            return self._any_object()
        self._open += references
        out: dict[str, Any] = {}
        for name, value in target.items():
            rewrite = _REWRITES.get(name)
            if rewrite is not None:
                rewrite(self, value, out, depth)
            elif name in _SUPPORTED:
                out[name] = value
            elif name not in _IGNORED and not (name == "additionalProperties" and value is False):
                self.dropped.add(name)
        del self._open[len(self._open) - len(references) :]
        return out

    def _any_object(self) -> dict[str, Any]:
        self.dropped.add("$ref")
        return {"type": "object"}

    def _resolve(self, schema: dict[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
        """Return a schema with its local references replaced, and the references.

        Members beside a reference override those of its target. None for a schema that holds itself.
        """
        references: list[str] = []
        while isinstance(reference := schema.get("$ref"), str):
            if reference in self._open or reference in references or len(references) == _MAX_DEPTH:
                return None, references
            references.append(reference)
            target = target_of(reference, self._root)
            if not self._expansion.take(target):
                return None, references
            schema = {**target, **rest(schema, frozenset({"$ref"}))}
        return schema, references

    def _type(self, value: Any, out: dict[str, Any], depth: int) -> None:
        names = [name for name in as_list(value) if name != "null"]
        if not isinstance(value, list):
            out["type"] = value
            return
        if len(names) < len(value):
            out["nullable"] = True
        if len(names) == 1:
            out["type"] = names[0]
        elif names:
            out["anyOf"] = [{"type": name} for name in names]

    def _properties(self, value: Any, out: dict[str, Any], depth: int) -> None:
        members = as_dict(value)
        out["properties"] = {name: self.reduce(member, depth + 1) for name, member in members.items()}
        if len(members) > 1:
            out.setdefault("propertyOrdering", list(members))

    def _items(self, value: Any, out: dict[str, Any], depth: int) -> None:
        out["items"] = self.reduce(value, depth + 1)

    def _any_of(self, value: Any, out: dict[str, Any], depth: int) -> None:
        options = dicts(value)
        choices = [option for option in options if option.get("type") != "null"]
        if len(choices) < len(options):
            out["nullable"] = True
        if len(choices) == 1:
            out.update(self.reduce(choices[0], depth + 1))
        else:
            out["anyOf"] = [self.reduce(option, depth + 1) for option in choices]

    def _all_of(self, value: Any, out: dict[str, Any], depth: int) -> None:
        for option in dicts(value):
            out.update(self.reduce(option, depth + 1))

    def _enum(self, value: Any, out: dict[str, Any], depth: int) -> None:
        """Write an enum of strings; null among them is ``nullable``."""
        choices = [choice for choice in as_list(value) if choice is not None]
        if len(choices) < len(as_list(value)):
            out["nullable"] = True
        if all(isinstance(choice, str) for choice in choices):
            out["enum"] = choices
        else:
            self.dropped.add("enum")

    def _const(self, value: Any, out: dict[str, Any], depth: int) -> None:
        self._enum([value], out, depth)
        if isinstance(value, str):
            out.setdefault("type", "string")


_REWRITES: Final[Mapping[str, Callable[[Reducer, Any, dict[str, Any], int], None]]] = {
    "type": Reducer._type,
    "properties": Reducer._properties,
    "items": Reducer._items,
    "anyOf": Reducer._any_of,
    "oneOf": Reducer._any_of,
    "allOf": Reducer._all_of,
    "enum": Reducer._enum,
    "const": Reducer._const,
}
