"""Claude Code runs a task with a tool over a provider that speaks chat completions alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import World, chat_chunk, chat_end, chat_stream
from tests.clients.conftest import KEY, claude_code
from tests.traffic.replay import Reply, Request

COMMAND = {"command": "echo made by a tool | tee made.txt", "description": "Make a file"}


def answer(request: Request) -> Reply:
    """Call the shell once, then quote what it said."""
    results = [turn["content"] for turn in request.json()["messages"] if turn["role"] == "tool"]
    if results:
        return Reply.sse(chat_stream("It said: ", str(results[-1])))
    function = {"name": "Bash", "arguments": json.dumps(COMMAND)}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    ending = chat_end().replace(b'"stop"', b'"tool_calls"')
    return Reply.sse(chat_chunk({"role": "assistant", "tool_calls": [call]}) + ending)


@pytest.mark.parametrize("root", ["/anthropic", ""], ids=["surface", "root"])
def test_a_task_is_done_with_a_tool(world: World, tmp_path: Path, root: str) -> None:
    world.fresh().upstream.script = answer
    env = {
        "ANTHROPIC_BASE_URL": world.gateway.url + root,
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_MODEL": "groq/x",
        "ANTHROPIC_SMALL_FAST_MODEL": "groq/x",
    }
    done = claude_code(["-p", "make a file", "--allowedTools", "Bash"], env, tmp_path)
    assert done.stdout.strip() == "It said: made by a tool", done.stderr
    assert (tmp_path / "made.txt").read_text(encoding="utf-8") == "made by a tool\n"
    sent: list[dict[str, Any]] = [request.json() for request in world.upstream.requests]
    assert {request.path for request in world.upstream.requests} == {"/groq/chat/completions"}
    assert [turn["role"] for turn in sent[-1]["messages"]][-2:] == ["assistant", "tool"]
