"""Make a JSON value that fits a schema, from proposed values and made-up ones.

Deterministic. Where several values would do, the first that the schema accepts is taken: the
proposal, then ``default`` and ``examples``, then the simplest value of its type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.dialects.shared.lenient_json import as_dict, as_list
from app.providers.sandbox.assignments import Bare, infer_values
from app.providers.sandbox.scalars import SCALARS
from app.providers.sandbox.schemas import (
    TYPES,
    JsonSchema,
    RootSchema,
    Unsatisfiable,
    UnsupportedSchema,
    WorkLimit,
    count_members,
    is_number,
    merge,
    refuse_unsupported,
)

ABSENT: Final = object()
"""The proposal where none was made, and the value where none was found."""

_FULL_DEPTH: Final = 5  # optional members are made up no deeper than this
_MAX_DEPTH: Final = 40
_MAX_ITEMS: Final = 1_000
_VARIANTS: Final = 3  # attempts at an item that must differ from those before it


def make_instance(
    schema: Any, proposal: Any = ABSENT, *, optional: bool = True, work: WorkLimit | None = None
) -> Any:
    """Return a value that fits ``schema`` and holds as much of ``proposal`` as fits.

    ``proposal`` is what ``parse_assignments`` returns. With ``optional``, members that are not
    required are made up, too. ``work`` is the limit that several values of one answer share.
    Raises Unsatisfiable when no value was found.
    """
    root = RootSchema(schema, work)
    value = _InstanceBuilder(root, optional).make(schema, proposal, "value", 0, 0)
    if not root.accepts(value, schema):
        raise Unsatisfiable("no value was found that fits the schema")
    return value


def make_arguments(
    schema: Any, proposal: Mapping[str, Any], *, work: WorkLimit | None = None
) -> dict[str, Any]:
    """Return the arguments of a call: the members of ``proposal``, of the types that the schema wants
    where they can be, and made-up values for other required members.

    A proposed member stays even where it does not fit. A schema that no value fits adds nothing.
    """
    try:
        value = make_instance(schema, proposal, optional=False, work=work)
    except Unsatisfiable:
        value = {}
    members = as_dict(value)
    first: dict[str, Any] = {}
    for name, member in proposal.items():
        head, dot, _ = name.partition(".")
        if name in members and _count_used(members[name], member):
            first[name] = members[name]
        elif not dot or not isinstance(members.get(head), dict):
            first[name] = infer_values(member)
    return {**first, **{name: member for name, member in members.items() if name not in first}}


class _InstanceBuilder:
    """Makes values for one root schema."""

    def __init__(self, root: RootSchema, optional: bool) -> None:
        self._root = root
        self._optional = optional

    def make(self, schema: Any, proposal: Any, name: str, depth: int, variant: int) -> Any:
        """Return a value for ``schema``. Its texts are made of ``name``; ``variant`` numbers the items of a
        list that must differ. Raises Unsatisfiable."""
        if depth > _MAX_DEPTH:
            raise Unsatisfiable("the schema has no finite value")
        flat = self._root.flatten(schema)
        refuse_unsupported(flat)
        for keyword in ("anyOf", "oneOf"):
            if isinstance(flat.get(keyword), list):
                return self._alternative(flat, keyword, proposal, name, depth, variant)
        for value in self._candidates(flat, proposal, name, depth, variant):
            if self._root.accepts(value, flat):
                return value
        raise Unsatisfiable("no value was found that fits a schema")

    def _alternative(
        self, flat: dict[str, Any], keyword: str, proposal: Any, name: str, depth: int, variant: int
    ) -> Any:
        """Return a value of the branch that uses most of the proposal."""
        base = {k: v for k, v in flat.items() if k != keyword}
        branches = [self._branch(base, branch) for branch in flat[keyword]]
        if depth >= _FULL_DEPTH:
            branches.sort(key=_branch_size)
        best, most = ABSENT, -1
        for branch in branches:
            value = self._try(branch, proposal, name, depth + 1, variant)
            if value is ABSENT or not self._root.accepts(value, flat):
                continue
            if (used := _count_used(value, proposal)) > most:
                best, most = value, used
            if proposal is ABSENT:
                break
        if best is ABSENT:
            raise Unsatisfiable(f"no branch of '{keyword}' could be fitted")
        return best

    def _branch(self, base: dict[str, Any], branch: Any) -> Any:
        self._root.step(count_members(base))
        if isinstance(branch, Mapping) and ("$ref" in branch or "allOf" in branch):
            return {"allOf": [base, branch]} if base else branch
        return merge(base, branch)

    def _try(self, schema: Any, proposal: Any, name: str, depth: int, variant: int) -> Any:
        """Return what ``make`` does, ABSENT where no value was found."""
        try:
            return self.make(schema, proposal, name, depth, variant)
        except UnsupportedSchema:
            raise
        except Unsatisfiable:
            return ABSENT

    def _candidates(
        self, flat: JsonSchema, proposal: Any, name: str, depth: int, variant: int
    ) -> Iterator[Any]:
        """Yield values that may fit, best first."""
        kinds = _likely_types(flat)
        yield from self._typed_proposals(flat, proposal, kinds, name, depth)
        if "const" in flat:
            yield flat["const"]
            return
        if isinstance(flat.get("enum"), list):
            values = flat["enum"]
            yield from (values[(variant + i) % len(values)] for i in range(min(len(values), _MAX_ITEMS)))
            return
        if variant == 0 and "default" in flat:
            yield flat["default"]
        yield from as_list(flat.get("examples"))[variant:]
        for kind in kinds:
            if kind == "object":
                yield self._make_object(flat, {}, depth)
            elif kind == "array":
                yield self._make_array(flat, [], name, depth)
            else:
                yield from SCALARS[kind](self._root, flat, name, variant)

    def _typed_proposals(
        self, flat: JsonSchema, proposal: Any, kinds: list[str], name: str, depth: int
    ) -> Iterator[Any]:
        """Yield what the proposal may stand for that is of one of the types ``kinds``."""
        if proposal is ABSENT:
            return
        for value in proposal.readings() if isinstance(proposal, Bare) else [proposal]:
            for kind in kinds:
                if kind == "object" and isinstance(value, Mapping):
                    yield self._make_object(flat, value, depth)
                elif kind == "array" and isinstance(value, list):
                    yield self._make_array(flat, value, name, depth)
                elif TYPES[kind](value):
                    yield value

    # --- objects

    def _make_object(self, flat: JsonSchema, proposal: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """Return an object with what fits of ``proposal``; the rest is made up."""
        properties = as_dict(flat.get("properties"))
        proposal = _nest(proposal, properties)
        required = dict.fromkeys(name for name in as_list(flat.get("required")) if isinstance(name, str))
        self._root.step(len(properties) + len(required))
        members: dict[str, Any] = {}
        for name in [*(n for n in properties if n in required or n in proposal), *proposal, *required]:
            self._add(members, flat, name, proposal.get(name, ABSENT), depth, needed=name in required)
        for name in properties if self._optional and depth < _FULL_DEPTH else ():
            self._add(members, flat, name, ABSENT, depth, needed=False)
        return {**{name: members[name] for name in properties if name in members}, **members}

    def _add(
        self,
        members: dict[str, Any],
        flat: JsonSchema,
        name: str,
        proposal: Any,
        depth: int,
        *,
        needed: bool,
    ) -> None:
        """Add the member ``name``: as proposed, else made up where it is needed or optional members
        are made up, else not at all."""
        if name in members:
            return
        properties = as_dict(flat.get("properties"))
        schema = properties[name] if name in properties else flat.get("additionalProperties", True)
        proposals = [] if proposal is ABSENT else [proposal]
        for value in [*proposals, ABSENT] if needed or self._optional else proposals:
            member = self._try(schema, value, name, depth + 1, 0)
            if member is not ABSENT and (value is ABSENT or _count_used(member, value) > 0):
                members[name] = member
                return
        if needed:
            raise Unsatisfiable("a required member could not be made up")

    # --- lists

    def _make_array(self, flat: JsonSchema, proposal: list[Any], name: str, depth: int) -> list[Any]:
        """Return a list with what fits of ``proposal``, filled up to the least length."""
        prefix = as_list(flat.get("prefixItems")) or as_list(flat.get("items"))
        least, most = flat.get("minItems", 0), flat.get("maxItems", math.inf)
        usual = 1 if self._optional and depth < _FULL_DEPTH and _items_schema(flat) is not False else 0
        length = min(
            max(int(least) if is_number(least) else 0, usual, len(prefix), len(proposal)),
            int(most) if is_number(most) and most < math.inf else _MAX_ITEMS,
        )
        if length > _MAX_ITEMS:
            raise Unsatisfiable("too many items are wanted")
        keys: set[str] | None = set() if flat.get("uniqueItems") is True else None
        items: list[Any] = []
        for index in range(length):
            schema = prefix[index] if index < len(prefix) else _items_schema(flat)
            value = proposal[index] if index < len(proposal) else ABSENT
            items.append(self._item(schema, value, name, depth, index, keys))
        return items

    def _item(
        self, schema: Any, proposal: Any, name: str, depth: int, index: int, keys: set[str] | None
    ) -> Any:
        """Return the item at ``index``, unlike those of ``keys`` where items must differ."""
        for variant in range(index, index + (1 if keys is None else _VARIANTS)):
            value = self._try(schema, proposal, name, depth + 1, variant)
            if value is ABSENT and proposal is not ABSENT:
                value = self._try(schema, ABSENT, name, depth + 1, variant)
            if value is ABSENT:
                break
            if keys is None:
                return value
            key = self._root.key(value)
            if key not in keys:
                keys.add(key)
                return value
            proposal = ABSENT
        raise Unsatisfiable("an item could not be made up")


def _items_schema(flat: JsonSchema) -> Any:
    items = flat.get("items", True)
    return True if isinstance(items, list) else items


def _nest(proposal: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``proposal`` with ``a.b`` moved into ``a`` where the schema has an ``a`` and no ``a.b``."""
    members: dict[str, Any] = {}
    for name, value in proposal.items():
        head, dot, tail = name.partition(".")
        if dot and name not in properties and head in properties:
            members[head] = {**as_dict(members.get(head)), tail: value}
        else:
            members[name] = value
    return members


def _count_used(value: Any, proposal: Any) -> int:
    """Count how much of ``proposal`` is in ``value``."""
    if isinstance(proposal, Bare):
        first = value[:1] if isinstance(value, list) else value
        return int(
            any(
                first == reading and isinstance(first, bool) is isinstance(reading, bool)
                for reading in proposal.readings()
            )
        )
    if isinstance(proposal, Mapping) and isinstance(value, Mapping):
        members = _nest(proposal, value)
        return (not members) + sum(
            _count_used(value[name], member) for name, member in members.items() if name in value
        )
    if isinstance(proposal, list):
        return int(isinstance(value, list))
    return int(value == proposal)


def _branch_size(schema: Any) -> int:
    """Order branches where values must get small: scalars first, then lists, then objects."""
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    if kinds == "object" or isinstance(schema, Mapping) and ("properties" in schema or "allOf" in schema):
        return 2
    return 1 if kinds == "array" or kinds is None else 0


_TYPE_KEYWORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "uniqueItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
"""The keywords that are about one type."""

_SIMPLEST_TYPES: Final = ("string", "integer", "boolean", "object", "array", "null", "number")


def _likely_types(flat: JsonSchema) -> list[str]:
    """Return the types that a value may have, likeliest first."""
    types = flat.get("type")
    if types is not None:
        names = types if isinstance(types, list) else [types]
        return [kind for kind in names if isinstance(kind, str) and kind in TYPES]
    implied = [kind for kind, keywords in _TYPE_KEYWORDS.items() if not flat.keys().isdisjoint(keywords)]
    return list(dict.fromkeys((*implied, *_SIMPLEST_TYPES)))
