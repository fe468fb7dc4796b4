"""``sluice calls`` and ``sluice usage``: what the call log knows, from a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app import cli
from tests.behaviour.world import running_world
from tests.lifecycle.house import eventually

LINES = 3


def test_what_a_server_logged_is_listed_and_summed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path}/sluice.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)

    def listed(*filters: str) -> list[dict[str, object]]:
        assert cli.main(["calls", *filters, "--json"]) == 0
        rows: list[dict[str, object]] = json.loads(capsys.readouterr().out)
        return rows

    with running_world({"DATABASE_URL": database}) as world:
        assert world.ask(model="sandbox/echo").status == 200
        assert world.ask("responses", model="sandbox/echo", brand_new=1).status == 200
        assert world.ask(model="nobody/x").status == 400
        eventually(lambda: len(listed()) == LINES)
    assert [row["status"] for row in listed("status=400")] == [400]
    assert listed("provider=groq") == []
    assert cli.main(["calls"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:3] == ["id", "created_at", "tenant"]
    assert len(table) == 1 + LINES
    (warned,) = [row for row in listed() if row["warnings"]]
    assert cli.main(["calls", str(warned["id"])]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (shown["id"], shown["status"], shown["warnings"]) == (warned["id"], "200", "1")
    assert shown["warned"].startswith("brand_new: 'brand_new' ")
    assert cli.main(["calls", str(warned["id"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == warned
    assert cli.main(["calls", "call_none"]) == 1
    assert "call_none" in capsys.readouterr().err
    assert cli.main(["usage", "--by", "provider,model", "--json"]) == 0
    sums = json.loads(capsys.readouterr().out)
    assert sum(row["calls"] for row in sums) == LINES
    assert sum(row["errors"] for row in sums) == 1
    assert cli.main(["usage"]) == 0
    assert {"p95", "first_p95"} <= set(capsys.readouterr().out.splitlines()[0].split())
    assert cli.main(["usage", "provider=nobody", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    "arguments",
    [["calls", "colour=red"], ["calls", "tenant"], ["calls", "from=yesterday"], ["usage", "--by", "colour"]]
    + [["calls", "--limit", "0"], ["usage", "status=200"]],
)
def test_what_is_no_filter_says_so(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.startswith("sluice: ")
