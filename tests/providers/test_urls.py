"""What is called: a golden table of every provider, operation and way, and the recorded paths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from app.errors import GatewayError
from app.operations import WIRES
from app.providers import PROVIDERS
from app.providers.base import Provider
from tests.providers.conftest import MakeProvider

GOLDEN = Path(__file__).with_name("urls.txt")

ENVIRON: dict[str, dict[str, str]] = {
    "azure": {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com/"},
    "bedrock": {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "eu-central-1"},
    "vertex": {"VERTEX_ACCESS_TOKEN": "k", "VERTEX_PROJECT": "proj", "VERTEX_LOCATION": "europe-west4"},
    "ollama": {"OLLAMA_BASE_URL": "http://host:11434/v1"},
    "sgl": {"SGL_BASE_URL": "http://host:30000/v1", "SGL_API_KEY": "k"},
}
MODELS = {"bedrock": "anthropic.claude-3-haiku-20240307-v1:0", "vertex": "gemini-2.5-pro"}
OUTSIDE = [name for name, row in PROVIDERS.items() if not row.always]


def environ_of(name: str) -> dict[str, str]:
    return ENVIRON.get(name) or {PROVIDERS[name].keys[0]: "k"}


def url_of(provider: Provider, operation: str, model: str, *, stream: bool = False) -> str | None:
    wire = provider.wire(operation, model)
    if wire is None or (stream and not wire.streams):
        return None
    body = b"{}" if wire.method == "POST" else None
    (key, *_) = provider.keys(model)
    outgoing = provider.outgoing(wire, key, model, body, stream=stream)
    return f"{outgoing.method} {outgoing.url}"


def table(name: str, provider: Provider) -> Iterator[str]:
    model = MODELS.get(name, "some-model")
    for operation in WIRES:
        whole = url_of(provider, operation, model)
        streamed = url_of(provider, operation, model, stream=True)
        if whole is not None:
            wire = provider.wire(operation, model)
            assert wire is not None
            yield f"{name} {operation} {wire.dialect}{' passes' if wire.passes else ''} {whole}"
        if streamed not in (None, whole):
            yield f"{name} {operation} stream {streamed}"


def test_every_provider_calls_the_urls_of_the_golden_table(provider_of: MakeProvider) -> None:
    lines = [line for name in OUTSIDE for line in table(name, provider_of(name, environ_of(name)))]
    assert "\n".join(lines) == GOLDEN.read_text().rstrip()


# provider, variables, operation, model, stream, URL
CASES: list[tuple[str, dict[str, str], str, str, bool, str]] = [
    *(
        (
            "azure",
            {"AZURE_OPENAI_ENDPOINT": f"https://r.azure.com{end}", **more},
            operation,
            model,
            False,
            url,
        )
        for end, more, operation, model, url in (
            (
                "/openai",
                {"OPENAI_API_VERSION": "2025-01-01-preview"},
                "chat",
                "dep",
                "POST https://r.azure.com/openai/deployments/dep/chat/completions?api-version=2025-01-01-preview",
            ),
            (
                "",
                {"OPENAI_API_VERSION": "v1"},
                "chat",
                "dep",
                "POST https://r.azure.com/openai/v1/chat/completions",
            ),
            ("/openai/v1/", {}, "chat", "dep", "POST https://r.azure.com/openai/v1/chat/completions"),
            ("/openai/v1", {}, "models", "", "GET https://r.azure.com/openai/v1/models"),
            (
                "/openai/v1",
                {"OPENAI_API_VERSION": "preview"},
                "embedding",
                "dep",
                "POST https://r.azure.com/openai/v1/embeddings?api-version=preview",
            ),
            (
                "",
                {"OPENAI_API_VERSION": "2024-10-21"},
                "responses",
                "dep",
                "POST https://r.azure.com/openai/v1/responses?api-version=preview",
            ),
            (
                "",
                {"OPENAI_API_VERSION": "v1"},
                "responses",
                "dep",
                "POST https://r.azure.com/openai/v1/responses",
            ),
            ("", {}, "chat", "claude-opus-4-5", "POST https://r.azure.com/anthropic/v1/messages"),
            ("/openai/v1", {}, "chat", "my-Claude", "POST https://r.azure.com/anthropic/v1/messages"),
            (
                "",
                {},
                "chat",
                "grok-4",
                "POST https://r.azure.com/openai/deployments/grok-4/chat/completions?api-version=2024-10-21",
            ),
            ("/openai/v1", {}, "chat", "DeepSeek-R1", "POST https://r.azure.com/openai/v1/chat/completions"),
        )
    ),
    *(
        ("vertex", {"VERTEX_PROJECT": "p", "VERTEX_LOCATION": where}, operation, model, stream, url)
        for where, operation, model, stream, url in (
            (
                "us-east5",
                "rerank",
                "semantic-ranker-default-004",
                False,
                "POST https://discoveryengine.googleapis.com/v1/projects/p/locations/global/rankingConfigs/"
                "default_ranking_config:rank",
            ),
            *(
                (
                    where,
                    "chat",
                    "google/gemini-3-pro",
                    False,
                    f"POST https://{host}/v1/projects/p/locations/{where or 'global'}"
                    "/publishers/google/models/gemini-3-pro:generateContent",
                )
                for where, host in (
                    ("", "aiplatform.googleapis.com"),
                    ("global", "aiplatform.googleapis.com"),
                    ("us", "aiplatform.us.rep.googleapis.com"),
                    ("eu", "aiplatform.eu.rep.googleapis.com"),
                    ("us-east5", "us-east5-aiplatform.googleapis.com"),
                )
            ),
            (
                "eu",
                "chat",
                "claude-opus-4-1@20250805",
                True,
                "POST https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/anthropic"
                "/models/claude-opus-4-1@20250805:streamRawPredict",
            ),
            (
                "eu",
                "count_tokens",
                "claude-opus-4-1@20250805",
                False,
                "POST https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/anthropic"
                "/models/count-tokens:rawPredict",
            ),
            (
                "eu",
                "chat",
                "mistralai/mistral-medium-3",
                False,
                "POST https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/mistralai"
                "/models/mistral-medium-3:rawPredict",
            ),
            (
                "eu",
                "chat",
                "meta/llama-4-maverick",
                True,
                "POST https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/endpoints/openapi"
                "/chat/completions",
            ),
            (
                "eu",
                "chat",
                "1234567890",
                True,
                "POST https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/endpoints/1234567890"
                ":streamGenerateContent?alt=sse",
            ),
            (
                "eu",
                "embedding",
                "text-embedding-005",
                False,
                "POST https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/google"
                "/models/text-embedding-005:predict",
            ),
            (
                "eu",
                "embedding",
                "gemini-embedding-2",
                False,
                "POST https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/google"
                "/models/gemini-embedding-2:embedContent",
            ),
        )
    ),
    *(
        ("bedrock", {"AWS_REGION": region, **more}, operation, model, stream, url)
        for region, more, operation, model, stream, url in (
            (
                "US-WEST-2",
                {},
                "chat",
                "arn:aws:bedrock:us-west-2:000000000000:application-inference-profile/otnfa2ysixqd",
                True,
                "POST https://bedrock-runtime.us-west-2.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aus-west-2%3A"
                "000000000000%3Aapplication-inference-profile%2Fotnfa2ysixqd/converse-stream",
            ),
            (
                "cn-north-1",
                {},
                "models",
                "",
                False,
                "GET https://bedrock.cn-north-1.amazonaws.com.cn/foundation-models",
            ),
            (
                "eu-west-1",
                {"BEDROCK_BASE_URL": "http://127.0.0.1:9/"},
                "models",
                "",
                False,
                "GET http://127.0.0.1:9/foundation-models",
            ),
            (
                "eu-west-1",
                {"BEDROCK_BASE_URL": "http://127.0.0.1:9/"},
                "completion",
                "meta.llama3-8b-instruct-v1:0",
                True,
                "POST http://127.0.0.1:9/model/meta.llama3-8b-instruct-v1%3A0/invoke-with-response-stream",
            ),
        )
    ),
    (
        "gemini",
        {"GEMINI_BASE_URL": "https://host/v1beta/"},
        "chat",
        "models/gemini-2.5-flash",
        False,
        "POST https://host/v1beta/models/gemini-2.5-flash:generateContent",
    ),
    ("ollama", {"OLLAMA_BASE_URL": "http://h:1/sub/v1/"}, "models", "", False, "GET http://h:1/sub/api/tags"),
]


@pytest.mark.parametrize(("name", "environ", "operation", "model", "stream", "url"), CASES)
def test_settings_and_models_choose_the_url(
    name: str,
    environ: dict[str, str],
    operation: str,
    model: str,
    stream: bool,
    url: str,
    provider_of: MakeProvider,
) -> None:
    key = {PROVIDERS[name].keys[0]: "k"}
    assert url_of(provider_of(name, {**key, **environ}), operation, model, stream=stream) == url


BASES = {
    "openai": "https://host/v1",
    "anthropic": "https://host",
    "gemini": "https://host/v1beta",
    "cohere": "https://host",
    "mistral": "https://host",
    "groq": "https://host/openai/v1",
    "openrouter": "https://host/api/v1",
    "perplexity": "https://host",
    "cerebras": "https://host/v1",
    "parasail": "https://host/v1",
    "elevenlabs": "https://host",
}


@pytest.mark.parametrize("name", BASES)
def test_a_base_url_is_what_the_providers_own_sdk_takes(name: str, provider_of: MakeProvider) -> None:
    variables = environ_of(name)
    default = list(table(name, provider_of(name, variables)))
    moved = list(table(name, provider_of(name, {**variables, f"{name.upper()}_BASE_URL": BASES[name]})))
    assert moved == [re.sub(r"https://[^/]+/", "https://host/", line) for line in default]


# recorded api -> our operation; Azure's and Vertex's settings are read from the recorded URL
RECORDED = {
    "openai.responses": "responses",
    "azure.openai.responses": "responses",
    "openrouter.openai.responses": "responses",
    "anthropic.messages": "chat",
    "azure.anthropic.messages": "chat",
    "vertex.anthropic.messages": "chat",
    "bedrock.converse": "chat",
    "cohere.v2.chat": "chat",
    "gemini.generateContent": "chat",
    "gemini.streamGenerateContent": "chat",
    "mistral.chat": "chat",
    "anthropic.count_tokens": "count_tokens",
    "gemini.countTokens": "count_tokens",
    "bedrock.count_tokens": "count_tokens",
    "openai.responses.input_tokens": "count_tokens",
    "cohere.v1.tokenize": "count_tokens",
    "cohere.v2.embed": "embedding",
    "mistral.embeddings": "embedding",
    "vertex.predict": "embedding",
    "anthropic.models": "models",
    "mistral.models": "models",
    "bedrock.list_foundation_models": "models",
    "ollama.tags": "models",
    "elevenlabs.speech_to_text": "transcription",
    "mistral.audio.transcriptions": "transcription",
    **{f"{name}.openai.chat": "chat" for name in OUTSIDE},
    **{f"{name}.openai.completions": "completion" for name in OUTSIDE},
    **{f"{name}.openai.embeddings": "embedding" for name in OUTSIDE},
    **{f"{name}.openai.models": "models" for name in OUTSIDE},
    **{f"{name}.openai.audio.transcriptions": "transcription" for name in OUTSIDE},
    **{
        f"openai.{api}": op
        for api, op in (("chat", "chat"), ("completions", "completion"), ("models", "models"))
    },
    **{f"openai.audio.{api}": op for api, op in (("speech", "speech"), ("transcriptions", "transcription"))},
    "openai.embeddings": "embedding",
}


def recorded(shared: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((shared / "traffic").glob("*/*/*.json")):
        exchange = json.loads(file.read_text())
        if exchange["api"] in RECORDED and exchange["source"]["kind"] == "recording":
            yield file.stem, exchange


def test_recorded_requests_went_to_the_paths_that_we_call(
    shared_dir: Path, provider_of: MakeProvider
) -> None:
    checked, differ = 0, []
    for name, exchange in recorded(shared_dir):
        request, operation = exchange["request"], RECORDED[exchange["api"]]
        found = called_path(exchange, operation, provider_of)
        # Vertex: recordings of both versions of the API; Azure: the older preview of Responses, and a
        # client that doubled a slash; Bedrock: some recorders undid the percent-encoding
        path = request["path"].replace("/v1beta1/projects/", "/v1/projects/").replace("//", "/")
        if path == "/openai/responses":
            continue
        checked += 1
        if unquote(found) != unquote(path):
            differ.append(f"{name}: {found} was {path}")
    assert "\n".join(differ) == ""
    assert checked > 400


def called_path(exchange: dict[str, Any], operation: str, provider_of: MakeProvider) -> str:
    name, request = exchange["provider"], exchange["request"]
    environ = dict(environ_of(name))
    path = request["path"]
    model = model_in(path) or exchange["model"] or "m"
    if name == "azure":
        environ["OPENAI_API_VERSION"] = "v1" if path.startswith("/openai/v1") else "2024-10-21"
        model = "claude" if path.startswith("/anthropic") else model
    if name == "vertex" and (place := re.search(r"/projects/([^/]+)/locations/([^/]+)/", path)):
        environ |= {"VERTEX_PROJECT": place[1], "VERTEX_LOCATION": place[2]}
    stream = bool(re.search(r"stream|Stream", path))
    url = url_of(provider_of(name, environ), operation, model, stream=stream)
    return urlsplit(str(url).partition(" ")[2]).path


def model_in(path: str) -> str | None:
    match = re.search(r"/(?:(?:deployments|models|endpoints)/([^/:]+)|model/([^/]+))", path)
    return unquote(match[1] or match[2]) if match else None


# --- what a caller cannot do -------------------------------------------------------------------

EVIL = [
    *(
        "..",
        ".",
        "",
        "a/../b",
        "%2e%2e",
        "%252e%252e",
        "m?x=1",
        "m#x",
        "m\\..\\x",
        "//host/x",
        "a//b",
        "m\r\nx: y",
    ),
    *("m\x00", "m\x7f", "m\u2028", "x" * 20_000, "/etc", "../../admin", "m%2f..", "\u2215..", "m /x"),
]
IN_PATH = [("azure", "chat"), ("azure", "embedding"), ("gemini", "chat"), ("gemini", "count_tokens")] + [
    *(("vertex", "embedding"), ("bedrock", "chat"), ("bedrock", "embedding"))
]


@pytest.mark.parametrize(("name", "operation"), IN_PATH)
@pytest.mark.parametrize("model", EVIL)
def test_a_model_never_leaves_its_segment(
    name: str, operation: str, model: str, provider_of: MakeProvider
) -> None:
    provider = provider_of(name, environ_of(name))
    pattern = re.escape(str(url_of(provider, operation, "MODEL"))).replace("MODEL", "[A-Za-z0-9%._~-]+")
    url, refused = url_or_refusal(provider, operation, model)
    if url is None:
        assert refused == "bad_request" or provider.wire(operation, model) is None
        return
    assert re.fullmatch(pattern, url)
    assert "/.." not in url
    assert not re.search(r"%2e|%00|%0d|%0a|%5c|%3f|%23|%25", url, re.IGNORECASE)


def url_or_refusal(provider: Provider, operation: str, model: str) -> tuple[str | None, str | None]:
    try:
        return url_of(provider, operation, model), None
    except GatewayError as error:
        return None, error.kind.name


@pytest.mark.parametrize("name", ["gemini", "vertex"])
@pytest.mark.parametrize(
    "model", ["gemini-2.5-pro:streamGenerateContent", "gemini-x:cancel", "gemini-x%3Acancel"]
)
def test_a_model_never_chooses_the_verb(name: str, model: str, provider_of: MakeProvider) -> None:
    with pytest.raises(GatewayError, match="must not contain"):
        url_of(provider_of(name, environ_of(name)), "chat", model)


@pytest.mark.parametrize(
    ("name", "variable"),
    [("bedrock", "AWS_REGION"), ("vertex", "VERTEX_LOCATION"), ("vertex", "VERTEX_PROJECT")],
)
@pytest.mark.parametrize("value", ["evil.example/", "a.b", "x@host", "x#", "../y", "eu_west"])
def test_a_part_of_the_host_is_one_dns_label(
    name: str, variable: str, value: str, provider_of: MakeProvider
) -> None:
    provider = provider_of(name, {**environ_of(name), variable: value})
    if variable == "VERTEX_PROJECT" and value in ("a.b", "eu_west"):
        return  # harmless in a path
    with pytest.raises(GatewayError) as caught:
        url_of(provider, "chat", MODELS[name])
    assert caught.value.kind.name == "bad_request"
