"""The member of a client's body that holds a feature, by dialect; reports of losses name it.

A feature that is not listed is a member of its own name. A feature within messages or tools is
reported under the member that holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_IN_MESSAGES: Final = (
    "reasoning_signature",
    "reasoning_history",
    "content",
    "image",
    "audio",
    "file",
    "file_id",
    "image_detail",
    "tool_result",
    "tool_arguments",
    "opaque_input",
    "hosted_item",
    "message_name",
    "message_role",
    "message_text",
    "file_form",
)
_IN_TOOLS: Final = ("hosted_tool", "custom_tool", "tool_schema", "tool_strict")
_IN_CHOICE: Final = ("forced_tool", "tool_choice")
_IN_FORM: Final = ("output_schema", "output_json", "output_constraint")


def _paths(
    further: Mapping[str, str], *, messages: str = "messages", tools: str = "tools", choice: str, form: str
) -> Mapping[str, str]:
    return {
        **dict.fromkeys(_IN_MESSAGES, messages),
        **dict.fromkeys(_IN_TOOLS, tools),
        **dict.fromkeys(_IN_CHOICE, choice),
        **dict.fromkeys(_IN_FORM, form),
        **further,
    }


_RESPONSES: Final = {
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "reasoning_budget": "reasoning.max_tokens",
    "reasoning_summary": "reasoning.summary",
    "verbosity": "text.verbosity",
    "logprobs": "include",
}
_CHAT: Final = {
    "max_tokens": "max_completion_tokens",
    "reasoning_budget": "reasoning.max_tokens",
    "reasoning_summary": "reasoning.summary",
    "audio_transcript": "modalities",
}
_MESSAGES: Final = {
    "reasoning_effort": "output_config.effort",
    "reasoning_budget": "thinking",
    "reasoning_summary": "thinking",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}
_GEMINI: Final = {
    "max_tokens": "generationConfig.maxOutputTokens",
    "temperature": "generationConfig.temperature",
    "top_p": "generationConfig.topP",
    "top_k": "generationConfig.topK",
    "n": "generationConfig.candidateCount",
    "seed": "generationConfig.seed",
    "stop": "generationConfig.stopSequences",
    "presence_penalty": "generationConfig.presencePenalty",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "logprobs": "generationConfig.responseLogprobs",
    "top_logprobs": "generationConfig.logprobs",
    "modalities": "generationConfig.responseModalities",
    "audio_transcript": "generationConfig.responseModalities",
    "voice": "generationConfig.speechConfig",
    "speakers": "generationConfig.speechConfig.multiSpeakerVoiceConfig",
    "audio_format": "generationConfig.speechConfig",
    "reasoning_effort": "generationConfig.thinkingConfig.thinkingLevel",
    "reasoning_budget": "generationConfig.thinkingConfig.thinkingBudget",
    "reasoning_summary": "generationConfig.thinkingConfig.includeThoughts",
    "service_tier": "serviceTier",
    **{name: f"generationConfig.{name}" for name in ("mediaResolution", "speechConfig", "imageConfig")},
    **{name: f"generationConfig.{name}" for name in ("audioTimestamp", "routingConfig")},
}
_CONVERSE: Final = {
    "max_tokens": "inferenceConfig.maxTokens",
    "temperature": "inferenceConfig.temperature",
    "top_p": "inferenceConfig.topP",
    "stop": "inferenceConfig.stopSequences",
    "top_k": "additionalModelRequestFields.top_k",
    "reasoning_effort": "outputConfig.effort",
    "reasoning_budget": "additionalModelRequestFields.thinking",
    "reasoning_summary": "additionalModelRequestFields.thinking",
    "service_tier": "serviceTier",
}
_COHERE: Final = {
    "top_p": "p",
    "top_k": "k",
    "stop": "stop_sequences",
    "reasoning_effort": "thinking",
    "reasoning_budget": "thinking.token_budget",
    "tool_strict": "strict_tools",
}

LOSS_PATHS: Final[Mapping[str, Mapping[str, str]]] = {
    "responses": _paths(_RESPONSES, messages="input", choice="tool_choice", form="text.format"),
    "chat": _paths(_CHAT, choice="tool_choice", form="response_format"),
    "messages": _paths(_MESSAGES, choice="tool_choice", form="output_config.format"),
    "gemini": _paths(
        _GEMINI, messages="contents", choice="toolConfig", form="generationConfig.responseSchema"
    ),
    "converse": _paths(
        _CONVERSE, tools="toolConfig.tools", choice="toolConfig.toolChoice", form="outputConfig.textFormat"
    ),
    "cohere": _paths(_COHERE, choice="tool_choice", form="response_format"),
}

CONTAINERS: Final = frozenset({"messages", "input", "contents", "tools", "toolConfig.tools"})
"""Members that hold so many things that a report names the feature rather than the member."""
