"""The list of models: those of all configured providers, read at the same time and cached.

A provider that fails or is slow does not fail the list; where it alone is listed, its failure is
the answer.

Tests: tests/replay/test_catalogue.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Final

import gevent

from app.canonical.media import ModelEntry, ModelPage
from app.canonical.record import record
from app.config import Settings, Timeouts
from app.dialects import dialect_of
from app.dialects.base import ClientContext, ModelListDialect
from app.errors import GatewayError
from app.gateway.call import Principal
from app.gateway.plan import unsupported
from app.gateway.redaction import Redactor
from app.gateway.router import Registry, unknown_provider
from app.gateway.translation import parse_upstream
from app.gateway.upstreams import error_body
from app.providers.base import Provider, Wire
from app.state.ids import mint
from app.wire.clocks import Clocks
from app.wire.offload import aside

_LOG: Final = logging.getLogger(__name__)
_TIMEOUT: Final = 10.0  # seconds for one provider, or less where the first byte must come sooner
_PAGES: Final = 20
_MOST: Final = 10_000
"""Models of a provider; a list is kept, and looked through by calls."""


Resolve = Callable[[str, str | None], tuple[str, str]]


@record
class _CachedList:
    until: float
    models: tuple[ModelEntry, ...]


class Catalogue:
    """The operator's own names, and the models of all configured providers, with ids ``provider/id``.

    ``resolve`` returns provider and model of a model string; it raises ``model_not_found``.
    """

    def __init__(self, registry: Registry, settings: Settings, resolve: Resolve) -> None:
        self._aliases = settings.aliases
        self._resolve = resolve
        self._registry = registry
        self._timeouts = settings.timeouts
        self._cache_seconds = settings.models_kept
        self._redactor = Redactor(settings)
        self._cached: dict[str, _CachedList] = {}

    def models(self, principal: Principal, only: str | None = None) -> list[ModelEntry]:
        """Return the models that ``principal`` may use: the operator's names, then by provider in the
        operator's order.

        ``only`` lists one provider. Then its GatewayError is raised, and ``bad_request`` for the name of
        no provider.
        """
        if only is not None:
            if only not in self._registry.names:
                raise unknown_provider(only)
            return _filter_allowed(self._list(self._registry.get(only)), only, principal)
        names = self._registry.configured
        greenlets = {name: gevent.spawn(self._try_list, name) for name in names}
        gevent.joinall(list(greenlets.values()), timeout=_timeout_of(self._timeouts))
        lists = [
            model
            for name, greenlet in greenlets.items()
            if greenlet.successful()
            for model in _filter_allowed(greenlet.value or (), name, principal)
        ]
        return [_alias_entry(name) for name in self._aliases if self._may_use(principal, name)] + lists

    def model(self, principal: Principal, model_id: str, default: str | None = None) -> ModelEntry:
        """Return the model that a string names, of provider ``default`` where it names none.

        Raises ``not_found``."""
        if model_id in self._aliases and self._may_use(principal, model_id):
            return _alias_entry(model_id)
        missing = GatewayError("not_found", f"The model '{model_id}' does not exist.", code="model_not_found")
        try:
            provider, name = self._resolve(model_id, default)
        except GatewayError as error:
            raise missing from error
        if provider in self._registry.names:
            for model in self.models(principal, provider):
                if model.id == f"{provider}/{name}":
                    return model
        raise missing

    def most_output(self, provider: str, model: str) -> int | None:
        """Return the most tokens that a model answers with, as a cached list says; None where none does."""
        cached = self._cached.get(provider)
        models = () if cached is None else cached.models
        return next((one.max_output_tokens for one in models if one.id == model), None)

    def check(self, name: str) -> int:
        """Read one page of a provider's models, past the cache; return how many it has.

        Raises the provider's error, and that of ``unsupported`` where it has no list.
        """
        provider = self._registry.get(name)
        wire = provider.wire("models", "")
        if wire is None:
            raise unsupported("list_models", name)
        return len(self._page(provider, wire).models)

    def _may_use(self, principal: Principal, name: str) -> bool:
        """Tell whether one of the models of an alias is allowed."""
        alias = self._aliases[name]
        for model in (*(target for target, _ in alias.targets), *alias.fallbacks):
            try:
                provider, model_id = self._resolve(model, None)
            except GatewayError as error:
                _LOG.debug("the alias %s names an unknown model: %s", name, error.message)
                continue
            if principal.allows(f"{provider}/{model_id}", name):
                return True
        return False

    def _try_list(self, name: str) -> tuple[ModelEntry, ...]:
        try:
            return self._list(self._registry.get(name))
        except GatewayError as error:
            _LOG.warning("no models of %s: %s", name, error.message)
            return _configured_entries(self._registry.get(name))

    def _list(self, provider: Provider) -> tuple[ModelEntry, ...]:
        cached = self._cached.get(provider.name)
        if cached is not None and cached.until > time.monotonic():
            return cached.models
        wire = provider.wire("models", "")
        configured = _configured_entries(provider)
        if wire is None and not configured:
            raise unsupported("list_models", provider.name)
        entries = self._fetch(provider, wire) if wire is not None else ()
        known = {model.id for model in entries}
        models = (*entries, *(model for model in configured if model.id not in known))
        self._cached[provider.name] = _CachedList(time.monotonic() + self._cache_seconds, models)
        return models

    def _fetch(self, provider: Provider, wire: Wire) -> tuple[ModelEntry, ...]:
        """Return all pages of a provider's list; an id that is listed twice comes once."""
        by_id: dict[str, ModelEntry] = {}
        query: Mapping[str, str] | None = {}
        for _ in range(_PAGES):
            if query is None:
                break
            page = self._page(provider, replace(wire, query={**wire.query, **query}))
            for model in page.models:
                by_id.setdefault(model.id, model)
            if len(by_id) > _MOST:
                raise GatewayError("upstream_invalid", f"The provider lists more than {_MOST} models.")
            query = page.next_query
        return tuple(by_id.values())

    def _page(self, provider: Provider, wire: Wire) -> ModelPage:
        try:
            return _page(provider, wire, self._timeouts)
        except GatewayError as error:
            raise self._redactor.error(error) from error.__cause__


def _alias_entry(alias: str) -> ModelEntry:
    """Return the entry of an alias."""
    return ModelEntry(alias, owned_by="operator")


def _timeout_of(timeouts: Timeouts) -> float:
    return min(_TIMEOUT, timeouts.first_byte or _TIMEOUT)


def _configured_entries(provider: Provider) -> tuple[ModelEntry, ...]:
    """Return the models that the configuration names."""
    return tuple(ModelEntry(model, owned_by=provider.name) for model in provider.settings.models)


def _filter_allowed(models: tuple[ModelEntry, ...], name: str, principal: Principal) -> list[ModelEntry]:
    entries = (replace(model, id=f"{name}/{model.id}") for model in models)
    return [model for model in entries if principal.allows(model.id)]


def _page(provider: Provider, wire: Wire, timeouts: Timeouts) -> ModelPage:
    client = dialect_of(ModelListDialect, wire.dialect)
    key = provider.keys("")[0]
    context = ClientContext("", mint, int(time.time()), options=wire.options, provider=provider.name)
    outgoing = provider.outgoing(wire, key, "", None)
    seconds = _timeout_of(timeouts)
    clocks = Clocks(timeouts.connect, seconds, seconds, seconds)
    with closing(
        provider.transport.open(
            outgoing.method, outgoing.url, outgoing.headers, outgoing.body, clocks=clocks, stream=False
        )
    ) as upstream:
        if not 200 <= upstream.status < 300:
            raise client.decode_error(upstream.status, error_body(upstream), upstream.headers)
        data = upstream.read()
    return aside(len(data), lambda: client.decode_page(parse_upstream(data), context))
