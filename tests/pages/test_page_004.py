"""Page 004: Azure's retrieve, held against the running server, word by word of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import World
from tests.pages.quoting import folded, misfits, page, quoted

EXAMPLE = """{
"metadata": {},
"temperature": 1,
"top_p": 0.5,
"user": "<string>",
"id": "<string>",
"object": "response",
"created_at": 123,
"error": {
"code": "server_error",
"message": "<string>"
},
"incomplete_details": {
"reason": "max_output_tokens"
},
"output": [
{
"type": "message",
"id": "<string>"
}
],
"instructions": "<string>",
"parallel_tool_calls": true,
"model": "<string>",
"top_logprobs": 123,
"previous_response_id": "<string>",
"reasoning": {
"effort": "medium",
"summary": "auto",
"generate_summary": null
},
"background": false,
"max_output_tokens": 123,
"max_tool_calls": 123,
"text": {},
"tools": [
{
"type": "<string>"
}
],
"tool_choice": "none",
"truncation": "disabled",
"status": "completed",
"output_text": "<string>"
}"""

SENTENCES = (
    "Retrieves a model response with the given ID.",
    "The explicit Azure AI Foundry Models API version to use for this request. v1 if not otherwise specified. "
    "v1, preview",
    "When true, stream obfuscation will be enabled.",
    "Specify additional output data to include in the model response.",
    "The object type of this resource - always set to response.",
    "Unix timestamp (in seconds) of when this Response was created.",
    "instructions from a previous response will not be carried over to the next response",
    "completed, failed, in_progress, cancelled, queued, or incomplete",
    "SDK-only convenience property that contains the aggregated text output",
)
VERSIONS = ("v1", "preview")
INCLUDES = (
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
)
SHAPE = {
    "metadata": "object",
    "temperature": "number",
    "top_p": "number",
    "user": "string|null",
    "id": "string",
    "object": "string",
    "created_at": "number",
    "error": "object|null",
    "incomplete_details": "object|null",
    "output": "array",
    "output[].type": "string",
    "output[].id": "string",
    "instructions": "string|null",
    "parallel_tool_calls": "boolean",
    "model": "string",
    "top_logprobs": "number",
    "previous_response_id": "string|null",
    "reasoning": "object",
    "reasoning.effort": "string|null",
    "reasoning.summary": "string|null",
    "background": "boolean",
    "max_output_tokens": "number|null",
    "max_tool_calls": "number|null",
    "text": "object",
    "tools": "array",
    "tool_choice": "string|object",
    "truncation": "string",
    "status": "string",
}
SDK_ONLY = {"output_text"}  # "SDK-only convenience property": made by the client
ASKED: dict[str, Any] = {
    "model": "sandbox/echo",
    "input": "say exactly: hello",
    "temperature": 1,
    "top_p": 0.5,
    "user": "someone",
    "instructions": "Be brief.",
    "max_output_tokens": 123,
    "max_tool_calls": 12,
    "top_logprobs": 12,
    "reasoning": {"effort": "medium", "summary": "auto", "generate_summary": None},
    "tools": [{"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}],
    "tool_choice": "none",
    "truncation": "disabled",
    "metadata": {"team": "red"},
}


@pytest.fixture(scope="module")
def text(shared_dir: Path) -> str:
    return page(shared_dir, "004")


@pytest.fixture(scope="module")
def full_response(world: World) -> dict[str, Any]:
    """A response made at this surface, with all that the page's example shows."""
    answer = world.send("POST", "/openai/v1/responses", ASKED)
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json
    return body


def test_the_quotes_are_the_pages(text: str) -> None:
    assert folded(EXAMPLE) in text
    for sentence in SENTENCES:
        assert sentence in text
    for word in (*VERSIONS, *INCLUDES):
        assert word in text


def test_every_member_of_the_example_is_answered(world: World, full_response: dict[str, Any]) -> None:
    example = quoted(EXAMPLE)
    assert set(example) - SDK_ONLY == {path for path in SHAPE if "." not in path and "[" not in path}
    body = world.send("GET", f"/openai/v1/responses/{full_response['id']}").json
    assert misfits(body, SHAPE) == []
    assert body["object"] == example["object"]
    assert not SDK_ONLY & set(body)
    assert "extra_fields" not in body
    for name in (
        "temperature",
        "top_p",
        "max_output_tokens",
        "max_tool_calls",
        "instructions",
        "user",
        "metadata",
    ):
        assert body[name] == ASKED[name]
    assert (body["tool_choice"], body["truncation"], body["background"]) == ("none", "disabled", False)
    assert body["reasoning"]["effort"] == "medium"


@pytest.mark.parametrize("version", [*VERSIONS, None])
@pytest.mark.parametrize(
    "path", ["/openai/v1/responses", "/openai/responses", "/openai/deployments/x/responses"]
)
def test_the_query_members_are_taken(
    world: World, full_response: dict[str, Any], version: str | None, path: str
) -> None:
    query = f"api-version={version}" if version else ""
    listed = "&".join(f"include[]={name}" for name in INCLUDES)
    for members in ("", "include_obfuscation=true", "include_obfuscation=false", listed):
        answer = world.send("GET", f"{path}/{full_response['id']}?{'&'.join(filter(None, (query, members)))}")
        assert (answer.status, answer.json["id"]) == (200, full_response["id"])
        assert answer.headers["apim-request-id"]


@pytest.mark.parametrize(
    "query", ["api-version=latest", "api-version=2025-13-01", "include_obfuscation=perhaps"]
)
def test_a_query_that_the_page_does_not_know_is_refused(
    world: World, full_response: dict[str, Any], query: str
) -> None:
    answer = world.send("GET", f"/openai/v1/responses/{full_response['id']}?{query}")
    assert (answer.status, answer.error["code"], answer.error["param"]) == (
        400,
        "invalid_value",
        query.split("=")[0],
    )


@pytest.mark.parametrize(
    ("prompt", "status"),
    [
        ("say exactly: x", "completed"),
        ("stop at length", "incomplete"),
        ("fail with 400", "failed"),
        ("take 30 seconds", "cancelled"),
    ],
)
def test_each_status_of_the_page_is_seen(world: World, prompt: str, status: str) -> None:
    body = {"model": "sandbox/echo", "input": prompt, "background": True}
    queued = world.send("POST", "/openai/v1/responses", body).json
    seen = {queued["status"]}
    path = f"/openai/v1/responses/{queued['id']}"
    while (shown := world.send("GET", path).json)["status"] in ("queued", "in_progress"):
        seen.add(shown["status"])
        if status == "cancelled" and shown["status"] == "in_progress":
            world.send("POST", f"{path}/cancel")
    assert shown["status"] == status
    assert "queued" in seen
    assert (shown["error"] is not None) == (status == "failed")
    assert (shown["incomplete_details"] == {"reason": "max_output_tokens"}) == (status == "incomplete")
    if status == "cancelled":
        assert "in_progress" in seen


def test_instructions_are_not_carried_over(world: World, full_response: dict[str, Any]) -> None:
    body = {"model": "sandbox/echo", "input": "echo history", "previous_response_id": full_response["id"]}
    next_one = world.send("POST", "/openai/v1/responses", body).json
    assert (next_one["instructions"], next_one["previous_response_id"]) == (None, full_response["id"])
    assert "Be brief." not in next_one["output"][-1]["content"][0]["text"]
