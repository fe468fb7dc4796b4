"""Make a JSON value that fits a schema, out of given members and made-up ones.

Deterministic. Where several values would do, the first that the schema accepts is taken:
what was given, then ``default`` and ``examples``, then the simplest of its type.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from app.dialects.shared.reading import as_dict, as_list
from app.providers.sandbox.assignments import Bare, natural
from app.providers.sandbox.scalars import SCALARS
from app.providers.sandbox.schemas import (
    TYPES,
    JsonSchema,
    Schemas,
    Unsatisfiable,
    declared,
    is_number,
    merged,
    same,
)

NOTHING: Final = object()
"""No value was given."""

_FULL_DEPTH: Final = 5  # optional members are made up no deeper than this
_MAX_DEPTH: Final = 40
_MAX_ITEMS: Final = 5_000


def fit(schema: Any, given: Any = NOTHING, *, optional: bool = True) -> Any:
    """Return a value that fits ``schema`` and holds as much of ``given`` as fits.

    ``given`` is what ``parse_assignments`` returns. ``optional`` makes up members that are
    not required, too. Raises Unsatisfiable when none was found.
    """
    schemas = Schemas(schema)
    value = _Maker(schemas, optional).make(schema, given, "value", 0, 0)
    if not schemas.accepts(value, schema):
        raise Unsatisfiable("no value was found that fits the schema")
    return value


def fit_members(schema: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call: every member given, of the type that the schema wants
    where it can be, and made-up values for what else is required.

    What was given stands even where it does not fit; a schema that cannot be fitted adds
    nothing.
    """
    try:
        value = fit(schema, given, optional=False)
    except Unsatisfiable:
        value = {}
    members = value if isinstance(value, dict) else {}
    first: dict[str, Any] = {}
    for name, wanted in given.items():
        if name in members and _taken(members[name], wanted):
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
        for keyword in ("anyOf", "oneOf"):
            if isinstance(flat.get(keyword), list):
                return self._alternative(flat, keyword, given, name, depth, turn)
        if "if" in flat:
            return self._conditional(flat, given, name, depth, turn)
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
        if keyword == "oneOf":
            branches += [self._branch(branch, {"not": _others(branches, branch)}) for branch in branches]
        best, most = NOTHING, -1
        for branch in branches:
            value = self._try(branch, given, name, depth + 1, turn)
            if value is NOTHING or not self._schemas.accepts(value, flat):
                continue
            taken = _taken(value, given)
            if taken > most:
                best, most = value, taken
            if given is NOTHING:
                break
        if best is NOTHING:
            raise Unsatisfiable(f"no branch of '{keyword}' could be fitted")
        return best

    def _branch(self, base: dict[str, Any], branch: Any) -> Any:
        if isinstance(branch, Mapping) and ("$ref" in branch or "allOf" in branch):
            return {"allOf": [base, branch]} if base else branch
        return merged(base, branch)

    def _try(self, schema: Any, given: Any, name: str, depth: int, turn: int) -> Any:
        try:
            return self.make(schema, given, name, depth, turn)
        except Unsatisfiable:
            self._schemas.step()  # raises where the work itself was too much
            return NOTHING

    def _conditional(self, flat: dict[str, Any], given: Any, name: str, depth: int, turn: int) -> Any:
        base = {k: v for k, v in flat.items() if k not in ("if", "then", "else")}
        for branch, condition in (("then", flat["if"]), ("else", {"not": flat["if"]})):
            joined = {"allOf": [base, condition, flat.get(branch, True)]}
            value = self._try(joined, given, name, depth + 1, turn)
            if value is not NOTHING and self._schemas.accepts(value, flat):
                return value
        raise Unsatisfiable("neither branch of a condition could be fitted")

    def _candidates(self, flat: JsonSchema, given: Any, name: str, depth: int, turn: int) -> Iterator[Any]:
        """Yield values that may fit, best first."""
        kinds = _kinds(flat)
        yield from self._given(flat, given, kinds, name, depth)
        if "const" in flat:
            yield flat["const"]
            return
        if isinstance(flat.get("enum"), list):
            values = flat["enum"]
            yield from (values[(turn + i) % len(values)] for i in range(len(values)))
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

    def _given(self, flat: JsonSchema, given: Any, kinds: list[str], name: str, depth: int) -> Iterator[Any]:
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
        given = _nested(given, properties)
        required = _texts(flat.get("required"))
        made: dict[str, Any] = {}
        for name in [*(n for n in properties if n in required or n in given), *given, *required]:
            self._add(made, flat, name, given.get(name, NOTHING), depth, needed=name in required)
        told: Any = flat.get("maxProperties")
        most = told if is_number(told) else math.inf
        for name in properties if self._optional and depth < _FULL_DEPTH else ():
            if len(made) < most:
                self._add(made, flat, name, NOTHING, depth, needed=False)
        self._complete(made, flat, depth)
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
            if fitted is not NOTHING and (value is NOTHING or _taken(fitted, value) > 0):
                made[name] = fitted
                return
        if needed:
            raise Unsatisfiable("a required member could not be made up")

    def _member_schema(self, flat: JsonSchema, name: str) -> Any:
        properties, patterns = as_dict(flat.get("properties")), as_dict(flat.get("patternProperties"))
        parts = [properties[name]] if name in properties else []
        parts += [part for pattern, part in patterns.items() if self._schemas.matches(pattern, name)]
        if "propertyNames" in flat and not self._schemas.accepts(name, flat["propertyNames"]):
            return False
        if not declared(self._schemas, flat, name):
            parts.append(flat.get("additionalProperties", True))
        return parts[0] if len(parts) == 1 else {"allOf": parts}

    def _complete(self, made: dict[str, Any], flat: JsonSchema, depth: int) -> None:
        """Add what members demand of one another, and members up to ``minProperties``."""
        for owner, names in as_dict(flat.get("dependentRequired")).items():
            for name in _texts(names) if owner in made else ():
                self._add(made, flat, name, NOTHING, depth, needed=True)
        least = flat.get("minProperties", 0)
        if not is_number(least) or least > _MAX_ITEMS:
            raise Unsatisfiable("too many members are wanted")
        names_wanted = [*as_dict(flat.get("properties")), *(f"member_{i + 1}" for i in range(int(least)))]
        for name in names_wanted if least else ():
            if len(made) >= least:
                return
            self._add(made, flat, name, NOTHING, depth, needed=False)

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
        contains = flat.get("contains", True)
        made: list[Any] = []
        for index in range(wanted):
            schema = prefix[index] if index < len(prefix) else _items_schema(flat)
            if contains is not True and index >= len(prefix):
                schema = {"allOf": [schema, contains]}
            value = given[index] if index < len(given) else NOTHING
            made.append(self._item(flat, schema, value, name, depth, made))
        return made

    def _usual_length(self, flat: JsonSchema, depth: int) -> int:
        """One item, where it is optional and not too deep; as many as ``contains`` asks for."""
        if "contains" in flat:
            least = flat.get("minContains", 1)
            prefix = len(as_list(flat.get("prefixItems")))
            return prefix + min(int(least), _MAX_ITEMS) if is_number(least) else prefix + 1
        return 1 if self._optional and depth < _FULL_DEPTH and _items_schema(flat) is not False else 0

    def _item(self, flat: JsonSchema, schema: Any, given: Any, name: str, depth: int, made: list[Any]) -> Any:
        """Return one item, unlike those before it where they must differ."""
        tries = 1 if flat.get("uniqueItems") is not True else len(made) + 2
        for turn in range(len(made), len(made) + tries):
            value = self._try(schema, given, name, depth + 1, turn)
            if value is NOTHING and given is not NOTHING:
                value = self._try(schema, NOTHING, name, depth + 1, turn)
            if value is NOTHING:
                break
            if tries == 1 or not any(same(value, other) for other in made):
                return value
            given = NOTHING
        raise Unsatisfiable("an item could not be made up")


def _others(branches: list[Any], one: Any) -> dict[str, Any]:
    return {"anyOf": [branch for branch in branches if branch is not one]}


def _texts(value: Any) -> list[str]:
    return [name for name in as_list(value) if isinstance(name, str)]


def _items_schema(flat: JsonSchema) -> Any:
    items = flat.get("items", True)
    return flat.get("additionalItems", True) if isinstance(items, list) else items


def _nested(given: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
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


def _taken(value: Any, given: Any) -> int:
    """Count how much of ``given`` is in ``value``."""
    if given is NOTHING:
        return 0
    if isinstance(given, Bare):
        told = value[:1] if isinstance(value, list) else value
        return 1 if any(same(told, reading) for reading in given.readings()) else 0
    if isinstance(given, Mapping):
        if not isinstance(value, Mapping):
            return 0
        inner = _nested(given, value)
        return (not inner) + sum(
            _taken(value[name], member) for name, member in inner.items() if name in value
        )
    if isinstance(given, list):
        return 1 if isinstance(value, list) else 0
    return 1 if same(value, given) else 0


def _size(schema: Any) -> int:
    """Order branches where values must get small: scalars first, then lists, then objects."""
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    if kinds == "object" or isinstance(schema, Mapping) and ("properties" in schema or "allOf" in schema):
        return 2
    return 1 if kinds == "array" or kinds is None else 0


_IMPLIED: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    # type, keywords that are about it
    ("object", ("properties", "required", "additionalProperties", "minProperties", "patternProperties")),
    ("array", ("items", "prefixItems", "minItems", "contains", "uniqueItems")),
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
