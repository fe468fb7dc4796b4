"""The vendors' own request types, by provider and wire, as judges of what goes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cerebras.cloud.sdk.types.chat.completion_create_params import CompletionCreateParams as CerebrasChat
from groq.types.chat.completion_create_params import CompletionCreateParams as GroqChat
from mistralai.client import models as mistral
from openai.types import CompletionCreateParams, EmbeddingCreateParams, ModerationCreateParams
from openai.types.audio import SpeechCreateParams
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as OpenAIChat
from openai.types.image_generate_params import ImageGenerateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as OpenAIResponses
from openrouter.components.chatrequest import ChatRequest
from openrouter.components.imagegenerationrequest import ImageGenerationRequest
from openrouter.components.responsesrequest import ResponsesRequest
from perplexity.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming as PerplexityChat,
)

from tests.dialects import test_cohere_requests as cohere
from tests.dialects import test_converse_requests as converse
from tests.dialects import test_gemini_requests as gemini
from tests.dialects import test_messages_requests as messages
from tests.dialects import typed

Judge = Callable[[dict[str, Any], str], list[str]]


def _typed(wanted: Any) -> Judge:
    def judge(body: dict[str, Any], model: str) -> list[str]:
        return typed.faults({name: value for name, value in body.items() if name != "stream"}, wanted)

    return judge


def _asserted(check: Callable[..., None], *, with_model: bool = False) -> Judge:
    def judge(body: dict[str, Any], model: str) -> list[str]:
        try:
            check(body, model) if with_model else check(body)
        except AssertionError as error:
            return [str(error)[:600]]
        except ValueError as error:  # pydantic's
            return [str(error)[:600]]
        return []

    return judge


def _mistral_chat(body: dict[str, Any]) -> None:
    read = mistral.ChatCompletionRequest.model_validate(body)
    assert body.keys() <= {field.alias or name for name, field in type(read).model_fields.items()}
    assert cohere.unknown(read) == []


def _mistral_moderation(body: dict[str, Any]) -> None:
    read = mistral.ClassificationRequest.model_validate(body)
    assert body.keys() <= {field.alias or name for name, field in type(read).model_fields.items()}


def _perplexity(body: dict[str, Any], model: str) -> list[str]:
    """Their type of a tool's parameters names three of JSON Schema's words; any schema is taken."""
    tools = [
        {**tool, "function": {**tool["function"], "parameters": {"type": "object", "properties": {}}}}
        for tool in body.get("tools", ())
    ]
    return _typed(PerplexityChat)({**body, **({"tools": tools} if tools else {})}, model)


def _self_hosted(body: dict[str, Any], model: str) -> list[str]:
    """OpenAI's type, beside which vLLM, SGLang and Ollama know earlier reasoning in a message."""
    hidden = ("reasoning", "reasoning_content")
    turns = [{k: v for k, v in message.items() if k not in hidden} for message in body["messages"]]
    return _typed(OpenAIChat)({**body, "messages": turns}, model)


def _groq(body: dict[str, Any], model: str) -> list[str]:
    """``stream_options`` is taken (recorded), though their type does not list it."""
    return _typed(GroqChat)({k: v for k, v in body.items() if k != "stream_options"}, model)


def _openrouter(wanted: Any) -> Judge:
    """Their models leave out what they do not know, so the members are compared as well."""

    def check(body: dict[str, Any]) -> None:
        read = wanted.model_validate(body)
        assert body.keys() <= {field.alias or name for name, field in wanted.model_fields.items()}
        assert cohere.unknown(read) == []

    return _asserted(check)


JUDGES: Mapping[tuple[str, str], Judge] = {
    ("openai", "chat"): _typed(OpenAIChat),
    ("azure", "chat"): _typed(OpenAIChat),
    ("parasail", "chat"): _self_hosted,
    ("sgl", "chat"): _self_hosted,
    ("ollama", "chat"): _self_hosted,
    ("groq", "chat"): _groq,
    ("cerebras", "chat"): _typed(CerebrasChat),
    ("perplexity", "chat"): _perplexity,
    ("openrouter", "chat"): _openrouter(ChatRequest),
    ("mistral", "chat"): _asserted(_mistral_chat),
    ("openai", "responses"): _typed(OpenAIResponses),
    ("azure", "responses"): _typed(OpenAIResponses),
    ("openrouter", "responses"): _openrouter(ResponsesRequest),
    ("openai", "completions"): _typed(CompletionCreateParams),
    ("azure", "completions"): _typed(CompletionCreateParams),
    ("openai", "embeddings_openai"): _typed(EmbeddingCreateParams),
    ("azure", "embeddings_openai"): _typed(EmbeddingCreateParams),
    ("openai", "images"): _typed(ImageGenerateParamsNonStreaming),
    ("azure", "images"): _typed(ImageGenerateParamsNonStreaming),
    ("openrouter", "images"): _openrouter(ImageGenerationRequest),
    ("openai", "moderations"): _typed(ModerationCreateParams),
    ("mistral", "moderations"): _asserted(_mistral_moderation),
    ("openai", "openai_speech"): _typed(SpeechCreateParams),
    ("azure", "openai_speech"): _typed(SpeechCreateParams),
}
BY_DIALECT: Mapping[str, Judge] = {
    "messages": _asserted(messages.assert_published, with_model=True),
    "gemini": _asserted(gemini.assert_published),
    "converse": _asserted(converse.assert_published, with_model=True),
    "cohere": _asserted(cohere.assert_published),
}


def judge(provider: str, dialect: str) -> Judge | None:
    """The judge of a wire; None where no vendor publishes types for it."""
    return JUDGES.get((provider, dialect)) or BY_DIALECT.get(dialect)
