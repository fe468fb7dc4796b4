"""``docs/surfaces.md``: its examples run as they stand, and what it lists exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import KINDS
from app.surfaces.openapi.shapes import SHAPES
from tests.behaviour.world import World, running_world
from tests.conftest import leave_out

PAGE = Path(__file__).resolve().parents[2] / "docs" / "surfaces.md"
EXAMPLES = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def server() -> Iterator[World]:
    """The server as ``make run`` starts it: no key."""
    with running_world({"OPENAI_API_KEY": "", "GROQ_API_KEY": "", "ANTHROPIC_API_KEY": ""}) as world:
        yield world


def run(example: str, world: World) -> str:
    """Run an example in a shell, on this server's port."""
    if shutil.which("curl") is None:
        leave_out("curl is not installed")
    line = example.replace("127.0.0.1:8080", f"127.0.0.1:{world.gateway.port}").replace("curl ", "curl -sS ")
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


SAID: dict[str, Any] = {
    # words of an example: words of its answer
    'v1/responses -H \'Content-Type: application/json\' -d \'{"model": "sandbox/echo", "input": "Hello"}\'': '"completed"',
    'v1/chat/completions -H \'Content-Type: application/json\' -d \'{"model": "sandbox/echo"': "chat.completion",
    "openai/deployments/": '"completed"',
    "api/llm/": '"provider":"sandbox"',
    "fallbacks": "saved",
    "models?provider": '"sandbox/echo"',
    "order-66": '"param":"made_up"',
    "curl -N http://127.0.0.1:8080/v1/responses": "event: response.completed",
    "anthropic/v1/messages -H": '"text":"Hello"',
    "curl -N http://127.0.0.1:8080/v1/messages": "event: message_stop",
    "cohere/v2/chat": '"finish_reason":"COMPLETE"',
    "cohere/v2/embed": '"response_type":"embeddings_by_type"',
    "count_tokens": '"input_tokens":',
    "echo:generateContent": '"text":"from Google"',
    "?alt=sse": 'data: {"candidates"',
    "echo/converse": '"text":"from AWS"',
    "echo/invoke": '"text":"from Claude"',
    "images/generations": '"b64_json"',
    "echo history": "I am Ann",
    "purpose=batch": '"object":"batch"',
    "mistral/": "MISTRAL_API_KEY",
}


@pytest.mark.parametrize("words", SAID)
def test_an_example_runs_as_it_stands(server: World, words: str) -> None:
    (example,) = [one for one in EXAMPLES if words in one]
    assert SAID[words] in run(example, server)


def test_no_example_is_left_out() -> None:
    assert len(EXAMPLES) == len(SAID)


def test_the_codes_of_the_table_exist() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## Errors")[2]
    codes = {
        code
        for row in table.splitlines()
        if row.startswith("| 4") or row.startswith("| 5")
        for code in re.findall(r"`([a-z_]+)`", row.split("|")[2])
    }
    found_by_schemas = {
        "missing_required_parameter",
        "invalid_type",
        "invalid_value",
        "integer_below_min_value",
    }
    assert codes - found_by_schemas <= {kind.code for kind in KINDS.values()}


def test_the_members_of_the_envelope_are_those_described(server: World) -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Envelopes")[2].partition("## Streams")[0]
    named = set(re.findall(r"`([a-z_]+)`", text))
    assert set(SHAPES["ExtraFields"]["properties"]) - {"cache_debug"} <= named
    answer = json.loads(run(EXAMPLES[0], server))
    assert set(answer["extra_fields"]) <= named
