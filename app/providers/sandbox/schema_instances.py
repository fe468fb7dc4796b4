"""Make JSON values that fit a schema, from proposed values and made-up ones.

Deterministic. Values are made one after another, the likeliest first: the proposal, then ``default`` and ``examples``,
then the simplest values of a type. Those that the schema does not accept are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain, cycle, islice, product
from typing import Any, Final

from app.dialects.shared.lenient_json import as_dict, as_list
from app.providers.sandbox.assignments import Bare, infer_values
from app.providers.sandbox.patterns import UnsupportedPattern, make_example
from app.providers.sandbox.schemas import (
    KEYWORDS,
    TYPES,
    JsonSchema,
    RootSchema,
    UnsupportedSchema,
    WorkLimit,
    as_types,
    exact,
    split_items,
)

ABSENT: Final = object()
"""The proposal where none was made, and the value where none was found."""

_FULL_DEPTH: Final = 5  # below, members and items are made up only if they are required
_WIDE_DEPTH: Final = 3  # below, branches that are an object or array come last
_MOST: Final = 1_000  # values that are tried of one type, items of a list
_MAX_TEXT: Final = 256 * 1024
_BOUND: Final = 10**400  # of numbers without another; more than any float


def make_instance(
    schema: Any, proposal: Any = ABSENT, *, optional: bool = True, work: WorkLimit | None = None
) -> Any:
    """Return a value that fits ``schema`` and holds as much of ``proposal`` as fits.

    ``proposal`` is what ``parse_assignments`` returns. With ``optional``, members that are not required are made up, too.
    ``work`` is the limit that several values of one answer share. Raises UnsupportedSchema when no value was found.
    """
    try:
        root = RootSchema(schema, work or WorkLimit())
        value = _InstanceBuilder(root, optional).make(schema, proposal, "value", 0)
    except (RecursionError, OverflowError) as error:
        raise UnsupportedSchema("the schema has no finite value") from error
    if value is ABSENT:
        raise UnsupportedSchema("no value was found that fits the schema")
    return value


def make_arguments(
    schema: Any, proposal: Mapping[str, Any], *, work: WorkLimit | None = None
) -> dict[str, Any]:
    """Return the arguments of a call: the members of ``proposal``, of the types that the schema wants where they can
    be, and made-up values for other required members.

    A proposed member stays even where it does not fit. A schema that is not supported adds nothing.
    """
    try:
        members = as_dict(make_instance(schema, proposal, optional=False, work=work))
    except UnsupportedSchema:
        members = {}
    proposals = _nest(proposal, members)
    dropped = {
        name: infer_values(proposals[name])
        for name in proposals
        if not _count_used(members.get(name), proposals[name])
    }
    return {**dict.fromkeys(proposals), **members, **dropped}


class _InstanceBuilder:
    """Makes values for one root schema."""

    def __init__(self, root: RootSchema, optional: bool) -> None:
        self._root = root
        self._optional = optional

    def make(self, schema: Any, proposal: Any, name: str, depth: int) -> Any:
        """Return a value that fits ``schema``, ABSENT where none was found. ``name`` is the member that it is made for."""
        return next(self._values(schema, proposal, name, depth), ABSENT)

    def _values(self, schema: Any, proposal: Any, name: str, depth: int) -> Iterator[Any]:
        """Yield values that fit ``schema``, the likeliest first; with a proposal, one for each choice of branches, and
        the one that holds most of it first."""
        choices: Iterable[JsonSchema] = self._root.expand(schema)
        if depth >= _WIDE_DEPTH:
            choices = sorted(choices, key=lambda plain: _likely_types(plain)[0] in ("object", "array"))
        candidates = (self._candidates(plain, proposal, name, depth) for plain in choices)
        values = (filter(lambda value: self._root.accepts(value, schema), some) for some in candidates)
        if proposal is ABSENT:
            return chain.from_iterable(values)
        firsts = chain.from_iterable(islice(some, 1) for some in values)
        return iter(sorted(firsts, key=lambda value: -_count_used(value, proposal)))

    def _candidates(self, plain: JsonSchema, proposal: Any, name: str, depth: int) -> Iterator[Any]:
        """Yield values that may fit ``plain``, the likeliest first."""
        types = _likely_types(plain)
        for value, kind in product(proposal.readings() if isinstance(proposal, Bare) else [proposal], types):
            if TYPES[kind](value):
                yield from self._of_type(kind, plain, value, name, depth)
        usual = [*([plain["default"]] if "default" in plain else []), *as_list(plain.get("examples"))]
        yield from (value for value in usual if any(TYPES[kind](value) for kind in types))
        constants = [plain["const"]] if "const" in plain else plain.get("enum")
        made_up = (self._of_type(kind, plain, ABSENT, name, depth) for kind in types)
        yield from chain.from_iterable(made_up) if constants is None else constants

    def _of_type(self, kind: str, plain: JsonSchema, proposal: Any, name: str, depth: int) -> Iterable[Any]:
        """Yield values of one type."""
        if kind == "object":
            return self._objects(plain, as_dict(proposal), depth)
        if kind == "array":
            return self._arrays(plain, as_list(proposal), name, depth)
        return _SCALARS[kind](self._root, plain, name) if proposal is ABSENT else [proposal]

    def _objects(
        self, plain: JsonSchema, proposal: Mapping[str, Any], depth: int
    ) -> Iterator[dict[str, Any]]:
        """Yield an object with what fits of ``proposal``; the rest is made up."""
        properties = plain.get("properties", {})
        proposal = _nest(proposal, properties)
        optional = properties if self._optional and depth < _FULL_DEPTH else {}
        required = dict.fromkeys(plain.get("required", []))
        lack = min(plain.get("minProperties", 0), _MOST) - len({**optional, **proposal, **required})
        required.update((f"key {number}", None) for number in range(1, int(lack) + 1))
        goal = {**optional, **proposal, **required}
        members: dict[str, Any] = {}
        for name in dict.fromkeys([*(name for name in properties if name in goal), *goal]):
            schema = properties.get(name, plain.get("additionalProperties", True))
            wish = proposal.get(name, ABSENT)
            member = self.make(schema, wish, name, depth + 1)
            if member is not ABSENT and (self._optional or name in required or _count_used(member, wish)):
                members[name] = member
        yield members

    def _arrays(self, plain: JsonSchema, proposal: list[Any], name: str, depth: int) -> Iterator[list[Any]]:
        """Yield a list with what fits of ``proposal``, filled up to the least length."""
        first, rest = split_items(plain)
        usual = 1 if self._optional and depth < _FULL_DEPTH and rest is not False else 0
        length = max(plain.get("minItems", 0), usual, len(first), len(proposal))
        unique = plain.get("uniqueItems", False)
        made_up = self._values(rest, ABSENT, name, depth + 1)
        fillers = made_up if unique else cycle(made_up)
        items: dict[Hashable, Any] = {}  # by what makes them different
        for index in range(int(min(length, plain.get("maxItems", _MOST), _MOST))):
            schema = first[index] if index < len(first) else rest
            wish = proposal[index] if index < len(proposal) else ABSENT
            is_filler = index >= max(len(first), len(proposal))
            source = fillers if is_filler else self._values(schema, wish, name, depth + 1)
            pairs = ((self._root.key(item) if unique else index, item) for item in source)
            items.update(islice((pair for pair in pairs if pair[0] not in items), 1))
        yield [*items.values()]


def _likely_types(plain: JsonSchema) -> list[str]:
    """Return the types that a value may have, likeliest first."""
    kinds = (kind for keyword in plain if keyword in KEYWORDS and (kind := KEYWORDS[keyword].kind))
    return as_types(plain.get("type", list(dict.fromkeys([*kinds, *TYPES]))))


def _nest(proposal: Mapping[str, Any], members: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``proposal`` with ``a.b`` moved into ``a`` where there is a member ``a`` and no ``a.b``."""
    nested: dict[str, Any] = {}
    for name, value in proposal.items():
        head, _, tail = name.partition(".")
        if name not in members and head in members:
            nested[head] = {**as_dict(nested.get(head)), tail: value}
        else:
            nested[name] = value
    return nested


def _count_used(value: Any, proposal: Any) -> int:
    """Count how much of ``proposal`` is in ``value``."""
    if isinstance(proposal, Bare):
        first = value[:1] if isinstance(value, list) else value
        return int(any(first == reading and type(first) is type(reading) for reading in proposal.readings()))
    if isinstance(proposal, Mapping) and isinstance(value, Mapping):
        members = _nest(proposal, value)
        return (not members) + sum(
            _count_used(value[name], members[name]) for name in members if name in value
        )
    return int(isinstance(value, list) if isinstance(proposal, list) else value == proposal)


# --- scalars ------------------------------------------------------------------------------------

_FORMATS: Final[Mapping[str, str]] = {
    "date-time": "2026-01-{0:02}T12:00:00Z",
    "date": "2026-01-{0:02}",
    "time": "12:00:{0:02}Z",
    "duration": "P{0}D",
    "email": "name{0}@example.com",
    "idn-email": "name{0}@example.com",
    "hostname": "host{0}.example.com",
    "ipv4": "192.0.2.{0}",
    "ipv6": "2001:db8::{0}",
    "uri": "https://example.com/{0}",
    "url": "https://example.com/{0}",
    "uuid": "00000000-0000-4000-8000-{0:012}",
    "byte": "AAAA",
    "regex": "a{{{0}}}",
    "json-pointer": "/{0}",
}
_FORMATTED: Final = range(1, 29)  # as many as a month has days


def _strings(root: RootSchema, plain: JsonSchema, name: str) -> Iterator[str]:
    least, most = plain.get("minLength", 0), plain.get("maxLength", _MAX_TEXT)
    if form := _FORMATS.get(str(plain.get("format"))):
        yield from map(form.format, _FORMATTED)
    if "pattern" in plain:
        yield from _examples(root, plain["pattern"], least)
    elif least <= _MAX_TEXT:
        for number in range(1, _MOST + 1):
            text = f"some {name}" if number == 1 else f"{name} {number}"
            yield (text if len(text) <= most else str(number)).ljust(int(least), "x")[: int(most)]


def _examples(root: RootSchema, pattern: str, least: int) -> Iterator[str]:
    """Yield texts that match ``pattern``: its shortest, one that is longer by what that lacks of ``least``, and others."""
    try:
        node = root.pattern(pattern)
        lack = int(max(0, least - len(make_example(node))))
        for extra in chain((0, lack), range(1, 65)):
            yield make_example(node, extra)
    except UnsupportedPattern:  # two patterns in one that cannot be parsed, or a text that would be too long
        return


def _numbers(root: RootSchema, plain: JsonSchema, name: str) -> Iterator[float]:
    step = exact(plain.get("multipleOf", 1))
    low = max((plain[key] for key in ("minimum", "exclusiveMinimum") if key in plain), default=-_BOUND)
    high = min((plain[key] for key in ("maximum", "exclusiveMaximum") if key in plain), default=_BOUND)
    lowest, highest = math.ceil(exact(low) / step), math.floor(exact(high) / step)
    start = min(max(1, lowest), highest)
    multiples = chain(range(start, highest + 1), range(start - 1, lowest - 1, -1))
    yield from (_as_number(step * times) for times in islice(multiples, _MOST))
    if -_BOUND < low <= high < _BOUND:
        yield from (_as_number(exact(low) + (exact(high) - exact(low)) / parts) for parts in range(2, 50))


def _as_number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 and abs(value) < 2**63 else float(value)


_SCALARS: Final[Mapping[str, Callable[[RootSchema, JsonSchema, str], Iterable[Any]]]] = {
    "string": _strings,
    "number": _numbers,
    "integer": _numbers,
    "boolean": lambda root, plain, name: (True, False),
    "null": lambda root, plain, name: (None,),
}
