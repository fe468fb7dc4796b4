"""``/docs``: a page that loads its viewer from here, each operation once, examples that the sandbox answers."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from app import create_app
from app.config import Settings
from app.surfaces.mounts import MOUNTS
from app.surfaces.openapi import page
from app.surfaces.openapi.document import describe, path_of, surface_rules
from app.surfaces.openapi.examples import EXAMPLES, argument
from app.surfaces.openapi.reference import reference
from tests.behaviour.world import World

VENDOR = Path(page.__file__).parent / "vendor"
NOT_ALONE = frozenset({"ConversationItemsBody", "ConversationUpdateBody", "BatchBody"})  # they want an id


@pytest.fixture(scope="module")
def page_document() -> dict[str, Any]:
    """The document that the page shows."""
    app = create_app(Settings())
    return reference(describe(app), surface_rules(app))


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return path, method and description of each operation."""
    return [
        (path, method, operation)
        for path, members in document["paths"].items()
        for method, operation in members.items()
    ]


def test_the_page_names_nothing_of_another_host_and_runs_no_script_of_its_own(world: World) -> None:
    answer = World(world.gateway, world.upstream).send("GET", "/docs")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    text = answer.body.decode()
    assert not re.search(r"https?://|<script(?![^>]* src=)", text)
    addresses = re.findall(r'(?:src|spec-url)="([^"]+)"', text)
    assert len(addresses) == 2
    for address in addresses:
        assert world.send("GET", address).status == 200


def test_the_viewer_is_kept_by_browsers_and_is_the_file_that_was_published(world: World) -> None:
    answer = world.send("GET", f"/docs/rapidoc.js?v={page.VERSION}")
    assert "immutable" in answer.headers["cache-control"]
    lines = (VENDOR / "vendor.sha256").read_text().splitlines()
    sums = dict(reversed(line.split()) for line in lines)
    assert hashlib.sha256(answer.body).hexdigest() == sums["rapidoc.js"]
    for name, digest in sums.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    assert f"RapiDoc {page.VERSION}".encode() in answer.body


def test_what_the_page_reads_is_a_valid_document(page_document: dict[str, Any]) -> None:
    errors = OpenAPIV31SpecValidator({**page_document, "servers": [{"url": "/"}]}).iter_errors()
    assert [error.message for error in errors] == []


def test_each_operation_is_shown_once_and_names_its_other_paths(page_document: dict[str, Any]) -> None:
    rules = [rule for rule in surface_rules(create_app(Settings())) if rule.route.method != "OPTIONS"]
    every = {(rule.route.method, rule.route.view, rule.route.answer) for rule in rules}
    assert len(operations(page_document)) == len(every)
    named = set(page_document["paths"])
    for _, _, operation in operations(page_document):
        named.update(re.findall(r"`([^`]+)`", operation["description"]))
    assert named == {path_of(rule) for rule in rules}


def test_the_unified_surface_comes_first(page_document: dict[str, Any]) -> None:
    tags = [tag["name"] for tag in page_document["tags"]]
    assert tags[0] == "OpenAI's API, any provider"
    assert tags[-1] == "The gateway itself"
    assert {operation["tags"][0] for _, _, operation in operations(page_document)} == set(tags)
    assert "post" in page_document["paths"]["/v1/responses"]
    assert "/openai/v1/responses" not in page_document["paths"]
    assert len(tags) <= len(MOUNTS)


def test_every_body_has_an_example(page_document: dict[str, Any]) -> None:
    bodies = [
        operation["requestBody"]["content"]
        for _, _, operation in operations(page_document)
        if "requestBody" in operation
    ]
    assert all(
        "example" in content["application/json"] for content in bodies if "application/json" in content
    )


FILES = {
    "audio": b"RIFF",
    "images": b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    ),
    "files": b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "sandbox/echo"}}',
}
"""A file for each kind of form, by the first part of its path."""


def test_each_form_is_answered_by_the_sandbox(world: World, page_document: dict[str, Any]) -> None:
    tried = set()
    for path, method, operation in operations(page_document):
        schema = (
            operation.get("requestBody", {}).get("content", {}).get("multipart/form-data", {}).get("schema")
        )
        kind = path.removeprefix("/v1/").partition("/")[0]
        if schema is None or not path.startswith("/v1/"):
            continue
        fields = schema["allOf"][-1]["properties"] if "allOf" in schema else schema["properties"]
        examples = {name: field["example"] for name, field in fields.items() if "example" in field}
        examples |= {"prompt": "a red barn"} if path.endswith("/edits") else {}
        lines = "".join(
            f'--b\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in examples.items()
        )
        place = "image" if kind == "images" else "file"
        lines += f'--b\r\ncontent-disposition: form-data; name="{place}"; filename="a.png"\r\n\r\n'
        body = lines.encode() + FILES[kind] + b"\r\n--b--\r\n"
        head = {"content-type": "multipart/form-data; boundary=b"}
        answer = world.send(method.upper(), path, body, headers=head)
        assert answer.status == 200, (path, answer.body)
        tried.add(path.removeprefix("/v1/"))
    assert tried == {
        *("audio/transcriptions", "audio/translations", "files", "images/edits", "images/variations")
    }


def test_each_example_is_answered_by_the_sandbox(world: World, page_document: dict[str, Any]) -> None:
    tried = set()
    for path, method, operation in operations(page_document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        if "example" not in content or name in NOT_ALONE or "{verb}" in path:
            continue
        address = re.sub(r"{(\w+)}", lambda found: argument(path, found[1]) or "any", path)  # noqa: B023
        answer = world.send(method.upper(), address, content["example"])
        assert answer.status == 200, (path, answer.body)
        tried.add(name)
    assert tried == set(EXAMPLES) - NOT_ALONE
