"""Tables within tables: what the schemas of the configuration and of the admin API are made of."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validates_schema

from app.config_loading import value_kinds
from app.config_loading.value_kinds import Kind

_NO_TABLE: Final = "must be a table"


class Strict(Schema):
    """A table whose unknown members are faults that name the nearest known one."""

    class Meta:
        unknown = EXCLUDE

    error_messages = {"type": _NO_TABLE}

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check_names(self, data: Any, original: Any, **options: Any) -> None:
        """Refuse members that no field stands for."""
        if isinstance(original, Mapping):
            unknown = {
                n: [unknown_member(n, self.load_fields)] for n in original if n not in self.load_fields
            }
            if unknown:
                raise ValidationError(unknown)


def unknown_member(name: str, known: Mapping[str, Any]) -> str:
    """Return the sentence for a member that does not exist, with the nearest that does."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'?" if near else f"known are: {', '.join(sorted(known)) or 'none'}."
    return f"is unknown; {hint}"


class Below(fields.Field[Any]):
    """A table of another schema."""

    def __init__(self, schema: Schema, **options: Any) -> None:
        self.schema = schema
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        return self.schema.load(value)


class TableOf(fields.Field[Any]):
    """A table from names of the operator's choice to values of one kind or schema."""

    def __init__(self, value: fields.Field[Any], *, names: Kind = value_kinds.TEXT, **options: Any) -> None:
        self.value = value
        self.names = names
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValidationError(_NO_TABLE)
        found, faults = {}, {}
        for name, member in value.items():
            try:
                if not self.names.fits(name):
                    raise ValidationError(f"the name {self.names.sentence}")
                found[name] = self.value.deserialize(member)
            except ValidationError as error:
                faults[name] = error.messages
        if faults:  # what is sound goes on, so that its own faults are told at once, too
            raise ValidationError(faults, valid_data=found)
        return found


class Rows(fields.Field[Any]):
    """A list of tables of one schema."""

    def __init__(self, schema: Schema, **options: Any) -> None:
        self.schema = schema
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        if not isinstance(value, list):
            raise ValidationError("must be a list")
        found, faults = [], {}
        for index, member in enumerate(value):
            try:
                found.append(self.schema.load(member))
            except ValidationError as error:
                faults[index] = error.messages
        if faults:
            raise ValidationError(faults)
        return found
