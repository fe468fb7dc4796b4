"""The JSON Schema of structured outputs: its keywords, its references, and whether a value fits.

One table says of each keyword what it takes and what it demands of a value. A schema is checked as a whole before
anything is made for it: what would constrain a value and is not supported is refused with its place. ``format`` is
an annotation, as it is by default. All work is counted and bounded, because schemas are a client's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from fractions import Fraction
from functools import cache, partial
from itertools import chain, repeat
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from app.dialects.shared.lenient_json import as_dict
from app.providers.sandbox.patterns import UnsupportedPattern, matches, parse_pattern

MAX_WORK: Final = 400_000
"""Characters and members that are looked at or made up for one answer."""

_LOOK: Final = 20
"""What it costs to look at a schema, in characters."""

_MAX_PLACE: Final = 200  # characters

JsonSchema = Mapping[str, Any]


class UnsupportedSchema(ValueError):
    """A schema that the sandbox makes no value for."""


class WorkLimit:
    """How much work one answer may cost, over all schemas that it is made for."""

    _left = MAX_WORK

    def count(self, work: int = _LOOK) -> None:
        """Count characters and members that are looked at; raises UnsupportedSchema past the limit."""
        self._left -= work
        if self._left < 0:
            raise UnsupportedSchema("the schema asks for more work than the sandbox does")


class RootSchema:
    """One root schema, with what its references point to; raises UnsupportedSchema for what is not supported in it."""

    def __init__(self, document: Any, work: WorkLimit) -> None:
        self._document = document
        self._count = work.count
        self.pattern = cache(partial(parse_pattern, count=work.count))
        self._check()

    def _check(self) -> None:
        pending: list[tuple[str, Any]] = [("#", self._document)]
        seen: set[int] = set()
        while pending:
            place, schema = pending.pop()
            self._count()
            if not isinstance(schema, bool | Mapping):
                raise UnsupportedSchema(f"there is no schema at '{place}'")
            if id(schema) not in seen:
                seen.add(id(schema))
                for keyword in filter(KEYWORDS.__contains__, as_dict(schema)):
                    parts = self._read(keyword, as_dict(schema)[keyword], place)
                    pending += [
                        (f"{place}/{keyword}{name}"[:_MAX_PLACE], part) for name, part in parts.items()
                    ]

    def _read(self, keyword: str, value: Any, place: str) -> Mapping[str, Any]:
        """Return the schemas in the value of a keyword of the schema at ``place``."""
        try:
            parts = _SHAPES[KEYWORDS[keyword].shape](self, value)
        except UnsupportedPattern as error:
            raise UnsupportedSchema(
                f"the sandbox does not support '{keyword}' at '{place}': {error}"
            ) from error
        if parts is None:
            raise UnsupportedSchema(
                f"the sandbox does not support '{keyword}' at '{place}', or not with this value"
            )
        return parts

    def resolve(self, reference: str) -> Any:
        """Return what ``#/…`` points to, None if that is nothing."""
        self._count(len(reference))
        start, *keys = unquote(reference).split("/")
        value: Any = self._document if start == "#" else None
        try:
            for key in keys:
                value = value[
                    int(key) if isinstance(value, list) else key.replace("~1", "/").replace("~0", "~")
                ]
        except (LookupError, TypeError, ValueError):
            return None
        return value

    def matches(self, pattern: str, text: str) -> bool:
        """Tell whether a pattern of the schema matches ``text``."""
        return matches(self.pattern(pattern), text, self._count)

    def key(self, value: Any) -> Hashable:
        """Return what two values share exactly where they are equal in JSON."""
        self._count()
        if isinstance(value, Mapping):
            return frozenset((name, self.key(member)) for name, member in value.items())
        return tuple(map(self.key, value)) if isinstance(value, list) else (isinstance(value, bool), value)

    def accepts(self, value: Any, schema: Any) -> bool:
        """Tell whether ``value`` fits ``schema``, which may have references to this one."""
        self._count(_LOOK + (len(value) if isinstance(value, str | list | Mapping) else 0))
        return schema is not False and all(
            rule.holds(self, value, schema)
            for keyword in as_dict(schema)
            if (rule := KEYWORDS.get(keyword)) and (rule.kind is None or TYPES[rule.kind](value))
        )

    def expand(self, *schemas: Any) -> Iterator[dict[str, Any]]:
        """Yield schemas without references and combinations, one for each choice of branches. What fits one of them
        is likely to fit all ``schemas``."""
        plain: dict[str, Any] = {}
        pending = [*schemas]
        while pending:
            members = sum(len(value) for value in plain.values() if isinstance(value, dict | list))
            self._count(_LOOK + len(pending) + members)
            schema = pending.pop(0)
            if schema is False:
                return
            plain = _merge(plain, as_dict(schema))
            pending[:0] = [self.resolve(plain.pop("$ref"))] if "$ref" in plain else []
            pending[:0] = plain.pop("allOf", [])
            branches = plain.pop("anyOf", plain.pop("oneOf", None))
            if branches is not None:
                for branch in branches:
                    yield from self.expand(plain, branch, *pending)
                return
        yield plain


# --- two schemas in one -------------------------------------------------------------------------


def _merge(first: JsonSchema, second: JsonSchema) -> dict[str, Any]:
    """Return a schema for values that fit both: as far as one schema can say that, the second where it cannot."""
    both = [keyword for keyword in first if keyword in second and keyword in _JOINS]
    return {
        **first,
        **second,
        **{keyword: _JOINS[keyword](first[keyword], second[keyword]) for keyword in both},
    }


def _both(first: Any, second: Any) -> Any:
    return second if isinstance(first, list) or isinstance(second, list) else {"allOf": [first, second]}


def _join_members(first: JsonSchema, second: JsonSchema) -> JsonSchema:
    return {**first, **second, **{name: _both(first[name], second[name]) for name in first if name in second}}


_JOINS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "properties": _join_members,
    "required": lambda first, second: list(dict.fromkeys([*first, *second])),
    "pattern": lambda first, second: first + second,
    **dict.fromkeys(("items", "additionalProperties", "propertyNames"), _both),
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}


# --- types and keywords -------------------------------------------------------------------------


TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: TYPES["number"](value) and value == int(value),  # 1.0 is one
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
    "number": lambda value: type(value) in (int, float) and abs(value) < math.inf,
}
"""Whether a value is of a type; where a schema names none, they are tried in this order."""


def as_types(value: Any) -> list[str]:
    """Return the types that the keyword ``type`` names."""
    return value if isinstance(value, list) else [value]


def exact(value: float) -> Fraction:
    """Return a number as it is written: 0.1 is a tenth."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def split_items(schema: JsonSchema) -> tuple[list[Any], Any]:
    """Return the schemas of the first items and that of the others. Older drafts have a list as ``items``."""
    items = schema.get("items", True)
    older = isinstance(items, list)
    return (items, schema.get("additionalItems", True)) if older else (schema.get("prefixItems", []), items)


class Keyword(NamedTuple):
    """A keyword: the shape of its value; the type of the values that it is about (None: any); and whether such a value
    keeps it."""

    shape: str
    kind: str | None
    holds: Callable[[RootSchema, Any, JsonSchema], bool]


_SHAPES: Final[Mapping[str, Callable[[RootSchema, Any], Mapping[str, Any] | None]]] = {
    # the schemas in the value of a keyword, by their places there; None for a value of another shape
    "schema": lambda root, value: {"": value},
    "schemas": lambda root, value: (
        {f"/{at}": part for at, part in enumerate(value)} if isinstance(value, list) else None
    ),
    "items": lambda root, value: _SHAPES["schemas" if isinstance(value, list) else "schema"](root, value),
    "members": lambda root, value: (
        {f"/{name}": part for name, part in value.items()} if isinstance(value, Mapping) else None
    ),
    "patterns": lambda root, value: (
        _SHAPES["members"](root, value) if all(map(root.pattern, as_dict(value))) else None
    ),
    "reference": lambda root, value: (
        {f"={value[:100]}": root.resolve(value)} if isinstance(value, str) else None
    ),
    "pattern": lambda root, value: {} if isinstance(value, str) and root.pattern(value) else None,
    "number": lambda root, value: {} if TYPES["number"](value) else None,
    "step": lambda root, value: {} if TYPES["number"](value) and value > 0 else None,
    "count": lambda root, value: {} if TYPES["integer"](value) and value >= 0 else None,
    "flag": lambda root, value: {} if isinstance(value, bool) else None,
    "names": lambda root, value: {} if isinstance(value, list) and all(map(TYPES["string"], value)) else None,
    "types": lambda root, value: {} if set() < {*map(str, as_types(value))} <= TYPES.keys() else None,
    "values": lambda root, value: {} if isinstance(value, list) else None,
    "value": lambda root, value: {},
    "unsupported": lambda root, value: None,
}


def _check_items(root: RootSchema, value: Any, schema: JsonSchema) -> bool:
    first, rest = split_items(schema)
    return all(map(root.accepts, value, chain(first, repeat(rest))))


def _check_other_members(root: RootSchema, value: Any, schema: JsonSchema) -> bool:
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    return all(
        root.accepts(member, schema["additionalProperties"])
        for name, member in value.items()
        if name not in properties and not any(root.matches(pattern, name) for pattern in patterns)
    )


_UNSUPPORTED: Final = (
    *("if", "then", "else", "dependencies", "dependentRequired", "dependentSchemas"),
    *("contains", "minContains", "maxContains", "unevaluatedProperties", "unevaluatedItems"),
    *("$dynamicRef", "$recursiveRef"),
)

KEYWORDS: Final[Mapping[str, Keyword]] = {
    "$ref": Keyword(
        "reference", None, lambda root, value, schema: root.accepts(value, root.resolve(schema["$ref"]))
    ),
    "type": Keyword(
        "types",
        None,
        lambda root, value, schema: any(TYPES[kind](value) for kind in as_types(schema["type"])),
    ),
    "const": Keyword("value", None, lambda root, value, schema: root.key(value) == root.key(schema["const"])),
    "enum": Keyword(
        "values", None, lambda root, value, schema: root.key(value) in map(root.key, schema["enum"])
    ),
    "allOf": Keyword(
        "schemas",
        None,
        lambda root, value, schema: all(root.accepts(value, part) for part in schema["allOf"]),
    ),
    "anyOf": Keyword(
        "schemas",
        None,
        lambda root, value, schema: any(root.accepts(value, part) for part in schema["anyOf"]),
    ),
    "oneOf": Keyword(
        "schemas",
        None,
        lambda root, value, schema: sum(root.accepts(value, part) for part in schema["oneOf"]) == 1,
    ),
    "not": Keyword("schema", None, lambda root, value, schema: not root.accepts(value, schema["not"])),
    "minimum": Keyword("number", "number", lambda root, value, schema: value >= schema["minimum"]),
    "maximum": Keyword("number", "number", lambda root, value, schema: value <= schema["maximum"]),
    "exclusiveMinimum": Keyword(
        "number", "number", lambda root, value, schema: value > schema["exclusiveMinimum"]
    ),
    "exclusiveMaximum": Keyword(
        "number", "number", lambda root, value, schema: value < schema["exclusiveMaximum"]
    ),
    "multipleOf": Keyword(
        "step", "number", lambda root, value, schema: exact(value) % exact(schema["multipleOf"]) == 0
    ),
    "minLength": Keyword("count", "string", lambda root, value, schema: len(value) >= schema["minLength"]),
    "maxLength": Keyword("count", "string", lambda root, value, schema: len(value) <= schema["maxLength"]),
    "pattern": Keyword(
        "pattern", "string", lambda root, value, schema: root.matches(schema["pattern"], value)
    ),
    "minItems": Keyword("count", "array", lambda root, value, schema: len(value) >= schema["minItems"]),
    "maxItems": Keyword("count", "array", lambda root, value, schema: len(value) <= schema["maxItems"]),
    "prefixItems": Keyword("schemas", "array", _check_items),
    "items": Keyword("items", "array", _check_items),
    "additionalItems": Keyword("schema", "array", lambda root, value, schema: True),
    "uniqueItems": Keyword(
        "flag",
        "array",
        lambda root, value, schema: not schema["uniqueItems"] or len({*map(root.key, value)}) == len(value),
    ),
    "minProperties": Keyword(
        "count", "object", lambda root, value, schema: len(value) >= schema["minProperties"]
    ),
    "maxProperties": Keyword(
        "count", "object", lambda root, value, schema: len(value) <= schema["maxProperties"]
    ),
    "required": Keyword(
        "names", "object", lambda root, value, schema: all(name in value for name in schema["required"])
    ),
    "propertyNames": Keyword(
        "schema",
        "object",
        lambda root, value, schema: all(root.accepts(name, schema["propertyNames"]) for name in value),
    ),
    "properties": Keyword(
        "members",
        "object",
        lambda root, value, schema: all(
            root.accepts(member, schema["properties"].get(name, True)) for name, member in value.items()
        ),
    ),
    "patternProperties": Keyword(
        "patterns",
        "object",
        lambda root, value, schema: all(
            root.accepts(member, part)
            for pattern, part in schema["patternProperties"].items()
            for name, member in value.items()
            if root.matches(pattern, name)
        ),
    ),
    "additionalProperties": Keyword("schema", "object", _check_other_members),
    **dict.fromkeys(_UNSUPPORTED, Keyword("unsupported", None, lambda root, value, schema: False)),
}
