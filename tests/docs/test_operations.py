"""A backup that was made by the page's lines brings back what was stored, on either database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.behaviour.world import World
from tests.docs.blocks import ROOT, blocks
from tests.running import Gateway, running_gateway
from tests.services import leave_out, new_postgres
from tests.traffic.replay import Upstream

SQLITE_BACKUP, SQLITE_RESTORE, POSTGRES = (
    one.text for one in blocks() if one.run_by == "tests/docs/test_operations.py"
)
SECRET = "a-secret-of-forty-characters-0123456789ab"


def _run(text: str, folder: Path, environ: Mapping[str, str]) -> str:
    for tool in ("sqlite3", "pg_dump"):
        if tool in text and shutil.which(tool) is None:
            leave_out(f"{tool} is not installed")
    shell = f'sluice() {{ "{sys.executable}" -m app.cli "$@"; }}\n'
    result = subprocess.run(
        ["bash", "-euc", shell + text],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _store(gateway: Gateway, upstream: Upstream, said: str) -> str:
    answer = World(gateway, upstream).ask("responses", model="sandbox/echo", input=f"say exactly: {said}")
    identifier: str = answer.json["id"]
    return identifier


def _statuses(gateway: Gateway, upstream: Upstream, *names: str) -> list[int]:
    world = World(gateway, upstream)
    return [world.send("GET", f"/v1/responses/{name}").status for name in names]


def test_sqlite_comes_back(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/sluice.db", "SLUICE_ENCRYPT": "on"}
    with Upstream() as upstream:
        with running_gateway(environ) as gateway:
            first = _store(gateway, upstream, "before")
            _run(SQLITE_BACKUP, tmp_path, {})
            second = _store(gateway, upstream, "after")
            assert _statuses(gateway, upstream, first, second) == [200, 200]
        told = _run(SQLITE_RESTORE.replace("sluice doctor", "sluice doctor || true"), tmp_path, environ)
        assert "sluice.db answers and is up to date" in told
        with running_gateway(environ) as gateway:
            assert _statuses(gateway, upstream, first, second) == [200, 404]


def test_postgresql_comes_back(tmp_path: Path) -> None:
    backup, _, restore = POSTGRES.partition("\n")
    with Upstream() as upstream, new_postgres() as url:
        environ = {"DATABASE_URL": url, "SLUICE_SECRET_KEY": SECRET}
        with running_gateway(environ) as gateway:
            first = _store(gateway, upstream, "before")
            _run(backup, tmp_path, environ)
            second = _store(gateway, upstream, "after")
            assert _statuses(gateway, upstream, first, second) == [200, 200]
        _run(restore, tmp_path, environ)
        with running_gateway(environ) as gateway:
            assert _statuses(gateway, upstream, first, second) == [200, 404]
