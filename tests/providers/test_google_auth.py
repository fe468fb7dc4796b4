"""Google's credentials against a token server over real sockets, directly and through a proxy."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import gevent
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from app.errors import GatewayError
from app.providers.base import Provider
from tests.providers.conftest import MakeProvider
from tests.providers.proxy import proxying
from tests.wire.certificates import make_authority
from tests.wire.servers import Received, Server, answer, serving

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def token_script(
    body: dict[str, Any], status: str = "200 OK", wait: float = 0.05
) -> Callable[[Any, Received], bool]:
    def script(sock: Any, request: Received) -> bool:
        gevent.sleep(wait)
        sock.sendall(answer(json.dumps(body).encode(), status=status))
        return True

    return script


GOOD = {"access_token": "ya29.fetched", "expires_in": 3600, "token_type": "Bearer"}


def write_account(folder: Path, token_uri: str) -> str:
    """Write a service account's file and return its path."""
    secret = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "proj",
        "private_key_id": "kid",
        "private_key": secret.decode(),
        "client_email": "robot@proj.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_uri,
    }
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    return str(path)


def authorization(provider: Provider) -> str:
    wire = provider.wire("chat", "gemini-2.5-pro")
    assert wire is not None
    (key, *_) = provider.keys("gemini-2.5-pro")
    return provider.outgoing(wire, key, "gemini-2.5-pro", b"{}").headers["authorization"]


@pytest.fixture
def token_server() -> Iterator[Server]:
    with serving(token_script(GOOD)) as server:
        yield server


def claims_of(request: Received) -> dict[str, Any]:
    """Check the grant's signature and return what it claims."""
    form = parse_qs(request.body.decode())
    assert form["grant_type"] == [GRANT]
    head, body, signature = form["assertion"][0].split(".")
    KEY.public_key().verify(
        base64.urlsafe_b64decode(signature + "=="),
        f"{head}.{body}".encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=="))
    return claims


def test_a_service_account_gets_one_token_for_twenty_calls(
    token_server: Server, provider_of: MakeProvider, tmp_path: Path
) -> None:
    file = write_account(tmp_path, token_server.url("/token"))
    provider = provider_of("vertex", {"GOOGLE_APPLICATION_CREDENTIALS": file, "VERTEX_PROJECT": "proj"})
    jobs = [gevent.spawn(authorization, provider) for _ in range(20)]
    gevent.joinall(jobs, timeout=10, raise_error=True)
    assert {job.value for job in jobs} == {"Bearer ya29.fetched"}
    (request,) = token_server.requests
    assert request.line == "POST /token HTTP/1.1"
    claims = claims_of(request)
    assert claims["iss"] == "robot@proj.iam.gserviceaccount.com"
    assert claims["aud"] == "https://oauth2.googleapis.com/token"
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"


def test_a_users_file_is_refreshed_and_its_project_pays(provider_of: MakeProvider, tmp_path: Path) -> None:
    user = {
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
        "quota_project_id": "payer",
    }
    (tmp_path / "user.json").write_text(json.dumps(user))
    authority = make_authority(tmp_path)
    tls = authority.server_context("oauth2.googleapis.com")
    with serving(token_script(GOOD), tls=tls) as tokens, proxying(tokens.port) as proxy:
        environ = {
            "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "user.json"),
            "VERTEX_PROJECT": "proj",
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
            "SSL_CERT_FILE": authority.ca,
        }
        provider = provider_of("vertex", environ)
        wire = provider.wire("chat", "gemini-x")
        assert wire is not None
        outgoing = provider.outgoing(wire, None, "gemini-x", b"{}")
    assert outgoing.headers["authorization"] == "Bearer ya29.fetched"
    assert outgoing.headers["x-goog-user-project"] == "payer"
    assert parse_qs(tokens.requests[0].body.decode())["refresh_token"] == ["r"]


def test_a_given_token_is_sent_as_it_is(provider_of: MakeProvider) -> None:
    environ = {"VERTEX_ACCESS_TOKEN": "given", "VERTEX_PROJECT": "p"}
    assert authorization(provider_of("vertex", environ)) == "Bearer given"


@pytest.mark.parametrize(
    "place", ["environment", "file"], ids=["proxy in the environment", "proxy of the provider"]
)
def test_the_token_is_fetched_through_the_same_proxy_and_authorities(
    place: str, provider_of: MakeProvider, tmp_path: Path
) -> None:
    authority = make_authority(tmp_path)
    tls = authority.server_context("tokens.internal")
    with serving(token_script(GOOD), tls=tls) as tokens, proxying(tokens.port) as proxy:
        file = write_account(tmp_path, "https://tokens.internal/token")
        environ = {"GOOGLE_APPLICATION_CREDENTIALS": file, "VERTEX_PROJECT": "proj"}
        text = ""
        if place == "environment":
            environ |= {
                "HTTPS_PROXY": f"http://user:pw@127.0.0.1:{proxy.port}",
                "SSL_CERT_FILE": authority.ca,
            }
        else:
            text = (
                f"[providers.vertex]\nproxy = 'http://user:pw@127.0.0.1:{proxy.port}'\n"
                f"ca_bundle = '{authority.ca}'\n"
            )
        assert authorization(provider_of("vertex", environ, text)) == "Bearer ya29.fetched"
    assert proxy.asked == ["CONNECT tokens.internal:443"]
    assert proxy.credentials == [f"Basic {base64.b64encode(b'user:pw').decode()}"]
    assert len(tokens.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("400 Bad Request", {"error": "invalid_grant", "error_description": "Invalid JWT"}, "upstream_auth"),
        ("200 OK", {"id_token": "x"}, "upstream_auth"),
    ],
)
def test_a_refused_grant_is_the_operators_fault_not_the_callers(
    status: str, body: dict[str, Any], kind: str, provider_of: MakeProvider, tmp_path: Path
) -> None:
    with serving(token_script(body, status)) as server:
        file = write_account(tmp_path, server.url("/token"))
        provider = provider_of("vertex", {"GOOGLE_APPLICATION_CREDENTIALS": file, "VERTEX_PROJECT": "proj"})
        with pytest.raises(GatewayError) as caught:
            authorization(provider)
    assert caught.value.kind.name == kind
    assert "Invalid JWT" not in caught.value.message


def test_a_token_server_that_is_away_is_unreachable(provider_of: MakeProvider, tmp_path: Path) -> None:
    with serving(token_script(GOOD)) as server:
        url = server.url("/token")
    provider = provider_of(
        "vertex", {"GOOGLE_APPLICATION_CREDENTIALS": write_account(tmp_path, url), "VERTEX_PROJECT": "p"}
    )
    with pytest.raises(GatewayError) as caught:
        authorization(provider)
    assert caught.value.kind.name == "upstream_unreachable"


def test_a_file_that_is_none_says_what_to_set(provider_of: MakeProvider, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    for path in ("bad.json", "absent.json"):
        environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / path), "VERTEX_PROJECT": "p"}
        with pytest.raises(GatewayError, match="GOOGLE_APPLICATION_CREDENTIALS") as caught:
            authorization(provider_of("vertex", environ))
        assert caught.value.kind.name == "provider_not_configured"
