"""CONTRIBUTING.md's five steps, taken in a copy of the checkout: a provider that did not exist answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks

NEIGHBOUR = '    "groq": _plain("groq"),\n'
URLS = [
    "acme chat chat POST https://api.acme.example/v1/chat/completions",
    "acme models models GET https://api.acme.example/v1/models",
]
CALL = """
from gevent import monkey; monkey.patch_all()
import json, urllib.request
from tests.running import ROOT, running_gateway
from tests.traffic.replay import Reply, Upstream

MESSAGE = {"role": "assistant", "content": "from acme"}
with Upstream() as upstream:
    upstream.add(Reply.json({"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]}))
    with running_gateway({"ACME_API_KEY": "k", "ACME_BASE_URL": upstream.url}) as gateway:
        body = json.dumps({"model": "acme/m", "input": "hi"}).encode()
        request = urllib.request.Request(f"{gateway.url}/v1/responses", body, {"Content-Type": "application/json"})
        print(json.load(urllib.request.urlopen(request))["output"][0]["content"][0]["text"])
    print(upstream.requests[0].headers["authorization"])
"""


@pytest.fixture(scope="module")
def checkout(repo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what Git knows of the checkout, as it lies on disk."""
    copy = tmp_path_factory.mktemp("five-steps") / "sluice"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repo_dir,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (repo_dir / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((repo_dir / name).read_bytes())
    return copy


@pytest.fixture(scope="module")
def steps() -> Sequence[Block]:
    """The blocks of the five steps, in order: the file, the row, two commands."""
    return [block for block in blocks() if block.run_by == "tests/docs/test_contributing.py"]


def _run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(checkout)}
    return subprocess.run(
        arguments, cwd=checkout, env=environ, capture_output=True, text=True, timeout=350, check=False
    )


@pytest.mark.timeout(400)  # golden records of a whole provider, in a checkout of its own
def test_the_five_steps_make_a_provider(checkout: Path, steps: Sequence[Block]) -> None:
    file, row, golden, tables = (block.text for block in steps)
    (checkout / "app/providers/acme.py").write_text(file)
    _insert(checkout / "app/providers/__init__.py", NEIGHBOUR, f"    {row}")
    _insert(checkout / "tests/house_rules.py", "PROVIDER_NAMES = {\n", '    "acme",\n')
    _insert(checkout / "tests/golden/fixtures.py", '    "groq/llama-3.3-70b-versatile",\n', '    "acme/m",\n')
    urls = checkout / "tests/providers/urls.txt"
    _insert(urls, _last_line(urls, "groq "), "".join(f"{line}\n" for line in URLS))
    for command in (golden, tables):
        done = _run(checkout, "bash", "-euc", command)
        assert done.returncode == 0, done.stderr
    assert "| acme | " in (checkout / "docs/providers.md").read_text()
    assert "`ACME_API_KEY`" in (checkout / "docs/configuration.md").read_text()
    called = _run(checkout, sys.executable, "-c", CALL)
    assert called.stdout.split("\n")[:2] == ["from acme", "Bearer k"], called.stderr
    checked = _run(
        checkout,
        sys.executable,
        "-m",
        "pytest",
        "tests/providers/test_auth.py",
        "tests/providers/test_urls.py",
        "tests/test_architecture.py",
        "tests/test_config.py",
        "tests/test_documentation.py",
        "tests/golden",
        "-k",
        "not keeps_the_rule and not types and not answers",
    )
    assert checked.returncode == 0, checked.stdout[-20000:]


def _insert(path: Path, before: str, text: str) -> None:
    whole = path.read_text()
    assert whole.count(before) >= 1, f"{path.name} has no {before!r}"
    path.write_text(whole.replace(before, before + text, 1))


def _last_line(path: Path, start: str) -> str:
    return [line for line in path.read_text().splitlines(keepends=True) if line.startswith(start)][-1]
