"""``sluice cache clear``: what a server kept goes, and the server hears of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app import cli
from tests.governance.city import running_city
from tests.governance.test_cache import ask_about, cached
from tests.lifecycle.house import eventually

CONFIG = """
[keys.ann]
key = "sk-ann"
tenant = "red"
[server]
cache = { ttl = "5m" }
"""


def test_a_running_server_forgets_what_the_terminal_takes_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path}/sluice.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)
    with running_city(CONFIG, env={"DATABASE_URL": database}) as city:
        eventually(lambda: cached(ask_about(city, "gone"), ask_about(city, "gone")) == ["hit", "hit"])
        assert cli.main(["cache", "clear", "--tenant", "blue"]) == 0
        assert capsys.readouterr().out == "0 answers were deleted\n"
        assert cli.main(["cache", "clear", "--tenant", "red", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["entries"] == 1
        eventually(
            lambda: cached(ask_about(city, "gone", headers={"x-bf-cache-no-store": "true"})) == ["miss"]
        )


def test_what_cannot_be_meant_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["cache", "clear", "--tenant", ""]) == 2
    assert "tenant" in capsys.readouterr().err
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/none")
    monkeypatch.setenv("SLUICE_SECRET_KEY", "s")
    assert cli.main(["cache", "clear"]) == 1
    assert "not available" in capsys.readouterr().err
