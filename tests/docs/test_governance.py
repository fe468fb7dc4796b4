"""What docs/governance.md has its reader type makes two teams with keys that work, within limits and budgets."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.behaviour.world import World, running_world
from tests.docs.blocks import blocks, run_block
from tests.lifecycle.house import eventually
from tests.traffic.replay import NEVER, Reply


def test_two_teams_get_their_keys_by_what_the_page_says(tmp_path: Path) -> None:
    config, block, walk = [block for block in blocks() if block.run_by == "tests/docs/test_governance.py"]
    env = {
        "SLUICE_MASTER_KEY": "change-me",
        "SLUICE_ALERT_URL": "{upstream}/hook",
        "SLUICE_ALERT_SECRET": _secret(),
    }
    with running_world(env, config=config.text) as world:
        world.upstream.add(Reply.json({}, 204), path="/hook", times=NEVER)
        ran = run_block(block, tmp_path, port=world.gateway.port)
        assert ran.returncode == 0, ran.stderr
        *tenants, ann, bob = _values(ran.stdout)
        assert [tenant["name"] for tenant in tenants] == ["research", "support"]
        assert [(key["tenant"], key["name"]) for key in (ann, bob)] == [
            ("research", "ann"),
            ("support", "bob"),
        ]
        given = replace(walk, text=walk.text.replace("sk-sluice-...", ann["key"]))
        assert given.text != walk.text
        result = run_block(given, tmp_path, port=world.gateway.port)
        assert result.returncode == 0, result.stderr
        assert re.findall(r"^x-sluice-cache: (\w+)", result.stdout, re.MULTILINE) == ["miss", "hit"]
        assert '{"object":"list"' in result.stdout
        master = World(world.gateway, world.upstream, "change-me")
        (usage,) = eventually(lambda: master.send("GET", "/admin/usage?group_by=tenant").json["data"])
        assert (usage["tenant"], usage["calls"], usage["cache_hits"]) == ("research", 2, 1)
        callers = [World(world.gateway, world.upstream, key["key"]) for key in (ann, bob)]
        assert [one.ask(model="sandbox/echo", max_tokens=4).status for one in callers] == [402, 200]
        shown = [one.send("GET", "/v1/key").json for one in callers]
        assert [row["level"] for row in shown[0]["budgets"]] == ["key", "tenant"]
        assert [row["level"] for row in shown[1]["limits"]] == ["tenant"]
        (message,) = eventually(lambda: world.upstream.requests)
        assert message.json()["data"]["owner"] == "ann"
        assert message.headers["webhook-signature"].startswith("v1,")
        assert callers[0].ask(model="sandbox/echo", max_tokens=100).status == 402


def _secret() -> str:
    """Return the secret that the page has its reader set."""
    text = Path("docs/governance.md").read_text(encoding="utf-8")
    (found,) = set(re.findall(r"SLUICE_ALERT_SECRET=(\S+)", text))
    return str(found)


def _values(text: str) -> list[dict[str, Any]]:
    """Return the JSON values that stand one behind the other."""
    found, decoder = [], json.JSONDecoder()
    while text.strip():
        value, end = decoder.raw_decode(text.lstrip())
        found.append(value)
        text = text.lstrip()[end:]
    return found
