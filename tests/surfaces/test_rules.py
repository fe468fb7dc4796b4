"""Rules and rows: each says who may call, and each place that a row names is there."""

from __future__ import annotations

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from app import create_app
from app.config import Secret, Settings, VirtualKey
from app.errors import GatewayError
from app.gateway.core import gateway_of
from app.operations import OPERATIONS, WIRES, Route, resolve
from app.providers import PROVIDERS
from app.providers.registry import make_provider
from app.surfaces.credentials import KeyRing
from app.surfaces.minimal_flask import SessionlessFlask
from app.surfaces.mounts import KEYLESS, MOUNTS, Credentials
from app.surfaces.openapi.document import surface_rules
from app.wire.egress import Egress

NOTHING = Route("GET", "/x", "operations.alive", "Health")


def test_a_rule_that_declares_no_credentials_is_refused_when_the_application_is_built() -> None:
    app = SessionlessFlask("x")
    with pytest.raises(ValueError, match="/x declares no credentials"):
        app.add_url_rule("/x", "x", lambda: "", route=NOTHING)
    with pytest.raises(ValueError, match="declares no credentials"):
        app.add_url_rule("/x", "x", lambda: "", route=NOTHING, credentials=None)
    app.add_url_rule("/x", "x", lambda: "", route=NOTHING, credentials=KEYLESS)


def test_only_what_operators_ask_for_is_without_a_key() -> None:
    rules = surface_rules(create_app(Settings()))
    keyless = {rule.rule for rule in rules if rule.credentials.keyless}
    assert keyless == {
        *("/health", "/health/liveness", "/health/liveliness", "/health/readiness", "/healthz", "/readyz"),
        *("/metrics", "/openapi.json", "/docs", "/docs/openapi.json", "/docs/rapidoc.js", "/"),
    }
    assert all(rule.credentials is rule.mount.credentials for rule in rules if rule.mount is not None)


@pytest.mark.parametrize(
    "query, headers, places, caller",
    [
        ("key=sk-1", {}, Credentials(query="key"), "ann"),
        ("key=sk-2", {"x-api-key": "sk-1"}, Credentials(("x-api-key",), "key"), "ann"),
        ("key=sk-1", {}, Credentials(("x-api-key",)), None),
        ("key=sk-1", {"authorization": "Bearer sk-2"}, Credentials(query="key"), None),
        ("", {"x-api-key": "sk-1"}, Credentials(query="key"), None),
    ],
)
def test_a_key_in_the_query_counts_only_where_the_rule_says_so(
    query: str, headers: dict[str, str], places: Credentials, caller: str | None
) -> None:
    settings = Settings(keys=(VirtualKey("ann", Secret("sk-1"), "default"),))
    keys = KeyRing(settings, gateway_of(create_app(settings)).keys)
    request = Request(EnvironBuilder(query_string=query, headers=headers).get_environ())
    if caller is None:
        with pytest.raises(GatewayError, match="key"):
            keys.authenticate(places, request)
    else:
        assert keys.authenticate(places, request).key == caller


@pytest.mark.parametrize(
    "query, left",
    [
        ("key=sk-1", ""),
        ("alt=sse&key=sk-1&x=%26", "alt=sse&x=%26"),
        ("key=sk-1&k%65y=sk-1", ""),
        ("key=wrong&alt=sse", "alt=sse"),
        ("monkey=1&keys=2&alt", "monkey=1&keys=2&alt"),
    ],
)
def test_a_key_in_the_query_is_taken_off_whether_or_not_it_counts(query: str, left: str) -> None:
    settings = Settings(keys=(VirtualKey("ann", Secret("sk-1"), "default"),))
    keys = KeyRing(settings, gateway_of(create_app(settings)).keys)
    environ = EnvironBuilder(query_string=query, headers={"x-api-key": "sk-1"}).get_environ()
    environ["RAW_URI"] = f"/x?{query}"
    request = Request(environ)
    assert request.args is not None
    assert keys.authenticate(Credentials(("x-api-key",), "key"), request).key == "ann"
    shown = f"/x?{left}" if left else "/x"
    assert (environ["QUERY_STRING"], environ["RAW_URI"]) == (left, shown)
    assert "key" not in request.args


def test_the_surfaces_have_names_and_paths_of_their_own() -> None:
    paths = [
        (route.method, prefix + route.path)
        for mount in MOUNTS
        for prefix in mount.prefixes
        for routes in mount.operations.values()
        for route in routes
    ]
    assert len(paths) == len(set(paths))
    assert len({mount.name for mount in MOUNTS}) == len(MOUNTS)


@pytest.mark.parametrize(
    "row", [row for row in OPERATIONS.values() if row.exchange], ids=lambda row: row.name
)
def test_the_exchange_of_a_row_is_there(row) -> None:
    assert callable(resolve("gateway", row.exchange))


def test_an_operation_has_an_exchange_just_when_a_provider_is_asked_for_it() -> None:
    # the catalogue asks each provider; files and batches go to their accounts
    by_themselves = {"models", "file_upload", "batch_create"}
    assert {row.name for row in OPERATIONS.values() if bool(row.wires) != bool(row.exchange)} == by_themselves


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_providers_wires_are_ones_that_some_operation_asks_for(name: str) -> None:
    assert set(make_provider(name, Settings(), Egress()).spec.wires) <= set(WIRES)
