"""``docs/responses.md``: its examples run as they stand, and say what the page says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.running import ROOT, Gateway, running_gateway

PAGE = (ROOT / "docs" / "responses.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
WANTED = (
    # what each example prints, in order
    ('"status":"completed"', '"object":"list"', '"deleted":true'),
    ("My cat is Ada.", '"provider":"sandbox"'),
    ("response.output_text.delta", "response.completed"),
    ('"type":"compaction"', '"object":"response.input_tokens"'),
)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """A gateway as ``make run`` starts it."""
    with running_gateway({}) as running:
        yield running


@pytest.mark.parametrize(("example", "wanted"), list(zip(EXAMPLES, WANTED, strict=True)))
def test_an_example_runs_as_it_stands(gateway: Gateway, example: str, wanted: tuple[str, ...]) -> None:
    script = example.replace("127.0.0.1:8080", f"127.0.0.1:{gateway.port}")
    shell = ["bash", "-euo", "pipefail", "-c", script]
    result = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    for words in wanted:
        assert words in result.stdout


def test_every_variable_that_is_named_exists() -> None:
    source = (ROOT / "app" / "config_loading" / "members.py").read_text(encoding="utf-8")
    named = set(re.findall(r"SLUICE_[A-Z_]+[A-Z]", PAGE))
    assert named
    assert {name for name in named if f'"{name}"' not in source} == set()
