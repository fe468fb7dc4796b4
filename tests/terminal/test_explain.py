"""``sluice explain``: what a request would do, from a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app import cli

CONFIG = """
[keys.ann]
key = "sk-ann"
limits = [{ requests = 5, per = "minute" }]
budgets = [{ usd = 1, per = "day", unpriced = "deny" }]
[keys.bob]
key = "sk-bob"
"""
BODY = '{"model": "sandbox/echo", "messages": [{"role": "user", "content": "hi"}]}'
PATH = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def _configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sluice.toml").write_text(CONFIG)


def test_it_tells_what_would_be_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", PATH, BODY, "--key", "bob"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "key      bob of bob",
        "target   sandbox/echo: first choice; translate, unknown price",
        "cache    off",
        "result   would be sent",
    ]


def test_it_tells_what_would_be_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(BODY)
    assert cli.main(["explain", PATH, "body.json", "--key", "ann"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["limit    key: 5 left, resets in 0 s", "budget   key: $1.000000 left of $1 per day"]
    assert lines[-1].startswith("result   402 budget_exceeded: ")
    assert cli.main(["explain", PATH, BODY, "--key", "ann", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["refused"]["status"] == 402


@pytest.mark.parametrize(
    "arguments",
    [[PATH, "none.json"], [PATH, "{"], [PATH, "[]"], ["/x", BODY], [PATH, BODY, "--key", "nobody"]],
)
def test_what_cannot_be_explained_says_why(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", *arguments]) in (1, 2)
    output = capsys.readouterr()
    assert output.err.startswith("sluice: ") or "400" in output.out
