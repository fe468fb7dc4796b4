"""Strict fields of request bodies, and their error messages.

marshmallow's own fields convert (``"5"`` becomes 5, ``"yes"`` becomes True); these do not. Their errors are ``Fault``
values, which write OpenAI's sentence once the path is known. Unknown members are allowed, because bodies are passed on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from marshmallow import INCLUDE, Schema, ValidationError, fields

from app.dialects.shared.faults import MISSING, Fault, walk, wrong_type, wrong_value
from app.errors import GatewayError
from app.surfaces.body.schemas.parts import string

_MAX_DETAILS: Final = 20


def fault(code: str, sentence: str) -> ValidationError:
    """Return a ValidationError that carries one Fault."""
    return ValidationError([Fault(code, sentence)])


class Strict(fields.Field[Any]):
    """A member of one JSON type; null counts as absent, unless ``allow_none`` says otherwise of a required one."""

    expected = "a value"
    types: tuple[type, ...] = ()
    exact: type | None = None
    """A type all of whose values are valid, or None."""
    plain_types: tuple[type, ...] = ()
    """Types all of whose values have the member's type, so that only their bounds are in question."""

    def __init__(self, *, required: bool = False, allow_none: bool | None = None, **kwargs: Any) -> None:
        may_be_null = not required if allow_none is None else allow_none
        absent: Any = {"null": [MISSING]}
        super().__init__(required=required, allow_none=may_be_null, error_messages=absent, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not self.has_type(value):
            raise ValidationError([wrong_type(self.expected, value)])
        self.check_bounds(value)
        return value

    def accepts(self, value: Any) -> bool:
        """Tell whether ``deserialize`` would accept the value, at a tenth of its cost."""
        if value is None:
            return self.allow_none
        if not self.has_type(value):
            return False
        try:
            self.check_bounds(value)
        except ValidationError:
            return False
        return True

    def has_type(self, value: Any) -> bool:
        """Tell whether the value has the member's type; a boolean is not a number."""
        return isinstance(value, self.types) and not (isinstance(value, bool) and bool not in self.types)

    def check_bounds(self, value: Any) -> None:
        """Raise ValidationError for a value of the right type outside its bounds."""


class String(Strict):
    """A string, perhaps one of ``choices``, of at most ``longest`` characters."""

    expected = "a string"
    types = plain_types = (str,)

    def __init__(self, *, choices: Sequence[str] = (), longest: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.choices = tuple(choices)
        self.longest = longest
        is_free = not self.choices and longest is None and type(self).check_bounds is String.check_bounds
        self.exact = str if is_free else None

    def check_bounds(self, value: Any) -> None:
        """Check choices and length."""
        if self.choices and value not in self.choices:
            raise ValidationError([wrong_value(value, self.choices)])
        if self.longest is not None and len(value) > self.longest:
            raise fault(
                "string_above_max_length",
                f"Invalid '{{path}}': string too long. Expected a string with maximum length {self.longest}, "
                f"but got a string with length {len(value)} instead.",
            )


class Boolean(Strict):
    """A boolean."""

    expected = "a boolean"
    types = (bool,)
    exact = bool


class Number(Strict):
    """A number within ``least`` and ``most``."""

    expected = "a decimal"
    types = (int, float)
    plain_types: tuple[type, ...] = types
    word = "decimal"

    def __init__(self, *, least: float | None = None, most: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least = least
        self.most = most

    def check_bounds(self, value: Any) -> None:
        """Check both bounds."""
        if not math.isfinite(value):
            raise ValidationError([wrong_type(self.expected, value)])
        if self.least is not None and value < self.least:
            raise self._range_error("below_min", "below minimum", ">=", self.least, value)
        if self.most is not None and value > self.most:
            raise self._range_error("above_max", "above maximum", "<=", self.most, value)

    def _range_error(self, code: str, words: str, sign: str, limit: float, value: float) -> ValidationError:
        return fault(
            f"{self.word}_{code}_value",
            f"Invalid '{{path}}': {self.word} {words} value. Expected a value {sign} {_format_number(limit)}, "
            f"but got {_format_number(value)} instead.",
        )


def _format_number(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


class Integer(Number):
    """An integer; ``5.0`` counts as one."""

    expected = "an integer"
    plain_types = (int,)
    word = "integer"

    def has_type(self, value: Any) -> bool:
        """Tell whether the value is an integer or a decimal without a fraction."""
        return super().has_type(value) and (isinstance(value, int) or float(value).is_integer())


class Array(Strict):
    """An array of at most ``longest`` values; ``each`` returns the faults of one value."""

    expected = "an array"
    types = plain_types = (list,)

    def __init__(
        self, *, each: Callable[[Any], Any] | None = None, longest: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.each = each
        self.longest = longest

    def check_bounds(self, value: Any) -> None:
        """Check the length, then each value."""
        if self.longest is not None and len(value) > self.longest:
            raise fault(
                "array_above_max_length",
                f"Invalid '{{path}}': array too long. Expected an array with maximum length {self.longest}, "
                f"but got an array with length {len(value)} instead.",
            )
        if self.each is not None and any(map(self.each, value)):
            faulty = ((i, faults) for i, item in enumerate(value) if (faults := self.each(item)))
            raise ValidationError(dict(islice(faulty, _MAX_DETAILS)))


class Object(Strict):
    """An object; ``check`` returns the faults of its members."""

    expected = "an object"
    types = plain_types = (dict,)

    def __init__(self, *, check: Callable[[dict[str, Any]], Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.check = check

    def check_bounds(self, value: Any) -> None:
        """Run the inner check."""
        if self.check is not None and (faults := self.check(value)):
            raise ValidationError(faults)


class Either(Strict):
    """A value that one of several fields accepts, chosen by its JSON type."""

    def __init__(self, *options: Strict, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.options = options
        self.expected = " or ".join(option.expected for option in options)

    def has_type(self, value: Any) -> bool:
        """Tell whether one of the options has this type."""
        return any(option.has_type(value) for option in self.options)

    def check_bounds(self, value: Any) -> None:
        """Apply the bounds of the matching option."""
        next(option for option in self.options if option.has_type(value)).check_bounds(value)


class Body(Schema):
    """A request body: strict members, unknown ones allowed.

    All fields are ``Strict`` and there are no hooks, so marshmallow accepts a body if its fields accept their members.
    """

    class Meta:
        unknown = INCLUDE

    def __init__(self) -> None:
        super().__init__()
        self._members = {
            name: (field, field.exact, field.plain_types)
            for name, field in self.load_fields.items()
            if isinstance(field, Strict)
        }
        self._required = {name for name, field in self.load_fields.items() if field.required}

    def accepts(self, body: Mapping[str, Any]) -> bool:
        """Tell whether ``body`` is valid; members that it lacks cost nothing."""
        members = self._members
        try:
            for name, value in body.items():
                if name not in members:
                    continue
                field, exact, plain_types = members[name]
                if (kind := type(value)) is exact:
                    continue
                if kind in plain_types:
                    field.check_bounds(value)
                elif not field.accepts(value):
                    return False
        except ValidationError:
            return False
        return body.keys() >= self._required

    def check(self, body: Mapping[str, Any]) -> None:
        """Raise GatewayError ``bad_request`` with the first fault; ``details`` has up to 20."""
        if self.accepts(body):
            return
        try:
            self.load(body)
        except ValidationError as error:
            error.__traceback__ = None  # a frame of marshmallow's in it holds the error
            errors = error.messages
        else:
            return
        details = [one.at(path) for path, one in walk(errors)][:_MAX_DETAILS]
        first = details[0]
        raise GatewayError(
            "bad_request", first["message"], param=first["param"], code=first["code"], details=details
        )


class FallbackBody(Body):
    """A body with the gateway's own member ``fallbacks``: model strings to try next."""

    fallbacks: Strict = Array(each=string, longest=16)


class ModelBody(FallbackBody):
    """A body that names its model."""

    model = String(longest=512)
