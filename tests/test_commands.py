"""``sluice keys`` and ``sluice tenants`` over a database: the same members and refusals as the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import main

Sluice = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sluice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sluice:
    """Run one command; gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/sluice.db")
    monkeypatch.setenv("SLUICE_KEYS", "ann:sk-ann:file")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_key_lives_from_the_terminal(sluice: Sluice) -> None:
    assert sluice("tenants", "create", "team", "models=sandbox/*,fast", "metadata.cost=7")[0] == 0
    code, out, _ = sluice("keys", "create", "bob", "tenant=team", "expires_at=4000000000", "--json")
    value = json.loads(out)
    assert (code, value["tenant"], value["expires_at"], len(value["key"])) == (0, "team", 4_000_000_000, 50)
    changed = json.loads(
        sluice("keys", "change", value["id"], "models=a/*", "expires_at=", "enabled=off", "--json")[1]
    )
    assert (changed["models"], changed["expires_at"], changed["enabled"]) == (["a/*"], None, False)
    rotated = json.loads(sluice("keys", "rotate", value["id"], "grace=60", "--json")[1])
    assert rotated["key"] not in (value["key"], None)
    listed = sluice("keys", "list")[1].splitlines()
    assert [line.split()[1:3] for line in listed] == [["tenant", "name"], ["file", "ann"], ["team", "bob"]]
    assert json.loads(sluice("tenants", "show", "team", "--json")[1])["metadata"] == {"cost": "7"}
    assert sluice("keys", "revoke", value["id"], "--now")[0] == 0
    assert sluice("keys", "show", value["id"])[0] == 1


def test_what_is_wrong_is_said(sluice: Sluice) -> None:
    assert sluice("keys", "create", "bob", "tenant=nobody")[::2] == (
        2,
        "sluice: Invalid 'tenant': there is no tenant 'nobody'; create it first.\n",
    )
    code, _, said = sluice("keys", "create", "b b", "tenant=file", "grace=1")
    assert code == 2
    assert said.splitlines() == [
        "sluice: Invalid 'name': must consist of at most 64 letters, digits, '.', '_' and '-'.",
        "sluice: Invalid 'grace': is unknown; the members are: budgets, enabled, expires_at, limits, metadata, models, name, operations, tenant.",
    ]
    assert sluice("keys", "create")[0] == 2
    assert sluice("keys", "create", "bob")[::2] == (
        2,
        "sluice: Missing required parameter: 'tenant'.\n",
    )
    assert "configuration's" in sluice("keys", "revoke", "key_config.ann")[2]


def test_why_the_database_cannot_be_opened_is_said(sluice: Sluice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:////nowhere/sluice.db")
    code, out, fault = sluice("keys", "list")
    assert (code, out) == (1, "")
    assert fault.splitlines()[1:] == ["sluice: /nowhere/sluice.db: the folder /nowhere does not exist"]


def test_a_tenant_goes_once_that_is_confirmed(sluice: Sluice) -> None:
    sluice("tenants", "create", "team")
    assert sluice("tenants", "delete", "team")[::2] == (
        2,
        "sluice: Stored for the tenant 'team' are 0 keys, 0 responses and 0 conversations. "
        "Repeat the request with ?confirm=team (in a terminal: --confirm) to delete them.\n",
    )
    assert sluice("tenants", "delete", "team", "--confirm")[0] == 0
    assert [line.split()[0] for line in sluice("tenants", "list")[1].splitlines()] == ["name", "file"]
