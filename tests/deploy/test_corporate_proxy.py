"""The running gateway behind a corporate proxy with a private authority, for every kind of provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.deploy.corporate import CREDENTIALS, Network, corporate_network
from tests.running import Gateway, running_gateway
from tests.traffic.answers import extract
from tests.traffic.load import exchange
from tests.traffic.replay import Reply

RECORDINGS = {
    ("openai", False): "openai-responses-text",
    ("openai", True): "openai-responses_stream-text",
    ("groq", False): "groq-chat_completion-text",
    ("groq", True): "groq-chat_completion_stream-text",
    ("anthropic", False): "anthropic-chat_completion-end-turn",
    ("anthropic", True): "anthropic-chat_completion_stream-text",
    ("gemini", False): "gemini-chat_completion-text",
    ("gemini", True): "gemini-chat_completion_stream-signed-text",
    ("cohere", False): "cohere-chat_completion-text",
    ("cohere", True): "cohere-chat_completion_stream-text",
}
NEAR = """
[providers.near]
dialect = "chat"
base_url = "https://127.0.0.1:{port}/v1"

[providers.off]
dialect = "chat"
base_url = "https://api.groq.corp.test/v1"
proxy = "http://127.0.0.1:9"
"""
LOGIN_PAGE = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\nContent-Length: 6\r\n\r\nlog in"
BLOCK_PAGE = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<html>blocked</html>"
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with corporate_network(tmp_path_factory.mktemp("authority")) as network:
        yield network


@pytest.fixture(scope="module")
def started(network: Network) -> Iterator[Gateway]:
    environ = {**network.environ, "NO_PROXY": "localhost,127.0.0.1", "SLUICE_MAX_RETRIES": "0"}
    with running_gateway(environ, config=NEAR.format(port=network.tls_port)) as gateway:
        yield gateway


@pytest.fixture
def gateway(started: Gateway, network: Network) -> Gateway:
    network.forget()
    return started


@pytest.fixture(scope="module")
def shut_out(network: Network) -> Iterator[Gateway]:
    """A gateway that never had a tunnel, and does not know the private authority."""
    environ = {name: value for name, value in network.environ.items() if name != "SSL_CERT_FILE"}
    with running_gateway({**environ, "SLUICE_MAX_RETRIES": "0"}) as gateway:
        yield gateway


def _ask(gateway: Gateway, model: str, *, stream: bool = False) -> requests.Response:
    body = {"model": model, "input": "hi", "stream": stream}
    return requests.post(f"{gateway.url}/v1/responses", json=body, timeout=20)


def _saying(text: str) -> Reply:
    message = {"role": "assistant", "content": text}
    return Reply.json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def _text(answer: requests.Response, *, stream: bool) -> str:
    assert answer.status_code == 200, answer.text
    response: Any = answer.json() if not stream else _completed(answer.content)
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts)


def _completed(body: bytes) -> Any:
    frames = [line[6:] for line in body.splitlines() if line.startswith(b"data: ")]
    last = json.loads(frames[-1])
    assert last["type"] == "response.completed"
    return last["response"]


@pytest.mark.parametrize(("provider", "stream"), RECORDINGS)
def test_every_kind_of_provider_is_reached_through_the_proxy(
    provider: str, stream: bool, gateway: Gateway, network: Network
) -> None:
    recording = exchange(RECORDINGS[provider, stream])
    network.upstream.add(Reply.of(recording))
    answer = _ask(gateway, f"{provider}/some-model", stream=stream)
    assert _text(answer, stream=stream) == extract(recording).choices[0].text
    assert set(network.passwords) <= {CREDENTIALS}
    (request,) = network.upstream.requests
    assert "proxy-authorization" not in request.headers
    assert request.headers["host"].endswith(".corp.test")


def test_a_tunnel_is_kept_for_the_next_call(gateway: Gateway, network: Network) -> None:
    for _ in range(3):
        network.upstream.add(_saying("good"))
        assert _text(_ask(gateway, "groq/x"), stream=False) == "good"
    assert len(network.tunnels) <= 1


def test_no_proxy_goes_direct_under_the_private_authority(gateway: Gateway, network: Network) -> None:
    network.upstream.add(_saying("near"))
    assert _text(_ask(gateway, "near/x"), stream=False) == "near"
    assert network.tunnels == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", ["openai", "groq", "anthropic", "gemini", "cohere"])
@pytest.mark.parametrize("page", [LOGIN_PAGE, BLOCK_PAGE], ids=["407", "block page"])
def test_a_proxy_that_refuses_is_a_502_of_its_own(
    page: bytes, provider: str, stream: bool, shut_out: Gateway, network: Network
) -> None:
    network.forget()
    network.page = page
    answer = _ask(shut_out, f"{provider}/x", stream=stream)
    assert _code(answer) == "egress_proxy"
    for secret in ("log in", "blocked", "s:cret", "s%3Acret", "127.0.0.1"):
        assert secret not in answer.text
    assert network.upstream.requests == []


def test_a_proxy_that_is_not_there_is_told_from_a_provider_that_is_not(gateway: Gateway) -> None:
    assert _code(_ask(gateway, "off/x")) == "egress_proxy"


def test_an_unknown_authority_is_refused(shut_out: Gateway, network: Network) -> None:
    network.forget()
    assert _code(_ask(shut_out, "groq/x")) == "upstream_tls"
    assert network.upstream.requests == []


def _code(answer: requests.Response) -> str:
    assert (answer.status_code, answer.headers["content-type"]) == (502, "application/json"), answer.text
    code: str = answer.json()["error"]["code"]
    return code
