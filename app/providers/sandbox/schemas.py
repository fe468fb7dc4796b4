"""The JSON Schema that structured outputs are made of: references, merging, checking.

A keyword that would constrain a value and is not read here is refused by name. ``format`` is
an annotation, as it is by default. All work is counted and bounded, because schemas are a client's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final
from urllib.parse import unquote

from app.dialects.shared.lenient_json import as_list
from app.providers.sandbox.patterns import Pattern, Unsupported

MAX_STEPS: Final = 30_000
MAX_CHARACTERS: Final = 256 * 1024  # of all texts made up for one schema
MAX_DEPTH: Final = 60
_MOST_TYPES: Final = 7  # there are no more
_STEPS_OF_MATCH: Final = 50  # steps of a match that count as one

JsonSchema = Mapping[str, Any]


class Unsatisfiable(ValueError):
    """No value was found that fits."""


class Unread(Unsatisfiable):
    """The schema is not read here: it has an unknown keyword, or costs too much."""


class Work:
    """The work that one answer may cost, over all schemas that it is made for."""

    def __init__(self) -> None:
        self._steps = 0
        self._characters = 0

    def step(self, count: int = 1) -> None:
        """Count pieces of work; raises Unread past the bound."""
        self._steps += count
        if self._steps > MAX_STEPS:
            raise Unread("the schema asks for more work than the sandbox does")

    def write(self, text: str) -> str:
        """Return a text that was made up; raises Unread past the bound on all of them."""
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise Unread("the schema asks for more text than the sandbox makes up")
        return text


class Schemas:
    """One root schema, with what its references point to."""

    def __init__(self, root: Any, work: Work | None = None) -> None:
        self.root = root
        self.work = work or Work()
        self.step = self.work.step
        self._patterns: dict[str, Pattern] = {}

    def flat(self, schema: Any) -> dict[str, Any]:
        """Return ``schema`` as an object with its references and ``allOf`` merged in.

        Raises Unsatisfiable for ``false`` and for references that do not resolve.
        """
        for _ in range(MAX_DEPTH):
            self.step()
            if schema is False:
                raise Unsatisfiable("a schema is false")
            if not isinstance(schema, Mapping):
                return {}
            self.step(len(schema))
            further = self._further(schema)
            if further is None:
                return dict(schema)
            schema = further
        raise Unsatisfiable("references go round in a circle")

    def _further(self, schema: JsonSchema) -> Any:
        """Return ``schema`` with one reference or ``allOf`` taken in, None where it has none."""
        if "$ref" in schema:
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            return merge(self.resolve(schema["$ref"]), rest) if rest else self.resolve(schema["$ref"])
        if not isinstance(schema.get("allOf"), list):
            return None
        whole: Any = {name: value for name, value in schema.items() if name != "allOf"}
        for part in schema["allOf"]:
            self.step(members(whole))
            whole = merge(whole, part if not _has(part, "$ref", "allOf") else self.flat(part))
        return whole

    def resolve(self, reference: Any) -> Any:
        """Return what ``#/…`` points to; raises Unsatisfiable where that is nothing."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise Unsatisfiable(f"the reference {str(reference)[:100]!r} points outside of the schema")
        found: Any = self.root
        for step in [unquote(s).replace("~1", "/").replace("~0", "~") for s in reference[1:].split("/")[1:]]:
            if isinstance(found, Mapping) and step in found:
                found = found[step]
            elif isinstance(found, list) and step.isascii() and step.isdigit() and int(step[:6]) < len(found):
                found = found[int(step[:6])]
            else:
                raise Unsatisfiable(f"the reference {reference[:100]!r} points to nothing")
        return found

    def pattern(self, text: Any) -> Pattern:
        """Return a pattern, read once; raises Unread for one that is not read here."""
        try:
            if text not in self._patterns:
                self._patterns[text] = Pattern(str(text))
        except (Unsupported, TypeError) as error:
            raise Unsatisfiable(
                f"the sandbox does not read the pattern {str(text)[:100]!r}: {error}"
            ) from error
        return self._patterns[text]

    def matches(self, pattern: Any, text: str) -> bool:
        """Tell whether ``text`` matches ``pattern``."""
        found = self.pattern(pattern)
        try:
            self.step(found.cost(text) // _STEPS_OF_MATCH)
            return found.matches(text)
        except Unsupported as error:
            raise Unread(str(error)) from error

    def same(self, first: Any, second: Any) -> bool:
        """Tell whether two JSON values are equal; true is not 1 here."""
        self.step()
        if isinstance(first, bool) or isinstance(second, bool):
            return first is second
        if isinstance(first, list) and isinstance(second, list):
            return len(first) == len(second) and all(map(self.same, first, second))
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            return first.keys() == second.keys() and all(self.same(v, second[k]) for k, v in first.items())
        return bool(first == second)

    def key(self, value: Any) -> str:
        """Return a text that two values share exactly where they are equal."""
        self.step()
        if isinstance(value, Mapping):
            members = ",".join(f"{name!r}:{self.key(value[name])}" for name in sorted(value))
            return f"{{{members}}}"
        if isinstance(value, list):
            return f"[{','.join(map(self.key, value))}]"
        whole = is_whole(value) and abs(value) < 2**53
        return repr(int(value) if whole else value)

    def among(self, value: Any, values: list[Any]) -> bool:
        """Tell whether ``value`` equals one of ``values``."""
        return any(self.same(value, other) for other in values)

    def accepts(self, value: Any, schema: Any, depth: int = 0) -> bool:
        """Tell whether ``value`` fits ``schema``."""
        self.step()
        if depth > MAX_DEPTH:
            raise Unsatisfiable("the schema is nested too deep")
        if schema is False:
            return False
        if not isinstance(schema, Mapping):
            return True
        refuse_unread(schema)
        for keyword, expected in schema.items():
            check = _CHECKS.get(keyword)
            if check is not None and not check(self, value, expected, schema, depth + 1):
                return False
        return True


UNREAD: Final = frozenset(
    {
        *("not", "if", "then", "else", "patternProperties", "propertyNames"),
        *("minProperties", "maxProperties", "dependencies", "dependentRequired", "dependentSchemas"),
        *("contains", "minContains", "maxContains", "additionalItems"),
        *("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"),
    }
)
"""Keywords that constrain a value and are not read here."""


def refuse_unread(schema: JsonSchema) -> None:
    """Raise Unread for a schema with a keyword that is not read here."""
    unread = UNREAD.intersection(schema)
    if unread:
        raise Unread(f"the sandbox makes no values for the keyword '{min(unread)}'")


def members(schema: Any) -> int:
    """Count the keywords of a schema and what they list."""
    if not isinstance(schema, Mapping):
        return 1
    return len(schema) + sum(len(value) for value in schema.values() if isinstance(value, Mapping | list))


def _has(schema: Any, *keywords: str) -> bool:
    return isinstance(schema, Mapping) and any(keyword in schema for keyword in keywords)


# --- joining two schemas --------------------------------------------------------------------


def merge(first: Any, second: Any) -> Any:
    """Return a schema that says what both say, as far as one object can say it."""
    if first is False or second is False:
        return False
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return second if isinstance(second, Mapping) else first
    whole = dict(first)
    for keyword, value in second.items():
        whole[keyword] = _join(keyword, whole[keyword], value) if keyword in whole else value
    return whole


def _join(keyword: str, first: Any, second: Any) -> Any:
    join = _JOINS.get(keyword)
    return second if join is None else join(first, second)


def _types(value: Any) -> list[Any]:
    return value[:_MOST_TYPES] if isinstance(value, list) else [value]


def _join_types(first: Any, second: Any) -> Any:
    both = [kind for kind in _types(first) if kind in _types(second)]
    if "integer" in _types(first) + _types(second) and "number" in _types(first) + _types(second):
        both.append("integer")
    return both


def _join_members(first: Any, second: Any) -> Any:
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return second
    whole = dict(first)
    for name, schema in second.items():
        whole[name] = {"allOf": [whole[name], schema]} if name in whole else schema
    return whole


def _join_lists(first: Any, second: Any) -> Any:
    return list(dict.fromkeys(name for name in (*as_list(first), *as_list(second)) if isinstance(name, str)))


def _join_enums(first: list[Any], second: list[Any]) -> list[Any]:
    keys = {repr(value) for value in second}
    return [value for value in first if repr(value) in keys]


def _both(first: Any, second: Any) -> Any:
    return {"allOf": [first, second]}


def _pairs(first: Any, second: Any) -> Any:
    """Two ``anyOf`` cannot be one: pair every branch of the one with every branch of the other."""
    pairs = [merge(one, other) for one in as_list(first)[:8] for other in as_list(second)[:8]]
    return [pair for pair in pairs if pair is not False]


def _greater(first: Any, second: Any) -> Any:
    return max(first, second) if is_number(first) and is_number(second) else second


def _less(first: Any, second: Any) -> Any:
    return min(first, second) if is_number(first) and is_number(second) else second


_JOINS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "type": _join_types,
    "enum": lambda first, second: _join_enums(as_list(first), as_list(second)),
    "properties": _join_members,
    "$defs": _join_members,
    "required": _join_lists,
    "items": _both,
    "additionalProperties": _both,
    "anyOf": _pairs,
    "oneOf": _pairs,
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems"), _greater),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems"), _less),
}


# --- checking a value -----------------------------------------------------------------------


def is_number(value: Any) -> bool:
    """Tell whether ``value`` is a JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Tell whether ``value`` is a number without a fraction (1.0 is an integer)."""
    return is_number(value) and (isinstance(value, int) or value.is_integer())


TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": is_whole,
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
}

Check = Callable[[Schemas, Any, Any, JsonSchema, int], bool]


def _has_type(schemas: Schemas, value: Any, expected: Any, schema: JsonSchema, depth: int) -> bool:
    return any(TYPES[kind](value) for kind in _types(expected) if isinstance(kind, str) and kind in TYPES)


def _bound(
    applies: Callable[[Any], bool], measure: Callable[[Any], Any], holds: Callable[[Any, Any], bool]
) -> Check:
    def check(schemas: Schemas, value: Any, expected: Any, schema: JsonSchema, depth: int) -> bool:
        return not applies(value) or not is_number(expected) or holds(measure(value), expected)

    return check


def _itself(value: Any) -> Any:
    return value


def _divides(value: Any, step: Any) -> bool:
    if step <= 0 or not math.isfinite(step) or not math.isfinite(value):
        return False
    return Fraction(str(value)) % Fraction(str(step)) == 0


def _every_property(schemas: Schemas, value: Any, expected: Any, schema: JsonSchema, depth: int) -> bool:
    if not isinstance(value, Mapping) or not isinstance(expected, Mapping):
        return True
    return all(schemas.accepts(value[name], part, depth) for name, part in expected.items() if name in value)


def _additional(schemas: Schemas, value: Any, expected: Any, schema: JsonSchema, depth: int) -> bool:
    return not isinstance(value, Mapping) or all(
        schemas.accepts(member, expected, depth)
        for name, member in value.items()
        if not _has(schema.get("properties"), name)
    )


def _check_required(schemas: Schemas, value: Any, expected: Any, schema: JsonSchema, depth: int) -> bool:
    return not isinstance(value, Mapping) or all(
        name in value for name in as_list(expected) if isinstance(name, str)
    )


def _prefix(schemas: Schemas, value: Any, expected: Any, schema: JsonSchema, depth: int) -> bool:
    return not isinstance(value, list) or all(
        schemas.accepts(item, part, depth) for item, part in zip(value, as_list(expected), strict=False)
    )


def _items(schemas: Schemas, value: Any, expected: Any, schema: JsonSchema, depth: int) -> bool:
    if not isinstance(value, list):
        return True
    if isinstance(expected, list):  # the tuples of older drafts
        return _prefix(schemas, value, expected, schema, depth)
    start = len(as_list(schema.get("prefixItems")))
    return all(schemas.accepts(item, expected, depth) for item in value[start:])


def _unique(schemas: Schemas, value: Any, expected: Any, schema: JsonSchema, depth: int) -> bool:
    if expected is not True or not isinstance(value, list):
        return True
    return len({schemas.key(item) for item in value}) == len(value)


_CHECKS: Final[Mapping[str, Check]] = {
    "$ref": lambda s, value, expected, schema, depth: s.accepts(value, s.resolve(expected), depth),
    "type": _has_type,
    "enum": lambda s, value, expected, schema, depth: s.among(value, as_list(expected)),
    "const": lambda s, value, expected, schema, depth: s.same(value, expected),
    "minimum": _bound(is_number, _itself, lambda value, bound: value >= bound),
    "maximum": _bound(is_number, _itself, lambda value, bound: value <= bound),
    "exclusiveMinimum": _bound(is_number, _itself, lambda value, bound: value > bound),
    "exclusiveMaximum": _bound(is_number, _itself, lambda value, bound: value < bound),
    "multipleOf": _bound(is_number, _itself, _divides),
    "minLength": _bound(TYPES["string"], len, lambda length, bound: length >= bound),
    "maxLength": _bound(TYPES["string"], len, lambda length, bound: length <= bound),
    "minItems": _bound(TYPES["array"], len, lambda length, bound: length >= bound),
    "maxItems": _bound(TYPES["array"], len, lambda length, bound: length <= bound),
    "pattern": lambda s, value, expected, schema, depth: (
        not isinstance(value, str) or s.matches(expected, value)
    ),
    "properties": _every_property,
    "additionalProperties": _additional,
    "required": _check_required,
    "prefixItems": _prefix,
    "items": _items,
    "uniqueItems": _unique,
    "allOf": lambda s, value, parts, schema, depth: all(
        s.accepts(value, part, depth) for part in as_list(parts)
    ),
    "anyOf": lambda s, value, parts, schema, depth: any(
        s.accepts(value, part, depth) for part in as_list(parts)
    ),
    "oneOf": lambda s, value, parts, schema, depth: (
        sum(s.accepts(value, p, depth) for p in as_list(parts)) == 1
    ),
}
