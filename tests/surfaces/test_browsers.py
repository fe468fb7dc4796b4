"""Who is served without keys, and which web pages are answered: at the socket, header by header."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.running import Gateway, running_gateway

BODY = json.dumps({"model": "sandbox/echo", "input": "hi", "store": False}).encode()
JSON = {"content-type": "application/json"}
PAGE = "https://app.example.com"
KEY = "sk-browsers-0123456789"


def ask(
    gateway: Gateway,
    method: str = "POST",
    path: str = "/v1/responses",
    headers: Mapping[str, str] = JSON,
    body: bytes | None = BODY,
) -> tuple[int, Mapping[str, str], Any]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    try:
        connection.request(method, path, body if method == "POST" else None, dict(headers))
        answer = connection.getresponse()
        data = answer.read()
        head = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, head, json.loads(data) if data[:1] == b"{" else data
    finally:
        connection.close()


@pytest.fixture(scope="module")
def alone() -> Iterator[Gateway]:
    with running_gateway() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def shared() -> Iterator[Gateway]:
    env = {"SLUICE_KEYS": f"ann:{KEY}", "SLUICE_ALLOWED_ORIGINS": f"{PAGE},http://localhost:3000"}
    with running_gateway(env) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({**JSON, "origin": "https://evil.example"}, "evil.example"),
        ({**JSON, "origin": "null"}, "null"),
        ({**JSON, "origin": "http://localhost:3000"}, "localhost:3000"),
        ({**JSON, "sec-fetch-site": "cross-site"}, "another site"),
        ({**JSON, "host": "evil.example"}, "evil.example"),
        ({**JSON, "host": "localhost.evil.example:8080"}, "localhost.evil.example"),
        ({**JSON, "host": "192.168.0.7:8080"}, "192.168.0.7"),
        ({**JSON, "x-forwarded-for": "203.0.113.7"}, "x-forwarded-for"),
        ({**JSON, "forwarded": "for=203.0.113.7"}, "forwarded"),
        ({**JSON, "x-real-ip": "203.0.113.7"}, "x-real-ip"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/responses", "/responses", "/openai/v1/responses", "/api/llm/responses"]
)
def test_without_keys_only_this_machine_is_served(alone: Gateway, headers, why, path) -> None:
    status, _, body = ask(alone, path=path, headers=headers)
    assert (status, body["error"]["code"]) == (403, "permission_denied")
    assert why in body["error"]["message"]
    assert "SLUICE_" in body["error"]["message"]


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:1", "[::1]:8080", "app.localhost:8080", "127.9.9.9"]
)
def test_without_keys_every_loopback_name_is_served(alone: Gateway, host: str) -> None:
    own = {"origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    assert ask(alone, headers={**JSON, "host": host})[0] == 200
    assert ask(alone, headers={**JSON, "host": host, **own})[0] == 200


def test_without_keys_a_body_must_say_that_it_is_json(alone: Gateway) -> None:
    assert ask(alone, headers={})[0] == 415
    assert ask(alone, headers={"content-type": "text/plain"})[0] == 415
    signed = "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=b"
    assert ask(alone, headers={"authorization": signed})[0] == 200  # boto3 sends no type with InvokeModel
    assert ask(alone, headers={"authorization": signed, "content-type": "text/plain"})[0] == 415


def test_health_is_told_to_whoever_asks(alone: Gateway) -> None:
    assert ask(alone, "GET", "/healthz", {"host": "10.0.0.7", "x-forwarded-for": "203.0.113.7"})[0] == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_a_load_balancer_may_ask_by_head_and_options(alone: Gateway, path: str) -> None:
    status, head, data = ask(alone, "HEAD", path)
    assert (status, data, head["content-type"]) == (200, b"", "application/json")
    status, head, data = ask(alone, "OPTIONS", path)
    assert (status, data, head["allow"]) == (204, b"", "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/openai/deployments/x/responses", "/v1/responses/r/cancel"]
)
def test_a_preflight_of_an_allowed_origin_is_answered_without_a_key(shared, origin, path) -> None:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type",
    }
    status, head, data = ask(shared, "OPTIONS", path, headers)
    assert (status, data) == (204, b"")
    assert head["access-control-allow-origin"] == origin
    assert "POST" in head["access-control-allow-methods"]
    assert head["access-control-allow-headers"] == "authorization, content-type"
    assert head["access-control-max-age"] == "600"
    assert "Origin" in head["vary"]
    assert "access-control-allow-credentials" not in head


def test_another_origin_gets_no_permission(shared: Gateway) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    status, head, _ = ask(shared, "OPTIONS", "/v1/responses", headers)
    assert status == 403
    assert "access-control-allow-origin" not in head


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [(KEY, BODY, 200), ("wrong", BODY, 401), (KEY, b"{", 400), (KEY, BODY[:-1] + b', "stream": true}', 200)],
)
def test_every_answer_of_a_surface_says_who_may_read_it(shared: Gateway, key, body, status) -> None:
    headers = {**JSON, "authorization": f"Bearer {key}", "origin": PAGE}
    got, head, _ = ask(shared, headers=headers, body=body)
    assert (got, head["access-control-allow-origin"]) == (status, PAGE)
    assert "x-request-id" in head["access-control-expose-headers"]
    assert "access-control-allow-origin" not in ask(shared, "GET", "/healthz", {"origin": PAGE})[1]


def test_all_origins_may_be_allowed_even_without_keys() -> None:
    with running_gateway({"SLUICE_ALLOWED_ORIGINS": "*"}) as gateway:
        status, head, _ = ask(gateway, headers={**JSON, "origin": PAGE})
        assert (status, head["access-control-allow-origin"]) == (200, "*")


@pytest.mark.parametrize("path", ["/chat/completions", "/embeddings", "/models", "/responses/resp_none"])
def test_the_unified_surface_also_stands_at_the_root(shared: Gateway, path: str) -> None:
    method = "GET" if path.startswith(("/models", "/responses")) else "POST"
    body = json.dumps({"model": "sandbox/x", "input": "hi", "messages": [{"role": "user", "content": "hi"}]})
    headers = {**JSON, "authorization": f"Bearer {KEY}"}
    at_root, below = (ask(shared, method, prefix + path, headers, body.encode())[0] for prefix in ("", "/v1"))
    assert at_root == below
    assert ask(shared, method, path, JSON, body.encode())[0] == 401


def test_the_root_is_no_prefix(shared: Gateway) -> None:
    assert ask(shared, "GET", "/nothing/here")[0] == 404
