"""Holds response objects and stream events to the published schemas of Open Responses.

The schemas know neither hosted items nor custom tools, and name reasoning events otherwise than
every server that was recorded; those alone are passed over.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from tests.traffic.load import ROOT, require

SPEC = ROOT.parent / "shared" / "specs" / "openresponses-2026-04-24.openapi.json"
ITEMS = ("message", "function_call", "function_call_output", "reasoning", "compaction")
UNKNOWN_EVENTS = (
    "response.reasoning_text.",
    "response.custom_tool_call_input.",
    "response.reasoning_summary_text.",
)


@cache
def spec() -> dict[str, Any]:
    """The document; its ``#/components`` references resolve within it."""
    require()
    document: dict[str, Any] = json.loads(SPEC.read_text(encoding="utf-8"))
    return document


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": spec()["components"]})


@cache
def event_schemas() -> dict[str, str]:
    """Event type to the name of its schema."""
    schemas = spec()["components"]["schemas"]
    return {
        schema["properties"]["type"]["enum"][0]: name
        for name, schema in schemas.items()
        if name.endswith("StreamingEvent")
    }


def faults_of(name: str, value: Any) -> list[str]:
    errors = validator(name).iter_errors(value)
    return [f"{name} at {'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in errors]


def known_parts(value: Any) -> Any:
    """The schemas know one kind of annotation."""
    if isinstance(value, list):
        return [known_parts(member) for member in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("annotations"), list):
        known = [a for a in value["annotations"] if a["type"] == "url_citation"]
        return {**value, "annotations": known}
    return {name: known_parts(member) for name, member in value.items()}


def known_output(response: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the schemas do not know: hosted items and tools, two efforts; and a JSON
    Schema, which they allow to be null only."""
    form = response["text"]["format"]
    form = {**form, "schema": None} if form["type"] == "json_schema" else form
    thinking = response["reasoning"]
    effort = {"minimal": "low", "max": "xhigh"}.get(thinking["effort"], thinking["effort"])
    return {
        **response,
        "text": {**response["text"], "format": form},
        "reasoning": {**thinking, "effort": effort},
        "output": [item for item in response["output"] if item["type"] in ITEMS],
        "tools": [tool for tool in response["tools"] if tool["type"] == "function"],
    }


def faults_of_response(response: dict[str, Any]) -> list[str]:
    """What of a response object breaks the schema."""
    return faults_of("ResponseResource", known_parts(known_output(response)))


def faults_of_event(event: dict[str, Any]) -> list[str]:
    """What of a stream event breaks its schema."""
    kind = event["type"]
    if "response" in event:
        event = {**event, "response": known_output(event["response"])}
    item = event.get("item")
    if kind not in event_schemas():
        return []
    if isinstance(item, dict) and item["type"] not in ITEMS:
        return []
    if kind.endswith("annotation.added") and event["annotation"]["type"] != "url_citation":
        return []
    event = known_parts(event)
    return faults_of(event_schemas()[kind], event)
