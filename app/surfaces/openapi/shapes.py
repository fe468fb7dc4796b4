"""The JSON of answers as OpenAPI schemas.

They list the members on which a client can rely; objects may have more, so no schema is closed.
Sources: OpenAI's published description of the Responses API, and answers of Bifrost and TrueFoundry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Shape = Mapping[str, Any]

STRING: Final[Shape] = {"type": "string"}
STRING_OR_NULL: Final[Shape] = {"type": ["string", "null"]}
INTEGER: Final[Shape] = {"type": "integer"}
NUMBER: Final[Shape] = {"type": "number"}
NUMBER_OR_NULL: Final[Shape] = {"type": ["number", "null"]}
BOOLEAN: Final[Shape] = {"type": "boolean"}
OBJECT: Final[Shape] = {"type": "object"}


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
    "first_id": STRING_OR_NULL,
    "last_id": STRING_OR_NULL,
    "has_more": BOOLEAN,
}

SHAPES: Final[Mapping[str, Shape]] = {
    "Error": record(
        {
            "error": record(
                {
                    "message": STRING,
                    "type": STRING,
                    "param": STRING_OR_NULL,
                    "code": STRING_OR_NULL,
                    "details": array_of(OBJECT),
                },
                optional=("details",),
            ),
            "is_bifrost_error": BOOLEAN,
            "status_code": INTEGER,
            "extra_fields": OBJECT,
        },
        optional=("is_bifrost_error", "status_code", "extra_fields"),
    ),
    "GoogleError": record(
        {
            "error": record(
                {"code": INTEGER, "message": STRING, "status": STRING, "details": array_of(OBJECT)},
                ("details",),
            )
        }
    ),
    "AwsError": record({"message": STRING}),
    "MessagesError": record(
        {"type": always("error"), "error": record({"type": STRING, "message": STRING}), "request_id": STRING}
    ),
    "CohereError": record({"message": STRING, "id": STRING}),
    "ExtraFields": record(
        {
            "request_type": STRING_OR_NULL,
            "provider": STRING_OR_NULL,
            "model_requested": STRING_OR_NULL,
            "original_model_requested": STRING_OR_NULL,
            "model_deployment": STRING_OR_NULL,
            "resolved_model_used": STRING_OR_NULL,
            "latency": {"type": "integer", "description": "milliseconds"},
            "chunk_index": INTEGER,
            "model_params": OBJECT,
            "billed_usage": {"type": ["object", "null"]},
            "attempts": array_of(OBJECT),
            "warnings": array_of(record({"param": STRING_OR_NULL, "message": STRING})),
            "cache_debug": OBJECT,
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
            "conversation_id": STRING_OR_NULL,
            "finish_reason": STRING_OR_NULL,
            "stop_reason": STRING_OR_NULL,
            "stop_sequence": STRING_OR_NULL,
            "created": INTEGER,
        }
    ),
    "Cost": record(
        {**dict.fromkeys(_COST, NUMBER_OR_NULL), "source": {"enum": ["provider", "config", "catalogue"]}},
        _COST[:-1],
    ),
    "ResponseUsage": record(
        {
            "input_tokens": INTEGER,
            "input_tokens_details": record({"cached_tokens": INTEGER, "cache_write_tokens": INTEGER}),
            "output_tokens": INTEGER,
            "output_tokens_details": record({"reasoning_tokens": INTEGER}),
            "total_tokens": INTEGER,
            "cost": NUMBER_OR_NULL,
            "cost_details": ref("Cost"),
        },
        optional=("cost_details",),
    ),
    "ChatUsage": record(
        {
            "prompt_tokens": INTEGER,
            "completion_tokens": INTEGER,
            "total_tokens": INTEGER,
            "prompt_tokens_details": OBJECT,
            "completion_tokens_details": OBJECT,
            "cost": {"anyOf": [NUMBER_OR_NULL, ref("Cost")]},
            "cost_details": ref("Cost"),
        },
        optional=("prompt_tokens_details", "completion_tokens_details", "cost_details"),
    ),
    "Item": record(
        {
            "id": STRING,
            "type": STRING,
            "status": STRING,
            "role": STRING,
            "content": {},
            "name": STRING,
            "arguments": STRING,
        },
        optional=("id", "status", "role", "content", "name", "arguments"),
    ),
    "Response": record(
        {
            "id": STRING,
            "object": always("response"),
            "created_at": INTEGER,
            "completed_at": {"type": ["integer", "null"]},
            "status": {"enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]},
            "background": BOOLEAN,
            "store": BOOLEAN,
            "error": {"anyOf": [record({"code": STRING, "message": STRING}), {"type": "null"}]},
            "incomplete_details": {"anyOf": [record({"reason": STRING}), {"type": "null"}]},
            "instructions": {"type": ["string", "array", "null"]},
            "max_output_tokens": {"type": ["integer", "null"]},
            "metadata": OBJECT,
            "model": STRING,
            "output": array_of(ref("Item")),
            "parallel_tool_calls": BOOLEAN,
            "previous_response_id": STRING_OR_NULL,
            "conversation": {"anyOf": [record({"id": STRING}), {"type": "null"}]},
            "reasoning": {"type": ["object", "null"]},
            "service_tier": STRING,
            "temperature": NUMBER,
            "text": OBJECT,
            "tool_choice": {"type": ["string", "object"]},
            "tools": array_of(OBJECT),
            "top_p": NUMBER,
            "truncation": STRING,
            "usage": {"anyOf": [ref("ResponseUsage"), {"type": "null"}]},
        },
        optional=("conversation",),
    ),
    "ItemList": record({**_LIST, "data": array_of(ref("Item"))}),
    "DeletedResponse": record({"id": STRING, "object": always("response"), "deleted": BOOLEAN}),
    "InputTokens": record({"object": always("response.input_tokens"), "input_tokens": INTEGER}),
    "Compaction": record(
        {
            "id": STRING,
            "object": always("response.compaction"),
            "created_at": INTEGER,
            "output": array_of(ref("Item")),
            "usage": ref("ResponseUsage"),
        }
    ),
    "Conversation": record(
        {"id": STRING, "object": always("conversation"), "created_at": INTEGER, "metadata": OBJECT}
    ),
    "DeletedConversation": record(
        {"id": STRING, "object": always("conversation.deleted"), "deleted": BOOLEAN}
    ),
    "ChatMessage": record(
        {
            "role": always("assistant"),
            "content": STRING_OR_NULL,
            "refusal": STRING_OR_NULL,
            "reasoning": STRING_OR_NULL,
            "reasoning_details": array_of(OBJECT),
            "annotations": array_of(OBJECT),
            "tool_calls": array_of(
                record(
                    {"id": STRING, "type": STRING, "function": OBJECT, "custom": OBJECT},
                    ("function", "custom"),
                )
            ),
            "audio": {"type": ["object", "null"]},
        },
        optional=("reasoning", "reasoning_details", "annotations", "tool_calls", "audio"),
    ),
    "ChatCompletion": record(
        {
            "id": STRING,
            "object": always("chat.completion"),
            "created": INTEGER,
            "model": STRING,
            "choices": array_of(
                record(
                    {
                        "index": INTEGER,
                        "finish_reason": STRING,
                        "logprobs": {"type": ["object", "null"]},
                        "message": ref("ChatMessage"),
                    },
                    optional=("logprobs",),
                )
            ),
            "usage": ref("ChatUsage"),
            "service_tier": STRING_OR_NULL,
            "system_fingerprint": STRING_OR_NULL,
            "citations": array_of(STRING),
            "search_results": array_of(OBJECT),
            "videos": array_of(OBJECT),
        },
        optional=("service_tier", "system_fingerprint", "citations", "search_results", "videos"),
    ),
    "TextCompletion": record(
        {
            "id": STRING,
            "object": always("text_completion"),
            "created": INTEGER,
            "model": STRING,
            "choices": array_of(record({"text": STRING, "index": INTEGER, "finish_reason": STRING_OR_NULL})),
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
                        "index": INTEGER,
                        "embedding": {"type": ["array", "string"]},
                    }
                )
            ),
            "model": STRING,
            "usage": OBJECT,
        }
    ),
    "Rerank": record(
        {
            "id": STRING,
            "model": STRING,
            "results": array_of(
                record(
                    {"index": INTEGER, "relevance_score": NUMBER, "document": OBJECT}, optional=("document",)
                )
            ),
            "usage": OBJECT,
        }
    ),
    "Moderation": record(
        {
            "id": STRING,
            "model": STRING,
            "results": array_of(
                record(
                    {
                        "flagged": BOOLEAN,
                        "categories": OBJECT,
                        "category_scores": OBJECT,
                        "category_applied_input_types": OBJECT,
                    }
                )
            ),
            "usage": OBJECT,
        }
    ),
    "Transcription": record(
        {
            "text": STRING,
            "language": STRING,
            "duration": NUMBER,
            "segments": array_of(OBJECT),
            "words": array_of(OBJECT),
            "usage": OBJECT,
        },
        optional=("language", "duration", "segments", "words", "usage"),
    ),
    "Images": record(
        {
            "created": INTEGER,
            "data": array_of(
                record(
                    {"b64_json": STRING, "url": STRING, "revised_prompt": STRING},
                    optional=("b64_json", "url", "revised_prompt"),
                )
            ),
            "background": STRING,
            "output_format": STRING,
            "quality": STRING,
            "size": STRING,
            "usage": OBJECT,
        },
        optional=("background", "output_format", "quality", "size"),
    ),
    "Translation": record(
        {
            "text": STRING,
            "task": always("translate"),
            "language": always("english"),
            "duration": NUMBER,
            "segments": array_of(OBJECT),
            "usage": OBJECT,
        },
        optional=("task", "language", "duration", "segments", "usage"),
    ),
    "Model": record(
        {"id": STRING, "object": always("model"), "created": INTEGER, "owned_by": STRING, "name": STRING},
        optional=("name",),
    ),
    "ModelList": record(
        {"object": always("list"), "data": array_of(ref("Model")), "has_more": BOOLEAN}, ("has_more",)
    ),
    "Key": record(
        {
            "id": STRING,
            "object": always("key"),
            "name": STRING,
            "tenant": STRING,
            "prefix": STRING_OR_NULL,
            "source": {"enum": ["config", "store"]},
            "enabled": BOOLEAN,
            "expires_at": {"type": ["integer", "null"]},
            "models": {"type": ["array", "null"], "items": STRING},
            "operations": {"type": ["array", "null"], "items": STRING},
            "limits": array_of(OBJECT),
            "budgets": array_of(OBJECT),
            "metadata": OBJECT,
            "created_at": {"type": ["integer", "null"]},
            "last_used_at": {"type": ["integer", "null"]},
            "rotated_at": {"type": ["integer", "null"]},
        },
        optional=(
            *("id", "prefix", "expires_at", "models", "operations", "limits", "budgets", "metadata"),
            *("created_at", "last_used_at", "rotated_at"),
        ),
    ),
    "Health": record({"status": STRING}),
    "File": record(
        {
            "id": STRING,
            "object": always("file"),
            "bytes": INTEGER,
            "created_at": INTEGER,
            "expires_at": _TIME,
            "filename": STRING,
            "purpose": STRING,
            "status": STRING,
            "status_details": STRING_OR_NULL,
        }
    ),
    "FileList": record({**_LIST, "data": array_of(ref("File"))}),
    "DeletedFile": record({"id": STRING, "object": always("file"), "deleted": BOOLEAN}),
    "Batch": record(
        {
            "id": STRING,
            "object": always("batch"),
            "endpoint": STRING,
            "errors": {
                "anyOf": [record({"object": always("list"), "data": array_of(OBJECT)}), {"type": "null"}]
            },
            "input_file_id": STRING,
            "completion_window": STRING,
            "status": STRING,
            "output_file_id": STRING_OR_NULL,
            "error_file_id": STRING_OR_NULL,
            "created_at": INTEGER,
            **dict.fromkeys(_TIMES, _TIME),
            "request_counts": record({"total": INTEGER, "completed": INTEGER, "failed": INTEGER}),
            "metadata": {"type": ["object", "null"]},
        }
    ),
    "BatchList": record({**_LIST, "data": array_of(ref("Batch"))}),
}
"""Components by name."""
