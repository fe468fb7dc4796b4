"""OpenAI's SDK for Node drives the gateway: ``drive_node.js`` calls, and what it saw is compared."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import World
from tests.clients.conftest import KEY

SCRIPT = Path(__file__).with_name("drive_node.js")


@pytest.fixture(scope="module")
def script_output(node_openai: str, world: World) -> dict[str, Any]:
    """What the script saw."""
    result = subprocess.run(
        [node_openai, str(SCRIPT), world.gateway.url, KEY],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_responses_whole_streamed_and_stored(script_output: dict[str, Any]) -> None:
    numbers = script_output["responses"].pop("numbers")
    assert numbers == list(range(len(numbers)))
    assert script_output["responses"] == {
        "whole": "whole",
        "first": "response.created",
        "last": "response.completed",
        "helped": "helped",
        "cancelled": "cancelled",
        "fetched": "whole",
        "conversation": "conversation",
    }


def test_a_turn_that_compacts_its_history(script_output: dict[str, Any]) -> None:
    assert script_output["compacted"] == {
        "types": [["compaction", "message"]] * 2,
        "texts": ["nine", "nine", "ten"],
    }


def test_chat_streams(script_output: dict[str, Any]) -> None:
    assert script_output["chat"] == {"streamed": "chunks", "helped": "helped"}


def test_azures_class(script_output: dict[str, Any]) -> None:
    assert script_output["azure"] == {"chat": "deployed", "response": "responded", "dimensions": True}


def test_errors_are_the_sdks_classes(script_output: dict[str, Any]) -> None:
    assert script_output["refused"] == {
        "name": "BadRequestError",
        "status": 400,
        "code": "model_not_found",
        "param": "model",
    }
    assert script_output["brokenOff"] == {"name": "APIError", "code": True}
