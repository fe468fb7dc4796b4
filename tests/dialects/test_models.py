"""Model lists: every recorded one, paging, and the list that clients are shown."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import Model

from app.canonical.media import ModelEntry, ModelPage
from app.dialects import models
from app.dialects.models import DIALECT, ListForm, page
from app.errors import GatewayError
from tests.dialects import generic
from tests.traffic import load
from tests.traffic.answers import Catalogue, extract
from tests.traffic.load import Exchange

FORMS: dict[str, ListForm] = {
    "openai.models": models.OPENAI,
    "anthropic.models": models.ANTHROPIC,
    "bedrock.list_foundation_models": models.BEDROCK,
    "cerebras.openai.models": models.OPENAI,
    "gemini.models": models.GEMINI,
    "groq.openai.models": models.OPENAI,
    "mistral.models": models.OPENAI,
    "ollama.tags": models.OLLAMA,
    "openrouter.openai.models": models.OPENAI,
    "perplexity.openai.models": models.OPENAI,
    "sgl.openai.models": models.OPENAI,
}
FOUND = load.exchanges(FORMS)
LISTS = [exchange for exchange in FOUND if exchange.status == 200]


def reading(form: ListForm) -> Any:
    return generic.client_context(options=form)


@pytest.mark.parametrize("exchange", load.params(LISTS))
def test_ids_are_read_as_the_extractor_reads_them(exchange: Exchange) -> None:
    told = extract(exchange)
    assert isinstance(told, Catalogue)
    got = DIALECT.decode_page(exchange.json(), reading(FORMS[exchange.api]))
    assert [model.id for model in got.models] == [name.removeprefix("models/") for name in told.ids]
    shown = DIALECT.encode_list(got.models)
    assert [Model.model_validate(model, strict=True).id for model in shown["data"]] == [
        m.id for m in got.models
    ]


@pytest.mark.parametrize("exchange", load.params(LISTS))
def test_a_form_is_known_by_its_shape(exchange: Exchange) -> None:
    guess, form = reading(None), reading(FORMS[exchange.api])  # type: ignore[arg-type]
    assert DIALECT.decode_page(exchange.json(), guess) == DIALECT.decode_page(exchange.json(), form)


@pytest.mark.parametrize("exchange", load.params([e for e in FOUND if e.status >= 400]))
def test_errors_keep_their_words(exchange: Exchange) -> None:
    told = extract(exchange).error
    assert told is not None
    body = exchange.response["body"]
    error = DIALECT.decode_error(exchange.status, body, {})
    assert (error.kind.name, error.message[:15]) == ("upstream_auth", told.message[:15])


KNOWN: list[tuple[str, str, ModelEntry]] = [
    ("anthropic.models", "claude-opus-5", ModelEntry("claude-opus-5", 1784851200, None, "Claude Opus 5", 1_000_000, 128_000)),
    ("gemini.models", "gemini-2.5-flash", ModelEntry("gemini-2.5-flash", None, None, "Gemini 2.5 Flash", 1_048_576, 65_536)),
    (
        "bedrock.list_foundation_models", "nvidia.nemotron-nano-12b-v2",
        ModelEntry("nvidia.nemotron-nano-12b-v2", None, "NVIDIA", "NVIDIA Nemotron Nano 12B v2 VL BF16", None, 131_072),
    ),
    ("groq.openai.models", "groq/compound-mini", ModelEntry("groq/compound-mini", None, "Groq", "Compound Mini", 131_072, 8_192)),
    (
        "openrouter.openai.models", "anthropic/claude-sonnet-4",
        ModelEntry("anthropic/claude-sonnet-4", 1747930371, None, "Anthropic: Claude Sonnet 4", 1_000_000, 64_000),
    ),
    (
        "mistral.models", "mistral-medium-2505",
        ModelEntry("mistral-medium-2505", 1767131075, "mistralai", "mistral-medium-2505", 131_072),
    ),
    ("sgl.openai.models", "ling-v3-flash-int4", ModelEntry("ling-v3-flash-int4", 1786799113, "sglang", None, 262_144)),
    ("ollama.tags", "all-minilm:latest", ModelEntry("all-minilm:latest", 1781914540, None, "all-minilm:latest")),
]  # fmt: skip


@pytest.mark.parametrize(("api", "identifier", "entry"), KNOWN)
def test_what_a_list_says_of_a_model(api: str, identifier: str, entry: ModelEntry) -> None:
    exchanges = [e for e in LISTS if e.api == api and e.fidelity != "made"]
    if not exchanges:
        load.require()
    listed = DIALECT.decode_page(exchanges[0].json(), reading(FORMS[api])).models
    found = next(model for model in listed if model.id == identifier)
    told = ModelEntry(
        found.id, found.created, found.owned_by, found.name, found.context_length, found.max_output_tokens
    )
    assert told == entry


PAGES: list[tuple[ListForm, Any, dict[str, str] | None]] = [
    (models.GEMINI, {"models": [], "nextPageToken": "t"}, {"pageToken": "t"}),
    (models.GEMINI, {"models": []}, None),
    (models.VERTEX, {"publisherModels": [], "nextPageToken": "t"}, {"pageToken": "t"}),
    (models.COHERE, {"models": [], "next_page_token": "t"}, {"page_token": "t"}),
    (models.ANTHROPIC, {"data": [], "has_more": True, "last_id": "c"}, {"after_id": "c"}),
    (models.ANTHROPIC, {"data": [], "has_more": False, "last_id": "c"}, None),
    (models.OPENAI, {"data": []}, None),
]


@pytest.mark.parametrize(("form", "body", "query"), PAGES)
def test_the_next_page(form: ListForm, body: Any, query: dict[str, str] | None) -> None:
    assert DIALECT.decode_page(body, reading(form)) == ModelPage((), query)


def test_error_shapes() -> None:
    google = {
        "error": {
            "code": 400,
            "message": "bad key",
            "status": "INVALID_ARGUMENT",
            "details": [{"reason": "API_KEY_INVALID"}],
        }
    }
    assert DIALECT.decode_error(400, google, {}).kind.name == "upstream_auth"
    eleven = {"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}
    assert DIALECT.decode_error(401, eleven, {}).message == "Invalid API key"
    assert DIALECT.decode_error(500, {"message": "boom"}, {}).message == "boom"


def test_lists_no_recording_shows() -> None:
    azure = {
        "data": [
            {"id": "a", "status": "succeeded", "created_at": 5, "lifecycle_status": "preview"},
            {"id": "b", "status": "failed"},
        ]
    }
    for form in (models.AZURE, None):
        assert [m.id for m in DIALECT.decode_page(azure, reading(form)).models] == ["a"]  # type: ignore[arg-type]
    eleven = [{"model_id": "eleven_v3", "name": "Eleven v3"}, {"name": "nameless"}, 5]
    (model,) = DIALECT.decode_page(eleven, reading(models.ELEVENLABS)).models
    assert (model.id, model.name) == ("eleven_v3", "Eleven v3")
    vertex = {"publisherModels": [{"name": "publishers/google/models/gemini-2.5-pro"}]}
    assert DIALECT.decode_page(vertex, reading(models.VERTEX)).models[0].id == "gemini-2.5-pro"


@pytest.mark.parametrize(
    "body", [None, 5, [], {}, {"data": None}, {"data": {}}, {"error": {"message": "no", "code": 401}}]
)
def test_what_is_no_list_is_refused(body: Any) -> None:
    with pytest.raises(GatewayError):
        DIALECT.decode_page(body, reading(models.OPENAI))


def test_the_clients_list() -> None:
    known = ModelEntry(
        "p/a", 5, "o", "A", 10, 3, {"pricing": {"prompt": "1"}, "supportedGenerationMethods": ["x"], "y": 1}
    )
    body = DIALECT.encode_list([known, ModelEntry("p/b")])
    assert body == {
        "object": "list",
        "data": [
            {
                "id": "p/a",
                "object": "model",
                "created": 5,
                "owned_by": "o",
                "name": "A",
                "context_length": 10,
                "max_output_tokens": 3,
                "supported_methods": ["x"],
                "pricing": {"prompt": "1"},
            },
            {"id": "p/b", "object": "model", "created": 0, "owned_by": ""},
        ],
    }


def test_pages_of_the_clients_list() -> None:
    entries = [ModelEntry(name) for name in "abcd"]
    assert page(entries, None, None) == (entries, None)
    assert page(entries, 2, None) == (entries[:2], True)
    assert page(entries, 2, "b") == (entries[2:], False)
    assert page(entries, None, "a") == (entries[1:], False)
    shown = DIALECT.encode_list(entries[:2], has_more=True)
    assert (shown["first_id"], shown["last_id"], shown["has_more"]) == ("a", "b", True)
    with pytest.raises(GatewayError):
        page(entries, 2, "z")
