"""The JSON of answers as OpenAPI schemas.

They list the members on which a client can rely; objects may have more, so no schema is closed.
Sources: OpenAI's published description of the Responses API, and pages 000 to 004.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Shape = Mapping[str, Any]

TEXT: Final[Shape] = {"type": "string"}
TEXT_OR_NULL: Final[Shape] = {"type": ["string", "null"]}
WHOLE: Final[Shape] = {"type": "integer"}
NUMBER: Final[Shape] = {"type": "number"}
NUMBER_OR_NULL: Final[Shape] = {"type": ["number", "null"]}
FLAG: Final[Shape] = {"type": "boolean"}
TABLE: Final[Shape] = {"type": "object"}


def ref(name: str) -> Shape:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def array_of(item: Shape) -> Shape:
    """Return an array of ``item``."""
    return {"type": "array", "items": item}


def record(properties: Mapping[str, Shape], optional: Sequence[str] = ()) -> Shape:
    """Return an object that has all ``properties`` but the ``optional`` ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def always(value: str) -> Shape:
    """Return the schema of one fixed text."""
    return {"type": "string", "const": value}


_COST: Final = (
    "input_tokens_cost",
    "output_tokens_cost",
    "reasoning_tokens_cost",
    "request_cost",
    "total_cost",
)

_TIME: Final[Shape] = {"type": ["integer", "null"]}
_TIMES: Final = (
    *("in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at"),
    *("expired_at", "cancelling_at", "cancelled_at"),
)
_LIST: Final[Mapping[str, Shape]] = {
    "object": always("list"),
    "first_id": TEXT_OR_NULL,
    "last_id": TEXT_OR_NULL,
    "has_more": FLAG,
}

SHAPES: Final[Mapping[str, Shape]] = {
    "Error": record(
        {
            "error": record(
                {
                    "message": TEXT,
                    "type": TEXT,
                    "param": TEXT_OR_NULL,
                    "code": TEXT_OR_NULL,
                    "details": array_of(TABLE),
                },
                optional=("details",),
            ),
            "is_bifrost_error": FLAG,
            "status_code": WHOLE,
            "extra_fields": TABLE,
        },
        optional=("is_bifrost_error", "status_code", "extra_fields"),
    ),
    "GoogleError": record(
        {
            "error": record(
                {"code": WHOLE, "message": TEXT, "status": TEXT, "details": array_of(TABLE)}, ("details",)
            )
        }
    ),
    "AwsError": record({"message": TEXT}),
    "MessagesError": record(
        {"type": always("error"), "error": record({"type": TEXT, "message": TEXT}), "request_id": TEXT}
    ),
    "CohereError": record({"message": TEXT, "id": TEXT}),
    "ExtraFields": record(
        {
            "request_type": TEXT_OR_NULL,
            "provider": TEXT_OR_NULL,
            "model_requested": TEXT_OR_NULL,
            "original_model_requested": TEXT_OR_NULL,
            "model_deployment": TEXT_OR_NULL,
            "resolved_model_used": TEXT_OR_NULL,
            "latency": {"type": "integer", "description": "milliseconds"},
            "chunk_index": WHOLE,
            "model_params": TABLE,
            "billed_usage": {"type": ["object", "null"]},
            "attempts": array_of(TABLE),
            "warnings": array_of(record({"param": TEXT, "message": TEXT})),
            "cache_debug": TABLE,
            "raw_request": {},
            "raw_response": {},
        },
        optional=(
            *("original_model_requested", "latency", "chunk_index", "model_params", "billed_usage"),
            *("attempts", "warnings", "cache_debug", "raw_request", "raw_response"),
        ),
    ),
    "PageMembers": record(
        {
            "conversation_id": TEXT_OR_NULL,
            "finish_reason": TEXT_OR_NULL,
            "stop_reason": TEXT_OR_NULL,
            "stop_sequence": TEXT_OR_NULL,
            "created": WHOLE,
        }
    ),
    "Cost": record(
        {**dict.fromkeys(_COST, NUMBER_OR_NULL), "source": {"enum": ["provider", "config", "catalogue"]}},
        _COST[:-1],
    ),
    "ResponseUsage": record(
        {
            "input_tokens": WHOLE,
            "input_tokens_details": record({"cached_tokens": WHOLE, "cache_write_tokens": WHOLE}),
            "output_tokens": WHOLE,
            "output_tokens_details": record({"reasoning_tokens": WHOLE}),
            "total_tokens": WHOLE,
            "cost": NUMBER_OR_NULL,
            "cost_details": ref("Cost"),
        },
        optional=("cost_details",),
    ),
    "ChatUsage": record(
        {
            "prompt_tokens": WHOLE,
            "completion_tokens": WHOLE,
            "total_tokens": WHOLE,
            "prompt_tokens_details": TABLE,
            "completion_tokens_details": TABLE,
            "cost": {"anyOf": [NUMBER_OR_NULL, ref("Cost")]},
            "cost_details": ref("Cost"),
        },
        optional=("prompt_tokens_details", "completion_tokens_details", "cost_details"),
    ),
    "Item": record(
        {
            "id": TEXT,
            "type": TEXT,
            "status": TEXT,
            "role": TEXT,
            "content": {},
            "name": TEXT,
            "arguments": TEXT,
        },
        optional=("id", "status", "role", "content", "name", "arguments"),
    ),
    "Response": record(
        {
            "id": TEXT,
            "object": always("response"),
            "created_at": WHOLE,
            "completed_at": {"type": ["integer", "null"]},
            "status": {"enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]},
            "background": FLAG,
            "store": FLAG,
            "error": {"anyOf": [record({"code": TEXT, "message": TEXT}), {"type": "null"}]},
            "incomplete_details": {"anyOf": [record({"reason": TEXT}), {"type": "null"}]},
            "instructions": {"type": ["string", "array", "null"]},
            "max_output_tokens": {"type": ["integer", "null"]},
            "metadata": TABLE,
            "model": TEXT,
            "output": array_of(ref("Item")),
            "parallel_tool_calls": FLAG,
            "previous_response_id": TEXT_OR_NULL,
            "conversation": {"anyOf": [record({"id": TEXT}), {"type": "null"}]},
            "reasoning": {"type": ["object", "null"]},
            "service_tier": TEXT,
            "temperature": NUMBER,
            "text": TABLE,
            "tool_choice": {"type": ["string", "object"]},
            "tools": array_of(TABLE),
            "top_p": NUMBER,
            "truncation": TEXT,
            "usage": {"anyOf": [ref("ResponseUsage"), {"type": "null"}]},
        },
        optional=("conversation",),
    ),
    "ItemList": record({**_LIST, "data": array_of(ref("Item"))}),
    "DeletedResponse": record({"id": TEXT, "object": always("response"), "deleted": FLAG}),
    "InputTokens": record({"object": always("response.input_tokens"), "input_tokens": WHOLE}),
    "Compaction": record(
        {
            "id": TEXT,
            "object": always("response.compaction"),
            "created_at": WHOLE,
            "output": array_of(ref("Item")),
            "usage": ref("ResponseUsage"),
        }
    ),
    "Conversation": record(
        {"id": TEXT, "object": always("conversation"), "created_at": WHOLE, "metadata": TABLE}
    ),
    "DeletedConversation": record({"id": TEXT, "object": always("conversation.deleted"), "deleted": FLAG}),
    "ChatMessage": record(
        {
            "role": always("assistant"),
            "content": TEXT_OR_NULL,
            "refusal": TEXT_OR_NULL,
            "reasoning": TEXT_OR_NULL,
            "reasoning_details": array_of(TABLE),
            "annotations": array_of(TABLE),
            "tool_calls": array_of(
                record({"id": TEXT, "type": TEXT, "function": TABLE, "custom": TABLE}, ("function", "custom"))
            ),
            "audio": {"type": ["object", "null"]},
        },
        optional=("reasoning", "reasoning_details", "annotations", "tool_calls", "audio"),
    ),
    "ChatCompletion": record(
        {
            "id": TEXT,
            "object": always("chat.completion"),
            "created": WHOLE,
            "model": TEXT,
            "choices": array_of(
                record(
                    {
                        "index": WHOLE,
                        "finish_reason": TEXT,
                        "logprobs": {"type": ["object", "null"]},
                        "message": ref("ChatMessage"),
                    },
                    optional=("logprobs",),
                )
            ),
            "usage": ref("ChatUsage"),
            "service_tier": TEXT_OR_NULL,
            "system_fingerprint": TEXT_OR_NULL,
            "citations": array_of(TEXT),
            "search_results": array_of(TABLE),
            "videos": array_of(TABLE),
        },
        optional=("service_tier", "system_fingerprint", "citations", "search_results", "videos"),
    ),
    "TextCompletion": record(
        {
            "id": TEXT,
            "object": always("text_completion"),
            "created": WHOLE,
            "model": TEXT,
            "choices": array_of(record({"text": TEXT, "index": WHOLE, "finish_reason": TEXT_OR_NULL})),
            "usage": ref("ChatUsage"),
        }
    ),
    "Embeddings": record(
        {
            "object": always("list"),
            "data": array_of(
                record(
                    {
                        "object": always("embedding"),
                        "index": WHOLE,
                        "embedding": {"type": ["array", "string"]},
                    }
                )
            ),
            "model": TEXT,
            "usage": TABLE,
        }
    ),
    "Rerank": record(
        {
            "id": TEXT,
            "model": TEXT,
            "results": array_of(
                record({"index": WHOLE, "relevance_score": NUMBER, "document": TABLE}, optional=("document",))
            ),
            "usage": TABLE,
        }
    ),
    "Moderation": record(
        {
            "id": TEXT,
            "model": TEXT,
            "results": array_of(
                record(
                    {
                        "flagged": FLAG,
                        "categories": TABLE,
                        "category_scores": TABLE,
                        "category_applied_input_types": TABLE,
                    }
                )
            ),
            "usage": TABLE,
        }
    ),
    "Transcription": record(
        {
            "text": TEXT,
            "language": TEXT,
            "duration": NUMBER,
            "segments": array_of(TABLE),
            "words": array_of(TABLE),
            "usage": TABLE,
        },
        optional=("language", "duration", "segments", "words", "usage"),
    ),
    "Images": record(
        {
            "created": WHOLE,
            "data": array_of(
                record(
                    {"b64_json": TEXT, "url": TEXT, "revised_prompt": TEXT},
                    optional=("b64_json", "url", "revised_prompt"),
                )
            ),
            "background": TEXT,
            "output_format": TEXT,
            "quality": TEXT,
            "size": TEXT,
            "usage": TABLE,
        },
        optional=("background", "output_format", "quality", "size"),
    ),
    "Translation": record(
        {
            "text": TEXT,
            "task": always("translate"),
            "language": always("english"),
            "duration": NUMBER,
            "segments": array_of(TABLE),
            "usage": TABLE,
        },
        optional=("task", "language", "duration", "segments", "usage"),
    ),
    "Model": record(
        {"id": TEXT, "object": always("model"), "created": WHOLE, "owned_by": TEXT, "name": TEXT},
        optional=("name",),
    ),
    "ModelList": record(
        {"object": always("list"), "data": array_of(ref("Model")), "has_more": FLAG}, ("has_more",)
    ),
    "Key": record(
        {
            "id": TEXT,
            "object": always("key"),
            "name": TEXT,
            "tenant": TEXT,
            "prefix": TEXT_OR_NULL,
            "source": {"enum": ["config", "store"]},
            "enabled": FLAG,
            "expires_at": {"type": ["integer", "null"]},
            "models": {"type": ["array", "null"], "items": TEXT},
            "operations": {"type": ["array", "null"], "items": TEXT},
            "limits": array_of(TABLE),
            "budgets": array_of(TABLE),
            "metadata": TABLE,
            "created_at": {"type": ["integer", "null"]},
            "last_used_at": {"type": ["integer", "null"]},
            "rotated_at": {"type": ["integer", "null"]},
        },
        optional=(
            *("id", "prefix", "expires_at", "models", "operations", "limits", "budgets", "metadata"),
            *("created_at", "last_used_at", "rotated_at"),
        ),
    ),
    "Health": record({"status": TEXT}),
    "File": record(
        {
            "id": TEXT,
            "object": always("file"),
            "bytes": WHOLE,
            "created_at": WHOLE,
            "expires_at": _TIME,
            "filename": TEXT,
            "purpose": TEXT,
            "status": TEXT,
            "status_details": TEXT_OR_NULL,
        }
    ),
    "FileList": record({**_LIST, "data": array_of(ref("File"))}),
    "DeletedFile": record({"id": TEXT, "object": always("file"), "deleted": FLAG}),
    "Batch": record(
        {
            "id": TEXT,
            "object": always("batch"),
            "endpoint": TEXT,
            "errors": {
                "anyOf": [record({"object": always("list"), "data": array_of(TABLE)}), {"type": "null"}]
            },
            "input_file_id": TEXT,
            "completion_window": TEXT,
            "status": TEXT,
            "output_file_id": TEXT_OR_NULL,
            "error_file_id": TEXT_OR_NULL,
            "created_at": WHOLE,
            **dict.fromkeys(_TIMES, _TIME),
            "request_counts": record({"total": WHOLE, "completed": WHOLE, "failed": WHOLE}),
            "metadata": {"type": ["object", "null"]},
        }
    ),
    "BatchList": record({**_LIST, "data": array_of(ref("Batch"))}),
}
"""Components by name."""
