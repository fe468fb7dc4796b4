"""What pages 000 and 001 share: the same body and answer at two addresses."""

from __future__ import annotations

from typing import Any

REQUEST = """
{
"model": "<string>",
"input": "<string>",
"fallbacks": [
"<string>"
],
"stream": true,
"background": true,
"conversation": "<string>",
"include": [
"<string>"
],
"instructions": "<string>",
"max_output_tokens": 123,
"max_tool_calls": 123,
"metadata": {},
"parallel_tool_calls": true,
"previous_response_id": "<string>",
"prompt_cache_key": "<string>",
"reasoning": {
"effort": "<string>"
},
"safety_identifier": "<string>",
"service_tier": "<string>",
"stream_options": {
"include_usage": true
},
"store": true,
"temperature": 123,
"text": {
"max_tokens": 123
},
"top_logprobs": 123,
"top_p": 123,
"tool_choice": "auto",
"tools": [
{
"type": "function",
"function": {
"name": "<string>",
"arguments": {}
}
}
],
"truncation": "<string>"
}
"""

EXTRA_FIELDS = """
"extra_fields": {
"provider": "openai",
"request_type": "list_models",
"model_requested": "<string>",
"model_params": {
"temperature": 0.7,
"top_p": 0.9,
"top_k": 40,
"max_tokens": 1000,
"stop_sequences": [
"\\n\\n",
"END"
],
"presence_penalty": 0,
"frequency_penalty": 0,
"tools": [
{
"type": "function",
"function": {
"name": "get_weather",
"description": "Get current weather for a location",
"parameters": {
"type": "object",
"description": "<string>",
"properties": {},
"required": [
"<string>"
],
"enum": [
"<string>"
]
}
},
"id": "<string>"
}
],
"tool_choice": {
"type": "auto",
"function": {
"name": "get_weather"
}
},
"parallel_tool_calls": true
},
"latency": 1234,
"billed_usage": {
"prompt_tokens": 123,
"completion_tokens": 123,
"search_units": 123,
"classifications": 123
},
"raw_response": {}
}
"""

OWN_MEMBERS = """
"conversation_id": "<string>",
"finish_reason": "<string>",
"stop_reason": "<string>",
"stop_sequence": "<string>",
"""

PROVIDERS = (
    "openai, anthropic, azure, bedrock, cohere, vertex, mistral, ollama, gemini, groq, openrouter, sgl, "
    "parasail, elevenlabs, perplexity, cerebras"
)
REQUEST_TYPES = (
    "list_models, text_completion, chat_completion, chat_completion_stream, responses, responses_stream, "
    "embedding, speech, speech_stream, transcription, transcription_stream"
)
TOOL_CHOICES = "auto, any, none, required, tool"

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "w",
        "parameters": {"type": "object"},
        "arguments": {},
    },
}

GIVEN: dict[str, Any] = {
    # member of the page: a real value for it (conversation and previous_response_id are made by the test)
    "input": "say exactly: hello",
    "fallbacks": ["sandbox/other"],
    "include": ["reasoning.encrypted_content"],
    "instructions": "Be brief.",
    "max_output_tokens": 123,
    "max_tool_calls": 12,
    "metadata": {"a": "b"},
    "parallel_tool_calls": True,
    "prompt_cache_key": "key",
    "reasoning": {"effort": "low"},
    "safety_identifier": "user-1",
    "service_tier": "auto",
    "store": True,
    "temperature": 1.2,
    "text": {"max_tokens": 123},
    "top_logprobs": 3,
    "top_p": 0.9,
    "tool_choice": "auto",
    "tools": [TOOL],
    "truncation": "auto",
}

ECHOED = {
    # members that the answer shows as the caller sent them
    "instructions": "Be brief.",
    "max_output_tokens": 123,
    "max_tool_calls": 12,
    "metadata": {"a": "b"},
    "parallel_tool_calls": True,
    "prompt_cache_key": "key",
    "safety_identifier": "user-1",
    "store": True,
    "temperature": 1.2,
    "top_logprobs": 3,
    "top_p": 0.9,
    "tool_choice": "auto",
    "truncation": "auto",
}

SHAPE = {
    # what every JSON answer holds: the genuine Responses object, the page's own members, the envelope
    "id": "string",
    "object": "string",
    "status": "string",
    "output": "array",
    "output[].type": "string",
    "model": "string",
    "created": "number",
    "created_at": "number",
    "service_tier": "string",
    "conversation_id": "string|null",
    "finish_reason": "string",
    "stop_reason": "string|null",
    "stop_sequence": "string|null",
    "usage.input_tokens": "number",
    "usage.output_tokens": "number",
    "usage.total_tokens": "number",
    "usage.cost": "number|null",
    "usage.output_tokens_details.reasoning_tokens": "number",
    "usage.input_tokens_details.cached_tokens": "number",
    "usage.input_tokens_details.cache_write_tokens": "number",
    "extra_fields.provider": "string",
    "extra_fields.request_type": "string",
    "extra_fields.model_requested": "string",
    "extra_fields.original_model_requested": "string",
    "extra_fields.model_deployment": "string",
    "extra_fields.resolved_model_used": "string",
    "extra_fields.latency": "number",
    "extra_fields.chunk_index": "number",
    "extra_fields.model_params": "object",
    "extra_fields.billed_usage.prompt_tokens": "number",
    "extra_fields.billed_usage.completion_tokens": "number",
}
