"""Nested tables: building blocks of the schemas of the configuration and the admin API."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validates_schema

from app.config_loading import value_kinds
from app.config_loading.value_kinds import Kind

_NO_TABLE: Final = "must be a table"


class Strict(Schema):
    """A table that refuses unknown members and names the closest known one."""

    class Meta:
        unknown = EXCLUDE

    error_messages = {"type": _NO_TABLE}

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check_names(self, data: Any, original: Any, **options: Any) -> None:
        """Refuse members without a field."""
        if isinstance(original, Mapping):
            unknown = {
                n: [unknown_member(n, self.load_fields)] for n in original if n not in self.load_fields
            }
            if unknown:
                raise ValidationError(unknown)


def unknown_member(name: str, members: Mapping[str, Any]) -> str:
    """Return the sentence for an unknown member, with the closest known one."""
    closest = get_close_matches(name, members, n=1, cutoff=0.6)
    hint = (
        f"did you mean '{closest[0]}'?"
        if closest
        else f"the members are: {', '.join(sorted(members)) or 'none'}."
    )
    return f"is unknown; {hint}"


def rows(schema: type[Schema]) -> fields.Field[Any]:
    """Return the field of a list of tables with one schema."""
    return _Rows(fields.Nested(schema), error_messages={"invalid": "must be a list"})


class Whole(fields.Field[Any]):
    """A field whose value is left out, where it is not valid as a whole: the settings cannot be built of a part of it."""

    def deserialize(self, *args: Any, **options: Any) -> Any:
        """Return the value; raises ``ValidationError`` without a valid part."""
        try:
            return super().deserialize(*args, **options)
        except ValidationError as error:
            raise ValidationError(error.messages) from error


class _Rows(Whole, fields.List[Any]):
    """A list of tables."""


class TableOf(fields.Field[Any]):
    """A table of freely named entries, whose values have one kind or schema."""

    def __init__(self, value: fields.Field[Any], *, names: Kind = value_kinds.TEXT, **options: Any) -> None:
        self.value = value
        self.names = names
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValidationError(_NO_TABLE)
        members, faults = {}, {}
        for name, member in value.items():
            try:
                if not self.names.fits(name):
                    raise ValidationError(f"the name {self.names.sentence}")
                members[name] = self.value.deserialize(member)
            except ValidationError as error:
                faults[name] = error.messages
        if faults:  # keep the valid part, so that faults in it are reported at the same time
            raise ValidationError(faults, valid_data=members)
        return members
