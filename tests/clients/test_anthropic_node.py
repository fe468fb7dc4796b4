"""Anthropic's SDK for Node drives the Anthropic surface: ``drive_anthropic.js`` calls, and what it saw is compared."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.behaviour.world import World
from tests.clients.conftest import KEY
from tests.conftest import node_that_can_require

SCRIPT = Path(__file__).with_name("drive_anthropic.js")


def test_messages_streams_tools_counts_lists_and_errors(world: World) -> None:
    node = node_that_can_require("@anthropic-ai/sdk")
    result = subprocess.run(
        [node, str(SCRIPT), world.gateway.url, KEY], capture_output=True, text=True, timeout=50, check=False
    )
    assert result.returncode == 0, result.stderr
    refused = [("RateLimitError", 429, "rate_limit_error"), ("OverloadedError", 529, "overloaded_error")]
    assert json.loads(result.stdout) == {
        "whole": "whole",
        "counted": True,
        "tool": {"stop": "tool_use", "input": {"city": "Paris"}, "quotes": True},
        "streamed": {
            "kinds": [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
            ],
            "helped": ["thinking", "text"],
        },
        "refused": [{"name": n, "status": s, "type": t, "same": True} for n, s, t in refused],
        "models": True,
    }
