"""``docs/clients.md``: each snippet runs as it stands, on this server's port and key."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.behaviour.world import World
from tests.clients.conftest import KEY

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
SNIPPETS = re.findall(
    r"^## (.*?)\n.*?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)


def test_the_page_has_snippets() -> None:
    assert {"Anthropic's SDK", "Cohere's SDK"} <= {name for name, _ in SNIPPETS}


@pytest.mark.parametrize(("name", "snippet"), SNIPPETS, ids=[name for name, _ in SNIPPETS])
def test_a_snippet_says_hello(world: World, name: str, snippet: str) -> None:
    program = snippet.replace("http://127.0.0.1:8080", world.gateway.url).replace('"KEY"', f'"{KEY}"')
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "Hello", done.stderr
