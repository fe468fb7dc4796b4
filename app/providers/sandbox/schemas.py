"""The JSON Schema that structured outputs are made of: references, merging, checking.

A keyword that would constrain a value and is not read here is refused by name. ``format`` is
an annotation, as it is by default. All work is counted and bounded, because schemas are a client's.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from app.canonical.record import record
from app.dialects.shared.lenient_json import as_dict, as_list
from app.providers.sandbox.patterns import Node, Unsupported, matches, parse_pattern

MAX_STEPS: Final = 30_000
MAX_CHARACTERS: Final = 256 * 1024  # of all texts made up for one schema
MAX_DEPTH: Final = 60
_MAX_TYPES: Final = 7  # there are no more
_POSITIONS_OF_A_STEP: Final = 20

JsonSchema = Mapping[str, Any]


class Unsatisfiable(ValueError):
    """No value was found that fits."""


class UnsupportedSchema(Unsatisfiable):
    """A schema with an unsupported keyword, or one that costs too much."""


class WorkLimit:
    """How much work one answer may cost, over all schemas that it is made for."""

    def __init__(self) -> None:
        self._steps = 0.0
        self._characters = 0

    def step(self, count: float = 1) -> None:
        """Count steps; raises UnsupportedSchema past the limit."""
        self._steps += count
        if self._steps > MAX_STEPS:
            raise UnsupportedSchema("the schema asks for more work than the sandbox does")

    def scan(self, positions: int) -> None:
        """Count positions of a text that a pattern looks at; raises UnsupportedSchema past the limit."""
        self.step(positions / _POSITIONS_OF_A_STEP)

    def write(self, text: str) -> str:
        """Return a text that was made up; raises UnsupportedSchema past the limit on all of them."""
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise UnsupportedSchema("the schema asks for more text than the sandbox makes up")
        return text


class RootSchema:
    """One root schema, with what its references point to."""

    def __init__(self, document: Any, work: WorkLimit | None = None) -> None:
        self._document = document
        self.work = work or WorkLimit()
        self.step = self.work.step
        self._patterns: dict[str, Node] = {}

    def flatten(self, schema: Any) -> dict[str, Any]:
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
            expanded = self._expand(schema)
            if expanded is None:
                return dict(schema)
            schema = expanded
        raise Unsatisfiable("references go round in a circle")

    def _expand(self, schema: JsonSchema) -> Any:
        """Return ``schema`` with one reference or ``allOf`` merged in, None where it has none."""
        if "$ref" in schema:
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            return merge(self.resolve(schema["$ref"]), rest) if rest else self.resolve(schema["$ref"])
        if not isinstance(schema.get("allOf"), list):
            return None
        merged: Any = {name: value for name, value in schema.items() if name != "allOf"}
        for part in schema["allOf"]:
            self.step(count_members(merged))
            merged = merge(merged, part if not _has(part, "$ref", "allOf") else self.flatten(part))
        return merged

    def resolve(self, reference: Any) -> Any:
        """Return what ``#/…`` points to; raises Unsatisfiable where that is nothing."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise Unsatisfiable(f"the reference {str(reference)[:100]!r} points outside of the schema")
        value: Any = self._document
        for key in [unquote(k).replace("~1", "/").replace("~0", "~") for k in reference[1:].split("/")[1:]]:
            if isinstance(value, Mapping) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key[:6]) < len(value):
                value = value[int(key[:6])]
            else:
                raise Unsatisfiable(f"the reference {reference[:100]!r} points to nothing")
        return value

    def pattern(self, text: Any) -> Node:
        """Return the tree of a pattern, parsed once; raises Unsatisfiable for an unsupported one."""
        try:
            if text not in self._patterns:
                self._patterns[text] = parse_pattern(str(text))
        except (Unsupported, TypeError) as error:
            raise Unsatisfiable(
                f"the sandbox does not read the pattern {str(text)[:100]!r}: {error}"
            ) from error
        return self._patterns[text]

    def key(self, value: Any) -> str:
        """Return a text that two values share exactly where they are equal."""
        self.step()
        if isinstance(value, Mapping):
            return f"{{{','.join(f'{name!r}:{self.key(value[name])}' for name in sorted(value))}}}"
        if isinstance(value, list):
            return f"[{','.join(map(self.key, value))}]"
        return repr(int(value) if is_whole(value) and abs(value) < 2**53 else value)

    def accepts(self, value: Any, schema: Any, depth: int = 0) -> bool:
        """Tell whether ``value`` fits ``schema``."""
        self.step()
        if depth > MAX_DEPTH:
            raise Unsatisfiable("the schema is nested too deep")
        if not isinstance(schema, Mapping):
            return schema is not False
        refuse_unsupported(schema)
        return all(
            not check.applies(value) or check.holds(_Case(self, value, expected, schema, depth + 1))
            for keyword, expected in schema.items()
            if (check := _CHECKS.get(keyword)) is not None
        )


UNSUPPORTED_KEYWORDS: Final = frozenset(
    {
        *("not", "if", "then", "else", "patternProperties", "propertyNames"),
        *("minProperties", "maxProperties", "dependencies", "dependentRequired", "dependentSchemas"),
        *("contains", "minContains", "maxContains", "additionalItems"),
        *("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"),
    }
)
"""Keywords that constrain a value and are unsupported here."""


def refuse_unsupported(schema: JsonSchema) -> None:
    """Raise UnsupportedSchema for a schema with an unsupported keyword."""
    unsupported = UNSUPPORTED_KEYWORDS.intersection(schema)
    if unsupported:
        raise UnsupportedSchema(f"the sandbox makes no values for the keyword '{min(unsupported)}'")


def count_members(schema: Any) -> int:
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
    merged = dict(first)
    for keyword, value in second.items():
        join = _JOINS.get(keyword) if keyword in merged else None
        merged[keyword] = join(merged[keyword], value) if join is not None else value
    return merged


def _types(value: Any) -> list[Any]:
    return value[:_MAX_TYPES] if isinstance(value, list) else [value]


def _join_types(first: Any, second: Any) -> Any:
    both = [kind for kind in _types(first) if kind in _types(second)]
    if "integer" in _types(first) + _types(second) and "number" in _types(first) + _types(second):
        both.append("integer")
    return both


def _join_members(first: Any, second: Any) -> Any:
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return second
    common = {name: _both(first[name], second[name]) for name in first.keys() & second.keys()}
    return {**first, **second, **common}


def _join_lists(first: Any, second: Any) -> Any:
    return list(dict.fromkeys(name for name in (*as_list(first), *as_list(second)) if isinstance(name, str)))


def _join_enums(first: Any, second: Any) -> list[Any]:
    values = {repr(value) for value in as_list(second)}
    return [value for value in as_list(first) if repr(value) in values]


def _both(first: Any, second: Any) -> Any:
    return {"allOf": [first, second]}


def _pairs(first: Any, second: Any) -> Any:
    """Return every branch of the one with every branch of the other: one schema has one ``anyOf``."""
    pairs = [merge(one, other) for one in as_list(first)[:8] for other in as_list(second)[:8]]
    return [pair for pair in pairs if pair is not False]


def _of_numbers(choose: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda first, second: choose(first, second) if is_number(first) and is_number(second) else second


_JOINS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "type": _join_types,
    "enum": _join_enums,
    "properties": _join_members,
    "$defs": _join_members,
    "required": _join_lists,
    "items": _both,
    "additionalProperties": _both,
    "anyOf": _pairs,
    "oneOf": _pairs,
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems"), _of_numbers(max)),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems"), _of_numbers(min)),
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


@record
class _Case:
    """One keyword of ``schema`` and its value there, ``expected``, with the value that it judges."""

    root: RootSchema
    value: Any
    expected: Any
    schema: JsonSchema
    depth: int

    def accepts(self, value: Any, schema: Any) -> bool:
        """Tell whether ``value``, a part of the judged one or itself, fits ``schema``."""
        return self.root.accepts(value, schema, self.depth)


class _Check(NamedTuple):
    """The check of a keyword: which values it is about, and whether it holds for one of them."""

    applies: Callable[[Any], bool]
    holds: Callable[[_Case], bool]


def _compare(
    holds: Callable[[Any, Any], bool], measure: Callable[[Any], Any] | None = None
) -> Callable[[_Case], bool]:
    """Return the check of a bound on a number, or on what ``measure`` returns."""
    return lambda case: (
        not is_number(case.expected)
        or holds(case.value if measure is None else measure(case.value), case.expected)
    )


def _divides(value: Any, step: Any) -> bool:
    if step <= 0 or not math.isfinite(step) or not math.isfinite(value):
        return False
    return Fraction(str(value)) % Fraction(str(step)) == 0


def _check_prefix(case: _Case) -> bool:
    return all(map(case.accepts, case.value, as_list(case.expected)))


def _check_items(case: _Case) -> bool:
    if isinstance(case.expected, list):  # the tuples of older drafts
        return _check_prefix(case)
    start = len(as_list(case.schema.get("prefixItems")))
    return all(case.accepts(item, case.expected) for item in case.value[start:])


def _anything(value: Any) -> bool:
    return True


_STRING, _ARRAY, _OBJECT = TYPES["string"], TYPES["array"], TYPES["object"]

_CHECKS: Final[Mapping[str, _Check]] = {
    "$ref": _Check(_anything, lambda case: case.accepts(case.value, case.root.resolve(case.expected))),
    "type": _Check(
        _anything,
        lambda case: any(
            TYPES[kind](case.value)
            for kind in _types(case.expected)
            if isinstance(kind, str) and kind in TYPES
        ),
    ),
    "enum": _Check(
        _anything, lambda case: case.root.key(case.value) in map(case.root.key, as_list(case.expected))
    ),
    "const": _Check(_anything, lambda case: case.root.key(case.value) == case.root.key(case.expected)),
    "allOf": _Check(
        _anything, lambda case: all(case.accepts(case.value, part) for part in as_list(case.expected))
    ),
    "anyOf": _Check(
        _anything, lambda case: any(case.accepts(case.value, part) for part in as_list(case.expected))
    ),
    "oneOf": _Check(
        _anything,
        lambda case: sum(case.accepts(case.value, part) for part in as_list(case.expected)) == 1,
    ),
    "minimum": _Check(is_number, _compare(operator.ge)),
    "maximum": _Check(is_number, _compare(operator.le)),
    "exclusiveMinimum": _Check(is_number, _compare(operator.gt)),
    "exclusiveMaximum": _Check(is_number, _compare(operator.lt)),
    "multipleOf": _Check(is_number, _compare(_divides)),
    "minLength": _Check(_STRING, _compare(operator.ge, len)),
    "maxLength": _Check(_STRING, _compare(operator.le, len)),
    "pattern": _Check(
        _STRING,
        lambda case: matches(case.root.pattern(case.expected), case.value, case.root.work.scan),
    ),
    "minItems": _Check(_ARRAY, _compare(operator.ge, len)),
    "maxItems": _Check(_ARRAY, _compare(operator.le, len)),
    "prefixItems": _Check(_ARRAY, _check_prefix),
    "items": _Check(_ARRAY, _check_items),
    "uniqueItems": _Check(
        _ARRAY,
        lambda case: case.expected is not True or len(set(map(case.root.key, case.value))) == len(case.value),
    ),
    "properties": _Check(
        _OBJECT,
        lambda case: all(
            case.accepts(case.value[name], part)
            for name, part in as_dict(case.expected).items()
            if name in case.value
        ),
    ),
    "additionalProperties": _Check(
        _OBJECT,
        lambda case: all(
            case.accepts(member, case.expected)
            for name, member in case.value.items()
            if not _has(case.schema.get("properties"), name)
        ),
    ),
    "required": _Check(
        _OBJECT,
        lambda case: all(name in case.value for name in as_list(case.expected) if isinstance(name, str)),
    ),
}
