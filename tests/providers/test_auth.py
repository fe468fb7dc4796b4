"""Who we are to each provider: the headers of a key, and the sentence without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.config import Settings
from app.config_loading import load
from app.errors import GatewayError
from app.providers import PROVIDERS
from app.providers.base import Provider, Wire
from app.providers.registry import all_names, make_provider
from app.wire.egress import Egress
from tests.house_rules import PROVIDER_NAMES
from tests.providers.conftest import MakeProvider
from tests.providers.test_urls import OUTSIDE, environ_of


def headers_of(provider: Provider, model: str = "m", operation: str = "chat") -> dict[str, str]:
    wire = provider.wire(operation, model)
    if wire is None:
        wire = provider.wire("models", model)
    assert wire is not None
    (key, *_) = provider.keys(model)
    outgoing = provider.outgoing(wire, key, model, None)
    return {
        name: value for name, value in outgoing.headers.items() if "key" in name or name == "authorization"
    }


BEARER = {"authorization": "Bearer k"}
KEY_HEADERS = {
    "anthropic": {"x-api-key": "k"},
    "azure": {"api-key": "k"},
    "gemini": {"x-goog-api-key": "k"},
    "elevenlabs": {"xi-api-key": "k"},
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_key_goes_out_in_the_providers_own_header_and_in_no_other(
    name: str, provider_of: MakeProvider
) -> None:
    environ = {**environ_of(name), PROVIDERS[name].keys[0]: "k"}
    assert headers_of(provider_of(name, environ)) == KEY_HEADERS.get(name, BEARER)


def test_claude_on_azure_takes_its_own_header(provider_of: MakeProvider) -> None:
    provider = provider_of("azure", environ_of("azure"))
    assert headers_of(provider, "claude-x") == {"x-api-key": "k"}


@pytest.mark.parametrize("name", ["ollama", "sgl"])
def test_a_server_of_ones_own_needs_no_key(name: str, provider_of: MakeProvider) -> None:
    environ = {f"{name.upper()}_BASE_URL": "http://h/v1"}
    assert headers_of(provider_of(name, environ)) == {}


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("dialect = 'chat'\napi_key = 'k'", BEARER),
        ("dialect = 'chat'", {}),
        ("dialect = 'messages'\napi_key = 'k'", {"x-api-key": "k"}),
        ("dialect = 'gemini'\napi_key = 'k'", {"x-goog-api-key": "k"}),
        ("dialect = 'responses'\napi_key = 'k'", BEARER),
        ("dialect = 'chat'\napi_key = 'k'\noptions = { auth_header = 'X-My-Key' }", {"x-my-key": "k"}),
    ],
)
def test_a_custom_provider_authenticates_as_its_dialect_or_its_options_say(
    text: str, headers: dict[str, str], provider_of: MakeProvider
) -> None:
    provider = provider_of("own", {}, f"[providers.own]\nbase_url = 'http://h/v1'\n{text}\n")
    assert headers_of(provider) == headers
    assert provider.name == "own"


def test_a_custom_provider_passes_only_where_the_operator_says_so(provider_of: MakeProvider) -> None:
    def wire(options: str) -> Wire:
        text = f"[providers.own]\nbase_url = 'http://h/v1'\ndialect = 'chat'\noptions = {options}\n"
        found = provider_of("own", {}, text).wire("chat", "m")
        assert found is not None
        return found

    assert wire("{}").passes is False
    assert wire("{ passes = true }").passes is True
    assert wire("{}").options.max_tokens == "max_tokens"
    assert wire("{ max_tokens = 'max_completion_tokens' }").options.max_tokens == "max_completion_tokens"


NOT_CONFIGURED = {
    "azure": "AZURE_OPENAI_ENDPOINT",
    "bedrock": "AWS_ACCESS_KEY_ID",
    "vertex": "VERTEX_PROJECT",
    "ollama": "OLLAMA_BASE_URL",
    "sgl": "SGL_BASE_URL",
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_provider_without_settings_names_the_variable_to_set(name: str) -> None:
    provider = make_provider(name, Settings(), Egress())
    with pytest.raises(GatewayError) as caught:
        provider.keys("m")
        _ = provider.base_url
    error = caught.value
    assert (error.kind.name, error.param, error.code) == (
        "provider_not_configured",
        "model",
        "provider_not_configured",
    )
    assert NOT_CONFIGURED.get(name, f"{name.upper()}_API_KEY") in error.message
    assert f"'{name}'" in error.message


def test_a_half_configured_azure_and_vertex_say_what_lacks(provider_of: MakeProvider) -> None:
    for name, environ, lacking in (
        ("azure", {"AZURE_OPENAI_API_KEY": "k"}, "AZURE_OPENAI_ENDPOINT"),
        ("azure", {"AZURE_OPENAI_ENDPOINT": "https://h", "AZURE_CLIENT_SECRET": "s"}, "AZURE_OPENAI_API_KEY"),
        ("vertex", {"VERTEX_ACCESS_TOKEN": "k"}, "VERTEX_PROJECT"),
        ("vertex", {"VERTEX_ACCESS_TOKEN": "k", "VERTEX_BASE_URL": "https://h"}, "VERTEX_PROJECT"),
    ):
        with pytest.raises(GatewayError, match=lacking) as caught:
            headers_of(provider_of(name, environ), "gemini-x")
        assert caught.value.kind.name == "provider_not_configured"


def test_keys_are_chosen_by_model_and_realms_are_accounts(provider_of: MakeProvider) -> None:
    text = "[providers.openai]\nkeys = [{ name = 'a', value = '1', models = ['x'] }, { name = 'b', value = '2' }]\n"
    provider = provider_of("openai", {}, text)
    assert [[key.name for key in provider.keys(model) if key] for model in ("x", "y", "")] == [
        ["a", "b"],
        ["b"],
        ["a", "b"],
    ]
    assert [provider.realm(key) for key in provider.keys("x")] == ["openai:a", "openai:b"]


def test_claudes_signatures_share_one_realm_over_the_hosts_of_its_own_wire(provider_of: MakeProvider) -> None:
    def realm(name: str, model: str) -> str:
        provider = provider_of(name, environ_of(name))
        (key, *_) = provider.keys(model)
        return provider.realm(key, provider.wire("chat", model))

    claude = "claude-sonnet-4-5"
    assert {realm(name, claude) for name in ("anthropic", "azure", "vertex")} == {"claude"}
    assert realm("azure", "gpt-4o") == "azure:default"
    assert realm("vertex", "gemini-2.5-pro") == "vertex:default"
    assert realm("bedrock", f"anthropic.{claude}-v1:0") == "bedrock:default"


def test_the_operators_headers_go_out_and_never_replace_the_credential(provider_of: MakeProvider) -> None:
    text = "[providers.openai]\nheaders = { OpenAI-Organization = 'org', Authorization = 'Bearer forged' }\n"
    provider = provider_of("openai", {"OPENAI_API_KEY": "k"}, text)
    wire = provider.wire("chat", "m")
    assert wire is not None
    outgoing = provider.outgoing(wire, provider.keys("m")[0], "m", b"{}", headers={"x-request": "1"})
    assert outgoing.headers == {
        "content-type": "application/json",
        "openai-organization": "org",
        "x-request": "1",
        "authorization": "Bearer k",
    }


def test_every_price_id_is_one_of_the_catalogue() -> None:
    from genai_prices import data

    known = {provider.id for provider in data.providers}
    specs = {name: make_provider(name, Settings(), Egress()).spec for name in OUTSIDE}
    named = {name: spec.price_as for name, spec in specs.items() if spec.price_as is not None}
    assert set(named.values()) <= known
    assert set(OUTSIDE) - set(named) >= {"ollama", "sgl", "parasail"}


def test_cloud_libraries_are_not_imported_before_they_are_needed(repo_dir: Path) -> None:
    program = """
from gevent import monkey; monkey.patch_all()
import sys
from app.config import Settings
from app.providers.registry import all_names, make_provider
from app.wire.egress import Egress
for name in all_names(Settings()) - {"sandbox"}:
    make_provider(name, Settings(), Egress())
print(*sorted({"botocore", "google.auth", "msal", "genai_prices", "boto3"} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=repo_dir, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout == "\n"


def test_only_named_providers_and_the_operators_own_exist(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text("[providers.own]\ndialect = 'chat'\nbase_url = 'http://h'\n")
    settings = load({}, tmp_path / "f.toml")
    assert all_names(settings) == {*PROVIDERS, "own"}
    assert set(PROVIDERS) == PROVIDER_NAMES
