"""Make a JSON value that fits a schema, out of given members and made-up ones.

Deterministic. Where several values would do, the first that the schema accepts is taken:
what was given, then ``default`` and ``examples``, then the simplest of its type.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from app.dialects.shared.lenient_json import as_dict, as_list
from app.providers.sandbox.assignments import Bare, natural
from app.providers.sandbox.scalars import SCALARS
from app.providers.sandbox.schemas import (
    TYPES,
    JsonSchema,
    Schemas,
    Unread,
    Unsatisfiable,
    Work,
    is_number,
    members,
    merge,
    refuse_unread,
)

NOTHING: Final = object()
"""No value was given."""

_FULL_DEPTH: Final = 5  # optional members are made up no deeper than this
_MAX_DEPTH: Final = 40
_MAX_ITEMS: Final = 1_000
_TURNS: Final = 3  # tries for an item that must differ from those before it


def fit(schema: Any, given: Any = NOTHING, *, optional: bool = True, work: Work | None = None) -> Any:
    """Return a value that fits ``schema`` and holds as much of ``given`` as fits.

    ``given`` is what ``parse_assignments`` returns. ``optional`` makes up members that are
    not required, too; ``work`` is counted on where several are made for one answer. Raises
    Unsatisfiable when none was found.
    """
    schemas = Schemas(schema, work)
    value = _Maker(schemas, optional).make(schema, given, "value", 0, 0)
    if not schemas.accepts(value, schema):
        raise Unsatisfiable("no value was found that fits the schema")
    return value


def fit_members(schema: Any, given: Mapping[str, Any], *, work: Work | None = None) -> dict[str, Any]:
    """Return the arguments of a call: every member given, of the type that the schema wants
    where it can be, and made-up values for what else is required.

    What was given stands even where it does not fit; a schema that cannot be fitted adds
    nothing.
    """
    try:
        value = fit(schema, given, optional=False, work=work)
    except Unsatisfiable:
        value = {}
    members = value if isinstance(value, dict) else {}
    first: dict[str, Any] = {}
    for name, wanted in given.items():
        if name in members and _count_used(members[name], wanted):
            first[name] = members[name]
        elif not _within(name, members):
            first[name] = natural(wanted)
    return {**first, **{name: member for name, member in members.items() if name not in first}}


def _within(name: str, members: Mapping[str, Any]) -> bool:
    head, dot, _ = name.partition(".")
    return bool(dot) and isinstance(members.get(head), dict)


class _Maker:
    """Makes values for one root schema."""

    def __init__(self, schemas: Schemas, optional: bool) -> None:
        self._schemas = schemas
        self._optional = optional

    def make(self, schema: Any, given: Any, name: str, depth: int, turn: int) -> Any:
        """Return a value for ``schema``; ``name`` seeds its texts, ``turn`` tells the items
        of one list apart. Raises Unsatisfiable."""
        if depth > _MAX_DEPTH:
            raise Unsatisfiable("the schema has no finite value")
        flat = self._schemas.flat(schema)
        refuse_unread(flat)
        for keyword in ("anyOf", "oneOf"):
            if isinstance(flat.get(keyword), list):
                return self._alternative(flat, keyword, given, name, depth, turn)
        return self._first(flat, self._candidates(flat, given, name, depth, turn))

    def _first(self, flat: JsonSchema, candidates: Iterable[Any]) -> Any:
        for value in candidates:
            if self._schemas.accepts(value, flat):
                return value
        raise Unsatisfiable("no value was found that fits a schema")

    def _alternative(
        self, flat: dict[str, Any], keyword: str, given: Any, name: str, depth: int, turn: int
    ) -> Any:
        """Return a value of the branch that takes in most of what was given."""
        base = {k: v for k, v in flat.items() if k != keyword}
        branches = [self._branch(base, branch) for branch in flat[keyword]]
        if depth >= _FULL_DEPTH:
            branches.sort(key=_size)
        best, most = NOTHING, -1
        for branch in branches:
            value = self._try(branch, given, name, depth + 1, turn)
            if value is NOTHING or not self._schemas.accepts(value, flat):
                continue
            taken = _count_used(value, given)
            if taken > most:
                best, most = value, taken
            if given is NOTHING:
                break
        if best is NOTHING:
            raise Unsatisfiable(f"no branch of '{keyword}' could be fitted")
        return best

    def _branch(self, base: dict[str, Any], branch: Any) -> Any:
        self._schemas.step(members(base))
        if isinstance(branch, Mapping) and ("$ref" in branch or "allOf" in branch):
            return {"allOf": [base, branch]} if base else branch
        return merge(base, branch)

    def _try(self, schema: Any, given: Any, name: str, depth: int, turn: int) -> Any:
        try:
            return self.make(schema, given, name, depth, turn)
        except Unread:
            raise
        except Unsatisfiable:
            return NOTHING

    def _candidates(self, flat: JsonSchema, given: Any, name: str, depth: int, turn: int) -> Iterator[Any]:
        """Yield values that may fit, best first."""
        kinds = _kinds(flat)
        yield from self._read_given(flat, given, kinds, name, depth)
        if "const" in flat:
            yield flat["const"]
            return
        if isinstance(flat.get("enum"), list):
            values = flat["enum"]
            yield from (values[(turn + i) % len(values)] for i in range(min(len(values), _MAX_ITEMS)))
            return
        if turn == 0 and "default" in flat:
            yield flat["default"]
        yield from as_list(flat.get("examples"))[turn:]
        for kind in kinds:
            if kind == "object":
                yield self.object_of(flat, {}, depth)
            elif kind == "array":
                yield self.array_of(flat, [], name, depth)
            else:
                yield from SCALARS[kind](self._schemas, flat, name, turn)

    def _read_given(
        self, flat: JsonSchema, given: Any, kinds: list[str], name: str, depth: int
    ) -> Iterator[Any]:
        """Yield the readings of what was given that are of a type wanted here."""
        readings = given.readings() if isinstance(given, Bare) else [] if given is NOTHING else [given]
        for value in readings:
            for kind in kinds:
                if kind == "object" and isinstance(value, Mapping):
                    yield self.object_of(flat, value, depth)
                elif kind == "array" and isinstance(value, list):
                    yield self.array_of(flat, value, name, depth)
                elif TYPES[kind](value):
                    yield value

    # --- objects

    def object_of(self, flat: JsonSchema, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """Return an object with what fits of ``given``, the rest made up."""
        properties = as_dict(flat.get("properties"))
        given = _nest(given, properties)
        required = dict.fromkeys(_texts(flat.get("required")))
        self._schemas.step(len(properties) + len(required))
        made: dict[str, Any] = {}
        for name in [*(n for n in properties if n in required or n in given), *given, *required]:
            self._add(made, flat, name, given.get(name, NOTHING), depth, needed=name in required)
        for name in properties if self._optional and depth < _FULL_DEPTH else ():
            self._add(made, flat, name, NOTHING, depth, needed=False)
        return {**{name: made[name] for name in properties if name in made}, **made}

    def _add(
        self, made: dict[str, Any], flat: JsonSchema, name: str, given: Any, depth: int, *, needed: bool
    ) -> None:
        """Add the member ``name``, first as given, then made up if it is needed or optional
        members are wanted; leave it out where neither fits."""
        if name in made:
            return
        schema = self._member_schema(flat, name)
        tries = [] if given is NOTHING else [given]
        for value in [*tries, NOTHING] if needed or self._optional else tries:
            fitted = self._try(schema, value, name, depth + 1, 0)
            if fitted is not NOTHING and (value is NOTHING or _count_used(fitted, value) > 0):
                made[name] = fitted
                return
        if needed:
            raise Unsatisfiable("a required member could not be made up")

    def _member_schema(self, flat: JsonSchema, name: str) -> Any:
        properties = as_dict(flat.get("properties"))
        return properties[name] if name in properties else flat.get("additionalProperties", True)

    # --- lists

    def array_of(self, flat: JsonSchema, given: list[Any], name: str, depth: int) -> list[Any]:
        """Return a list that holds what fits of ``given``, filled up to the least length."""
        prefix = as_list(flat.get("prefixItems")) or as_list(flat.get("items"))
        least = flat.get("minItems", 0)
        wanted = max(int(least) if is_number(least) else 0, self._usual_length(flat, depth), len(prefix))
        most = flat.get("maxItems", math.inf)
        wanted = min(
            max(wanted, len(given)), int(most) if is_number(most) and most < math.inf else _MAX_ITEMS
        )
        if wanted > _MAX_ITEMS:
            raise Unsatisfiable("too many items are wanted")
        made: list[Any] = []
        keys: set[str] | None = set() if flat.get("uniqueItems") is True else None
        for index in range(wanted):
            schema = prefix[index] if index < len(prefix) else _items_schema(flat)
            value = given[index] if index < len(given) else NOTHING
            made.append(self._item(schema, value, name, depth, len(made), keys))
        return made

    def _usual_length(self, flat: JsonSchema, depth: int) -> int:
        """One item, where it is optional and not too deep."""
        return 1 if self._optional and depth < _FULL_DEPTH and _items_schema(flat) is not False else 0

    def _item(self, schema: Any, given: Any, name: str, depth: int, index: int, keys: set[str] | None) -> Any:
        """Return the item at ``index``, unlike those of ``keys`` where items must differ."""
        for turn in range(index, index + (1 if keys is None else _TURNS)):
            value = self._try(schema, given, name, depth + 1, turn)
            if value is NOTHING and given is not NOTHING:
                value = self._try(schema, NOTHING, name, depth + 1, turn)
            if value is NOTHING:
                break
            if keys is None:
                return value
            key = self._schemas.key(value)
            if key not in keys:
                keys.add(key)
                return value
            given = NOTHING
        raise Unsatisfiable("an item could not be made up")


def _texts(value: Any) -> list[str]:
    return [name for name in as_list(value) if isinstance(name, str)]


def _items_schema(flat: JsonSchema) -> Any:
    items = flat.get("items", True)
    return True if isinstance(items, list) else items


def _nest(given: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``given`` with ``a.b`` moved into ``a`` where the schema has an ``a`` and no ``a.b``."""
    members: dict[str, Any] = {}
    for name, value in given.items():
        head, dot, tail = name.partition(".")
        if dot and name not in properties and head in properties:
            inner = members.get(head)
            members[head] = {**(inner if isinstance(inner, dict) else {}), tail: value}
        else:
            members[name] = value
    return members


def _count_used(value: Any, given: Any) -> int:
    """Count how much of ``given`` is in ``value``."""
    if given is NOTHING:
        return 0
    if isinstance(given, Bare):
        first = value[:1] if isinstance(value, list) else value
        return (
            1
            if any(
                first == reading and isinstance(first, bool) is isinstance(reading, bool)
                for reading in given.readings()
            )
            else 0
        )
    if isinstance(given, Mapping):
        if not isinstance(value, Mapping):
            return 0
        inner = _nest(given, value)
        return (not inner) + sum(
            _count_used(value[name], member) for name, member in inner.items() if name in value
        )
    if isinstance(given, list):
        return 1 if isinstance(value, list) else 0
    return 1 if value == given else 0


def _size(schema: Any) -> int:
    """Order branches where values must get small: scalars first, then lists, then objects."""
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    if kinds == "object" or isinstance(schema, Mapping) and ("properties" in schema or "allOf" in schema):
        return 2
    return 1 if kinds == "array" or kinds is None else 0


_IMPLIED: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    # type, keywords that are about it
    ("object", ("properties", "required", "additionalProperties")),
    ("array", ("items", "prefixItems", "minItems", "uniqueItems")),
    ("string", ("minLength", "maxLength", "pattern", "format")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)


def _kinds(flat: JsonSchema) -> list[str]:
    """Return the types that a value may have, likeliest first."""
    wanted = flat.get("type")
    if wanted is not None:
        named = wanted if isinstance(wanted, list) else [wanted]
        return [kind for kind in named if isinstance(kind, str) and kind in TYPES]
    implied = [kind for kind, keywords in _IMPLIED if any(keyword in flat for keyword in keywords)]
    return [
        *implied,
        *(
            kind
            for kind in ("string", "integer", "boolean", "object", "array", "null", "number")
            if kind not in implied
        ),
    ]
