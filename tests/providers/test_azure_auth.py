"""Entra's tokens for Azure: a given one, and the client-credentials grant over TLS and a proxy."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import gevent
import pytest

from app.errors import GatewayError
from app.providers.base import Provider
from app.providers.tokens import TokenSource
from tests.providers.conftest import MakeProvider
from tests.providers.proxy import Proxy, proxying
from tests.wire.certificates import make_authority
from tests.wire.servers import Received, Server, answer, serving

HOST = "login.internal"
TENANT = "11111111-2222-3333-4444-555555555555"


class Entra:
    """Answers as Entra does: discovery, then tokens."""

    def __init__(self) -> None:
        self.token: dict[str, Any] = {
            "access_token": "entra-token",
            "expires_in": 3600,
            "token_type": "Bearer",
        }
        self.status = "200 OK"

    def __call__(self, sock: Any, request: Received) -> bool:
        path = urlsplit(request.line.split(" ")[1]).path
        if path.endswith("openid-configuration"):
            base = f"https://{HOST}/{TENANT}"
            body = {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "issuer": f"{base}/v2.0",
            }
            sock.sendall(answer(json.dumps(body).encode()))
        else:
            gevent.sleep(0.05)
            sock.sendall(answer(json.dumps(self.token).encode(), status=self.status))
        return True


@pytest.fixture
def entra() -> Entra:
    return Entra()


@pytest.fixture
def network(entra: Entra, tmp_path: Path) -> Iterator[tuple[Server, Proxy, dict[str, str]]]:
    """Entra behind TLS of a private authority, reached only through a proxy; and the variables for it."""
    authority = make_authority(tmp_path)
    tls = authority.server_context(HOST)
    with serving(entra, tls=tls) as server, proxying(server.port) as proxy:
        environ = {
            "AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com",
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": "client",
            "AZURE_CLIENT_SECRET": "c4n4ry-secret",
            "AZURE_AUTHORITY_HOST": f"https://{HOST}/",
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
            "SSL_CERT_FILE": authority.ca,
        }
        yield server, proxy, environ


def authorization(provider: Provider, model: str = "gpt-4o") -> dict[str, str]:
    wire = provider.wire("chat", model)
    assert wire is not None
    (key, *_) = provider.keys(model)
    headers = provider.outgoing(wire, key, model, b"{}").headers
    return {
        name: value for name, value in headers.items() if name in ("authorization", "api-key", "x-api-key")
    }


def test_a_client_secret_gets_one_token_for_twenty_calls_through_the_proxy(
    network: tuple[Server, Proxy, dict[str, str]], provider_of: MakeProvider
) -> None:
    server, proxy, environ = network
    provider = provider_of("azure", environ)
    jobs = [gevent.spawn(authorization, provider) for _ in range(20)]
    gevent.joinall(jobs, timeout=10, raise_error=True)
    assert [job.value for job in jobs] == [{"authorization": "Bearer entra-token"}] * 20
    grants = [request for request in server.requests if request.line.startswith("POST")]
    assert [request.line for request in grants] == [f"POST /{TENANT}/oauth2/v2.0/token HTTP/1.1"]
    form = parse_qs(grants[0].body.decode())
    assert {name: form[name] for name in ("grant_type", "client_id", "client_secret", "scope")} == {
        "grant_type": ["client_credentials"],
        "client_id": ["client"],
        "client_secret": ["c4n4ry-secret"],
        "scope": ["https://cognitiveservices.azure.com/.default"],
    }
    assert set(proxy.asked) == {f"CONNECT {HOST}:443"}


def test_a_token_that_ends_soon_is_fetched_again(
    network: tuple[Server, Proxy, dict[str, str]], entra: Entra, provider_of: MakeProvider
) -> None:
    _, _, environ = network
    provider = provider_of("azure", environ)
    entra.token = {**entra.token, "access_token": "short", "expires_in": 100}
    assert authorization(provider) == {"authorization": "Bearer short"}
    entra.token = {**entra.token, "access_token": "next", "expires_in": 3600}
    assert authorization(provider) == {"authorization": "Bearer next"}
    assert authorization(provider, "claude-x") == {"authorization": "Bearer next"}


def test_a_token_ends_when_its_time_is_over_though_the_clock_was_set_back(
    network: tuple[Server, Proxy, dict[str, str]],
    entra: Entra,
    provider_of: MakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, _, environ = network
    passed, now = [0.0], time.time
    monkeypatch.setattr(TokenSource.__init__, "__defaults__", (lambda: passed[0],))
    provider = provider_of("azure", environ)
    assert authorization(provider) == {"authorization": "Bearer entra-token"}
    entra.token = {**entra.token, "access_token": "next"}
    monkeypatch.setattr(time, "time", lambda: now() - 3600)
    assert authorization(provider) == {"authorization": "Bearer entra-token"}
    passed[0] += 3600
    assert authorization(provider) == {"authorization": "Bearer next"}


def test_a_refused_secret_is_the_operators_fault_and_stays_hidden(
    network: tuple[Server, Proxy, dict[str, str]], entra: Entra, provider_of: MakeProvider
) -> None:
    _, _, environ = network
    entra.status = "401 Unauthorized"
    entra.token = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret."}
    with pytest.raises(GatewayError) as caught:
        authorization(provider_of("azure", environ))
    error = caught.value
    assert (error.kind.name, error.status) == ("upstream_auth", 502)
    assert "AADSTS7000215" in str(error.raw)
    assert "c4n4ry" not in f"{error!r} {error.raw}"


def test_an_authority_that_cannot_be_reached_is_a_failed_call(
    provider_of: MakeProvider, tmp_path: Path
) -> None:
    with proxying(1) as proxy:
        environ = {
            "AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com",
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": "client",
            "AZURE_CLIENT_SECRET": "s",
            "AZURE_AUTHORITY_HOST": f"https://{HOST}",
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
        }
        with pytest.raises(GatewayError) as caught:
            authorization(provider_of("azure", environ))
    assert caught.value.kind.name in ("egress_proxy", "upstream_unreachable", "upstream_tls")


def test_a_given_token_and_a_key_need_no_fetching(provider_of: MakeProvider) -> None:
    endpoint = {"AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com"}
    given = {**endpoint, "AZURE_OPENAI_AD_TOKEN": "given"}
    assert authorization(provider_of("azure", given)) == {"authorization": "Bearer given"}
    keyed = {**given, "AZURE_OPENAI_API_KEY": "k"}
    assert authorization(provider_of("azure", keyed)) == {"api-key": "k"}
