"""The configuration file's shape, as marshmallow schemas.

They check one value and its place; checks across members, and those of the
environment, are made where the settings are built.
"""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, validates_schema

from app.config import STRATEGIES
from app.config_loading import value_kinds
from app.config_loading.cache import Cache
from app.config_loading.limits import BudgetSchema, LimitSchema
from app.config_loading.members import MEMBERS
from app.config_loading.tables import Strict, TableOf, rows
from app.config_loading.tenancy import ConfiguredKeySchema, TenantSchema
from app.config_loading.value_kinds import Kind, KindField
from app.providers import CUSTOM_DIALECTS

HEADERS: Final = TableOf(
    KindField(value_kinds.HEADER),
    names=Kind("must be that of a header", lambda v: value_kinds.HEADER_NAME.fullmatch(v) is not None),
)


class ProviderKeySchema(Strict):
    """One of ``[[providers.NAME.keys]]``."""

    name = KindField(value_kinds.NAME)
    value = KindField(value_kinds.KEY, required=True)
    models = KindField(value_kinds.TEXTS)
    weight = KindField(value_kinds.ABOVE_0)
    limits = rows(LimitSchema)


class PriceSchema(Strict):
    """``prices."model"``: USD per million tokens, and per request, picture and search unit."""

    input = KindField(value_kinds.FROM_0)
    output = KindField(value_kinds.FROM_0)
    cached = KindField(value_kinds.FROM_0)
    request = KindField(value_kinds.FROM_0)
    image = KindField(value_kinds.FROM_0)
    search_unit = KindField(value_kinds.FROM_0)


class ProviderSchema(Strict):
    """``[providers.NAME]``."""

    api_key = KindField(value_kinds.KEY)
    keys = rows(ProviderKeySchema)
    base_url = KindField(value_kinds.BASE_URL)
    dialect = KindField(value_kinds.one_of(*CUSTOM_DIALECTS))
    headers = HEADERS
    proxy = KindField(value_kinds.TEXT)
    ca_bundle = KindField(value_kinds.TEXT)
    client_cert = KindField(value_kinds.CERTIFICATE)
    options = TableOf(fields.Raw())
    models = KindField(value_kinds.TEXTS)
    prices = TableOf(fields.Nested(PriceSchema))
    max_concurrency = KindField(value_kinds.COUNT)
    limits = rows(LimitSchema)


class DefaultsSchema(Strict):
    """``defaults`` of a target: sampling parameters, by OpenAI's names."""

    temperature = KindField(value_kinds.FROM_0)
    top_p = KindField(value_kinds.FROM_0)
    top_k = KindField(value_kinds.COUNT)
    seed = KindField(value_kinds.WHOLE)
    stop = KindField(value_kinds.TEXTS)
    presence_penalty = KindField(value_kinds.NUMBER)
    frequency_penalty = KindField(value_kinds.NUMBER)


class TargetTimeoutsSchema(Strict):
    """``timeouts`` of a target: the clocks of one attempt, in seconds."""

    connect = KindField(value_kinds.ABOVE_0)
    first_byte = KindField(value_kinds.ABOVE_0)
    idle = KindField(value_kinds.ABOVE_0)
    total = KindField(value_kinds.ABOVE_0)


class TargetSchema(Strict):
    """One of ``[[models."name".targets]]``."""

    target = KindField(value_kinds.TEXT, required=True)
    weight = KindField(value_kinds.ABOVE_0)
    max_tokens = KindField(value_kinds.COUNT)
    defaults = fields.Nested(DefaultsSchema)
    headers = HEADERS
    timeouts = fields.Nested(TargetTimeoutsSchema)


class ModelSchema(Strict):
    """``[models."name"]``."""

    target = KindField(value_kinds.TEXT)
    targets = rows(TargetSchema)
    fallbacks = KindField(value_kinds.TEXTS)
    strategy = KindField(value_kinds.one_of(*STRATEGIES))
    cache = Cache()

    @validates_schema
    def check_one_way(self, data: dict[str, Any], **options: Any) -> None:
        """Require one of ``target`` and ``targets``."""
        if bool(data.get("target")) == bool(data.get("targets")):
            raise ValidationError("needs either 'target' or 'targets'")


TimeoutsSchema = Strict.from_dict(
    {member.path[1]: KindField(member.kind) for member in MEMBERS if member.path[0] == "timeouts"},
    name="TimeoutsSchema",
)
ServerSchema = Strict.from_dict(
    {
        **{member.path[0]: KindField(member.kind) for member in MEMBERS if len(member.path) == 1},
        "timeouts": fields.Nested(TimeoutsSchema),
        "limits": rows(LimitSchema),
        "budgets": rows(BudgetSchema),
        "cache": Cache(),
    },
    name="ServerSchema",
)


class FileSchema(Strict):
    """The whole file."""

    server = fields.Nested(ServerSchema)
    providers = TableOf(fields.Nested(ProviderSchema), names=value_kinds.NAME)
    keys = TableOf(fields.Nested(ConfiguredKeySchema), names=value_kinds.NAME)
    tenants = TableOf(fields.Nested(TenantSchema), names=value_kinds.NAME)
    models = TableOf(fields.Nested(ModelSchema))


FILE: Final = FileSchema()
