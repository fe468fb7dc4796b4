"""Model lists in the forms of Anthropic, Gemini, Bedrock and Cohere."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from anthropic.types import ModelInfo
from cohere.types import ListModelsResponse
from google.genai import types as google

from app.canonical.media import ModelEntry
from app.dialects.model_forms import MODEL_FORMS
from app.errors import GatewayError

MODELS = [
    ModelEntry("claude-x", 1_700_000_000, "anthropic", "Claude X", 200_000, 64_000),
    ModelEntry("openai/gpt", owned_by="openai"),
    ModelEntry("embed-y"),
]
UNKNOWN = {"lifecycle": "active", "max_input_tokens": None, "max_tokens": None, "capabilities": None}


def ids(form: str, query: dict[str, str]) -> list[str]:
    body = MODEL_FORMS[form].encode_list(MODELS, query)
    member, name = {"messages": ("data", "id"), "gemini": ("models", "name"), "cohere": ("models", "name")}[
        form
    ]
    return [model[name].removeprefix("models/") for model in body[member]]


def test_anthropics_list() -> None:
    body = MODEL_FORMS["messages"].encode_list(MODELS, {})
    assert body["data"][:2] == [
        {
            "type": "model",
            "id": "claude-x",
            "display_name": "Claude X",
            "created_at": "2023-11-14T22:13:20Z",
            "lifecycle": "active",
            "max_input_tokens": 200_000,
            "max_tokens": 64_000,
            "capabilities": None,
        },
        {
            "type": "model",
            "id": "openai/gpt",
            "display_name": "openai/gpt",
            "created_at": "1970-01-01T00:00:00Z",
            **UNKNOWN,
        },
    ]
    assert (body["has_more"], body["first_id"], body["last_id"]) == (False, "claude-x", "embed-y")
    for model in body["data"]:
        ModelInfo.model_validate(model)


def test_geminis_list() -> None:
    body = MODEL_FORMS["gemini"].encode_list(MODELS, {})
    assert body == {
        "models": [
            {
                "name": "models/claude-x",
                "displayName": "Claude X",
                "inputTokenLimit": 200_000,
                "outputTokenLimit": 64_000,
                "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
            },
            {
                "name": "models/openai/gpt",
                "displayName": "openai/gpt",
                "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
            },
            {
                "name": "models/embed-y",
                "displayName": "embed-y",
                "supportedGenerationMethods": ["embedContent", "batchEmbedContents"],
            },
        ]
    }
    for model in body["models"]:
        google.Model.model_validate({k: v for k, v in model.items() if k != "supportedGenerationMethods"})


def test_bedrocks_list() -> None:
    body = MODEL_FORMS["converse"].encode_list(MODELS, {"byProvider": "Anthropic"})
    assert body == {
        "modelSummaries": [
            {
                "modelArn": "arn:aws:bedrock:::foundation-model/claude-x",
                "modelId": "claude-x",
                "modelName": "Claude X",
                "providerName": "anthropic",
                "responseStreamingSupported": True,
                "modelLifecycle": {"status": "ACTIVE"},
            }
        ]
    }
    service = botocore.session.get_session().get_service_model("bedrock")
    known = (
        service.operation_model("ListFoundationModels").output_shape.members["modelSummaries"].member.members
    )
    assert set(body["modelSummaries"][0]) <= set(known)


def test_coheres_list() -> None:
    body = MODEL_FORMS["cohere"].encode_list(MODELS, {"endpoint": "embed"})
    assert body == {
        "models": [{"name": "embed-y", "is_deprecated": False, "endpoints": ["embed"], "finetuned": False}]
    }
    ListModelsResponse.model_validate(body)


PAGES: list[tuple[str, dict[str, str], list[str]]] = [
    ("messages", {"limit": "1"}, ["claude-x"]),
    ("messages", {"limit": "1", "after_id": "claude-x"}, ["openai/gpt"]),
    ("messages", {"limit": "1", "before_id": "embed-y"}, ["openai/gpt"]),
    ("gemini", {"pageSize": "2"}, ["claude-x", "openai/gpt"]),
    ("gemini", {"pageSize": "2", "pageToken": "openai/gpt"}, ["embed-y"]),
    ("cohere", {"page_size": "1", "page_token": "claude-x"}, ["openai/gpt"]),
]


@pytest.mark.parametrize(("form", "query", "want"), PAGES)
def test_a_page_is_what_was_asked_for(form: str, query: dict[str, str], want: list[str]) -> None:
    assert ids(form, query) == want


def test_the_next_page_is_named_while_there_is_one() -> None:
    first = MODEL_FORMS["gemini"].encode_list(MODELS, {"pageSize": "2"})
    assert first["nextPageToken"] == "openai/gpt"
    assert "nextPageToken" not in MODEL_FORMS["gemini"].encode_list(MODELS, {"pageSize": "3"})
    assert MODEL_FORMS["messages"].encode_list(MODELS, {"limit": "2"})["has_more"] is True
    assert MODEL_FORMS["messages"].encode_list([], {})["first_id"] is None


FAULTS: list[tuple[str, dict[str, str], str]] = [
    ("messages", {"limit": "0"}, "limit"),
    ("messages", {"limit": "x"}, "limit"),
    ("messages", {"after_id": "none"}, "after_id"),
    ("gemini", {"pageSize": "-1"}, "pageSize"),
    ("gemini", {"pageToken": "none"}, "pageToken"),
    ("cohere", {"page_size": "9" * 5000}, "page_size"),
]


@pytest.mark.parametrize(("form", "query", "param"), FAULTS)
def test_a_query_that_cannot_be_read_is_refused_by_name(form: str, query: dict[str, str], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        MODEL_FORMS[form].encode_list(MODELS, query)
    assert (caught.value.kind.name, caught.value.param) == ("bad_request", param)


@pytest.mark.parametrize("form", MODEL_FORMS)
def test_one_model_alone_has_the_form_it_has_in_a_list(form: str) -> None:
    alone: Any = MODEL_FORMS[form].encode_model(MODELS[0])
    listed: Any = next(
        value for value in MODEL_FORMS[form].encode_list(MODELS, {}).values() if isinstance(value, list)
    )
    assert alone.get("modelDetails", alone) == listed[0]
