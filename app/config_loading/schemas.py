"""The configuration file's shape, as marshmallow schemas.

They check one value at a time and its place; what needs several members, or the
environment, is checked where the settings are built.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validates_schema

from app.config_loading import kinds
from app.config_loading.kinds import Checked, Kind
from app.config_loading.members import MEMBERS
from app.providers import CUSTOM_DIALECTS

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

    def __init__(self, value: fields.Field[Any], *, names: Kind = kinds.TEXT, **options: Any) -> None:
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
        if faults:
            raise ValidationError(faults)
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


class ProviderKeySchema(Strict):
    """One of ``[[providers.NAME.keys]]``."""

    name = Checked(kinds.NAME)
    value = Checked(kinds.TEXT, required=True)
    models = Checked(kinds.TEXTS)
    weight = Checked(kinds.ABOVE_0)


class PriceSchema(Strict):
    """``prices."model"``: USD per million tokens, and per request."""

    input = Checked(kinds.FROM_0)
    output = Checked(kinds.FROM_0)
    cached = Checked(kinds.FROM_0)
    request = Checked(kinds.FROM_0)


class ProviderSchema(Strict):
    """``[providers.NAME]``."""

    api_key = Checked(kinds.TEXT)
    keys = Rows(ProviderKeySchema())
    base_url = Checked(kinds.BASE_URL)
    dialect = Checked(kinds.one_of(*CUSTOM_DIALECTS))
    headers = TableOf(
        Checked(kinds.HEADER),
        names=Kind("must be that of a header", lambda v: kinds.HEADER_NAME.fullmatch(v) is not None),
    )
    proxy = Checked(kinds.TEXT)
    ca_bundle = Checked(kinds.TEXT)
    client_cert = Checked(kinds.CERTIFICATE)
    options = TableOf(fields.Raw())
    models = Checked(kinds.TEXTS)
    prices = TableOf(Below(PriceSchema()))
    max_concurrency = Checked(kinds.COUNT)


class VirtualKeySchema(Strict):
    """``[keys.NAME]``."""

    key = Checked(kinds.TEXT, required=True)
    tenant = Checked(kinds.NAME)
    models = Checked(kinds.TEXTS)


class TargetSchema(Strict):
    """One of ``[[models."name".targets]]``."""

    target = Checked(kinds.TEXT, required=True)
    weight = Checked(kinds.ABOVE_0)


class ModelSchema(Strict):
    """``[models."name"]``."""

    target = Checked(kinds.TEXT)
    targets = Rows(TargetSchema())
    fallbacks = Checked(kinds.TEXTS)

    @validates_schema
    def check_one_way(self, data: dict[str, Any], **options: Any) -> None:
        """Ask for one of ``target`` and ``targets``."""
        if bool(data.get("target")) == bool(data.get("targets")):
            raise ValidationError("needs either 'target' or 'targets'")


TimeoutsSchema = Strict.from_dict(
    {member.path[1]: Checked(member.kind) for member in MEMBERS if member.path[0] == "timeouts"},
    name="TimeoutsSchema",
)
ServerSchema = Strict.from_dict(
    {
        **{member.path[0]: Checked(member.kind) for member in MEMBERS if len(member.path) == 1},
        "timeouts": Below(TimeoutsSchema()),
    },
    name="ServerSchema",
)


class FileSchema(Strict):
    """The whole file."""

    server = Below(ServerSchema())
    providers = TableOf(Below(ProviderSchema()), names=kinds.NAME)
    keys = TableOf(Below(VirtualKeySchema()), names=kinds.NAME)
    models = TableOf(Below(ModelSchema()))


FILE: Final = FileSchema()
