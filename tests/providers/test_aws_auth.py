"""AWS signatures, recomputed here by hand, and the chain of credentials."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.auth
import gevent
import pytest

from app.config import ProviderSettings
from app.errors import GatewayError
from app.providers.aws_auth import AwsSession
from app.providers.base import Outgoing
from tests.providers.conftest import MakeProvider
from tests.wire.servers import answer, serving

DATE = datetime.datetime(2026, 11, 20, 1, 2, 3, tzinfo=datetime.UTC)
STATIC = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
    "AWS_REGION": "us-west-2",
}
ARN = "arn:aws:bedrock:us-west-2:000000000000:application-inference-profile/otnfa2ysixqd"


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of the developer's own, no metadata service."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def test_a_profile_that_is_not_there_is_named() -> None:
    session = AwsSession(ProviderSettings("bedrock", options={"profile": "nosuch"}))
    with pytest.raises(
        GatewayError, match=r"profile \(nosuch\) could not be found\. Check its profile"
    ) as caught:
        session.region()
    assert caught.value.kind.name == "provider_not_configured"


def sign(provider: Any, model: str, body: bytes | None, operation: str = "chat") -> Outgoing:
    wire = provider.wire(operation, model)
    outgoing: Outgoing = provider.outgoing(wire, provider.keys(model)[0], model, body)
    return outgoing


def signature(request: Outgoing, secret: str, region: str) -> str:
    """SigV4 as its specification has it, over the request as it would be sent."""
    parts = urlsplit(request.url)
    named = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    headers = {name.lower(): value for name, value in request.headers.items()} | {"host": parts.netloc}
    body = request.body or b""
    assert isinstance(body, bytes)
    canonical = "\n".join(
        [
            request.method,
            quote(parts.path, safe="/-_.~"),  # the path as sent, encoded once more
            parts.query,
            *(f"{name}:{headers[name]}" for name in named.split(";")),
            "",
            named,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/{region}/bedrock/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


@pytest.mark.parametrize(
    ("model", "operation", "body"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "chat", b'{"messages":[]}'),
        (ARN, "chat", '{"text":"\u00e4\u20ac"}'.encode()),
        ("amazon.titan-embed-text-v2:0", "embedding", b"{}"),
        ("", "models", None),
    ],
)
@pytest.mark.parametrize("token", [None, "session-token"])
def test_the_signature_covers_exactly_what_is_sent(
    model: str,
    operation: str,
    body: bytes | None,
    token: str | None,
    provider_of: MakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: DATE)
    environ = STATIC | ({"AWS_SESSION_TOKEN": token} if token else {})
    request = sign(provider_of("bedrock", environ), model, body, operation)
    authorization = request.headers["authorization"]
    assert request.headers["x-amz-date"] == "20261120T010203Z"
    assert request.headers.get("x-amz-security-token") == token
    assert authorization.startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/us-west-2/bedrock/aws4_request, SignedHeaders="
    )
    signed = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    expected = {
        "host",
        "x-amz-date",
        *(["content-type"] if body else []),
        *(["x-amz-security-token"] if token else []),
    }
    assert set(signed) == expected
    assert authorization.rpartition("Signature=")[2] == signature(request, "wJalrXUtnFEMI", "us-west-2")


def test_another_body_path_or_date_is_another_signature(
    provider_of: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: DATE)
    provider = provider_of("bedrock", STATIC)
    requests = [sign(provider, model, body) for model, body in (("a:0", b"1"), ("a:0", b"2"), ("b:0", b"1"))]
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: DATE + datetime.timedelta(seconds=1))
    requests.append(sign(provider, "a:0", b"1"))
    assert len({request.headers["authorization"] for request in requests}) == 4


def test_a_bearer_key_goes_before_the_chain(provider_of: MakeProvider) -> None:
    provider = provider_of("bedrock", {**STATIC, "AWS_BEARER_TOKEN_BEDROCK": "k"})
    assert sign(provider, "m", b"{}").headers == {
        "content-type": "application/json",
        "authorization": "Bearer k",
    }


def test_the_signature_survives_the_transport(provider_of: MakeProvider) -> None:
    """What arrives over a socket still has the signature of its bytes: host with port, path, body."""
    with serving(lambda sock, request: sock.sendall(answer(b"{}"))) as server:
        provider = provider_of("bedrock", {**STATIC, "BEDROCK_BASE_URL": f"http://127.0.0.1:{server.port}"})
        request = sign(provider, ARN, b'{"a": 1}')
        from app.wire.egress import Clocks

        provider.transport.open(
            request.method, request.url, request.headers, request.body, clocks=Clocks(), stream=False
        ).close()
    (arrived,) = server.requests
    method, target, _ = arrived.line.split(" ")
    seen = Outgoing(method, f"http://{arrived.header('host')}{target}", dict(arrived.headers), arrived.body)
    authorization = str(arrived.header("authorization"))
    assert authorization.rpartition("Signature=")[2] == signature(seen, "wJalrXUtnFEMI", "us-west-2")


PROFILES = {
    "credentials": "[default]\naws_access_key_id = D\naws_secret_access_key = d\n"
    "[work]\naws_access_key_id = W\naws_secret_access_key = w\n",
    "config": "[default]\nregion = eu-west-3\n[profile work]\nregion = ap-south-1\n",
}


@pytest.mark.parametrize(
    ("environ", "key", "region"),
    [
        ({"AWS_PROFILE": "work"}, "W", "ap-south-1"),
        ({"AWS_PROFILE": "work", "AWS_REGION": "us-west-1"}, "W", "us-west-1"),
        ({"AWS_PROFILE": "work", "AWS_DEFAULT_REGION": "us-west-1"}, "W", "us-west-1"),
        ({"AWS_REGION": "a-1", "AWS_DEFAULT_REGION": "b-1", "AWS_PROFILE": "default"}, "D", "a-1"),
        ({"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "e"}, "E", "eu-west-3"),
    ],
)
def test_region_and_credentials_follow_the_chain(
    environ: dict[str, str], key: str, region: str, provider_of: MakeProvider, tmp_path: Path
) -> None:
    for name, text in PROFILES.items():
        (tmp_path / name).write_text(text)
    request = sign(provider_of("bedrock", environ), "m", b"{}")
    assert f"Credential={key}/" in request.headers["authorization"]
    assert f"/{region}/bedrock/" in request.headers["authorization"]
    assert request.url.startswith(f"https://bedrock-runtime.{region}.amazonaws.com/")


def test_without_any_region_it_is_us_east_1(provider_of: MakeProvider) -> None:
    environ = {"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "e"}
    assert sign(provider_of("bedrock", environ), "m", b"{}").url.startswith(
        "https://bedrock-runtime.us-east-1."
    )


def test_an_empty_chain_says_what_to_set(provider_of: MakeProvider) -> None:
    provider = provider_of("bedrock", {}, "[providers.bedrock]\n")
    with pytest.raises(GatewayError, match="AWS_ACCESS_KEY_ID") as caught:
        sign(provider, "m", b"{}")
    assert caught.value.kind.name == "provider_not_configured"


def test_a_profile_that_does_not_exist_is_no_fault_of_the_callers(provider_of: MakeProvider) -> None:
    provider = provider_of("bedrock", {"AWS_PROFILE": "nowhere", "AWS_REGION": "us-east-1"})
    with pytest.raises(GatewayError) as caught:
        sign(provider, "m", b"{}")
    assert caught.value.kind.name == "upstream_auth"
    assert "nowhere" in str(caught.value.raw)


def test_a_containers_role_is_asked_once_by_twenty_and_the_hub_turns_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2)).isoformat()
    role = {"AccessKeyId": "R", "SecretAccessKey": "r", "Token": "t", "Expiration": ends}

    def slowly(sock: Any, request: Any) -> bool:
        gevent.sleep(0.2)
        sock.sendall(answer(json.dumps(role).encode()))
        return True

    with serving(slowly) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.port}/role")
        session = AwsSession(ProviderSettings("bedrock"))
        turns: list[None] = []
        ticking = gevent.spawn(_tick, turns)
        jobs = [gevent.spawn(session.credentials) for _ in range(20)]
        gevent.joinall(jobs, timeout=10, raise_error=True)
        ticking.kill()
        assert {job.value.access_key for job in jobs} == {"R"}
        assert len(server.requests) == 1
        assert len(turns) > 5


def _tick(turns: list[None]) -> None:
    while True:
        turns.append(None)
        gevent.sleep(0.005)
