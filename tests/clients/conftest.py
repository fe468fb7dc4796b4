"""A gateway with client keys, the sandbox behind it, and a replaying provider beside."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.behaviour.world import World, running_world
from tests.services import leave_out

KEY = "sk-ann-0123456789"

CONFIG = """
[models."fast"]
target = "sandbox/fast"

[models."rescued"]
target = "sandbox/first"
fallbacks = ["sandbox/second"]
"""


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """One gateway for all clients; openai, groq and anthropic are a provider that replays."""
    with running_world({"SLUICE_KEYS": f"ann:{KEY}"}, config=CONFIG, key=KEY) as running:
        yield running


@pytest.fixture(scope="session")
def base_url(world: World) -> str:
    """What OpenAI's SDK takes as base URL."""
    return f"{world.gateway.url}/v1"


def claude_code(
    arguments: Sequence[str], env: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run Claude Code in an empty folder that is its home, too; it calls nobody but ``ANTHROPIC_BASE_URL``."""
    claude = shutil.which("claude")
    if claude is None:
        leave_out("claude is not on the path: npm install @anthropic-ai/claude-code")
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    return subprocess.run(
        [claude, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **quiet, **env},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
