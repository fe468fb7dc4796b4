"""The keys of the quick start open the gateway that it starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.behaviour.world import World
from tests.docs.blocks import ROOT, blocks
from tests.running import running_gateway
from tests.traffic.replay import Upstream


def test_the_key_of_the_fourth_step_is_let_in(tmp_path: Path) -> None:
    (block,) = (one for one in blocks() if one.run_by == "tests/docs/test_quickstart.py")
    url = f"sqlite:///{tmp_path}/own.db"
    shell = f'sluice() {{ "{sys.executable}" -m app.cli "$@"; }}\n'
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": url,
    }
    result = subprocess.run(
        ["bash", "-euc", shell + block.text + "\necho master $SLUICE_MASTER_KEY"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    (key,) = re.findall(r"sk-sluice-\w{40}", result.stdout)
    master = result.stdout.split("master ")[-1].strip()
    with (
        Upstream() as upstream,
        running_gateway({"DATABASE_URL": url, "SLUICE_MASTER_KEY": master}) as gateway,
    ):
        body = World(gateway, upstream, key).send("GET", "/v1/key").json
        assert (body["name"], body["tenant"]) == ("ann", "research")
        assert [(one["usd"], one["level"]) for one in body["budgets"]] == [(50, "tenant")]
        assert World(gateway, upstream, key).ask(model="sandbox/echo").status == 200
        assert World(gateway, upstream, "wrong").ask(model="sandbox/echo").status == 401
