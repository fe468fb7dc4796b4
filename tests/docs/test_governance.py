"""What docs/governance.md has its reader type makes a team with a key that works."""

from __future__ import annotations

import json
from pathlib import Path

from tests.behaviour.world import World, running_world
from tests.docs.blocks import blocks, run_block


def test_a_team_gets_its_key_by_what_the_page_says(tmp_path: Path) -> None:
    (block,) = [block for block in blocks() if block.run_by == "tests/docs/test_governance.py"]
    with running_world({"SLUICE_MASTER_KEY": "change-me"}) as world:
        ran = run_block(block, tmp_path, port=world.gateway.port)
        assert ran.returncode == 0, ran.stderr
        tenant, key = _values(ran.stdout)
        assert (tenant["name"], key["tenant"], key["name"]) == ("research", "research", "ann")
        assert World(world.gateway, world.upstream, key["key"]).ask(model="sandbox/echo").status == 200


def _values(text: str) -> list[dict[str, str]]:
    """Return the JSON values that stand one behind the other."""
    found, decoder = [], json.JSONDecoder()
    while text.strip():
        value, end = decoder.raw_decode(text.lstrip())
        found.append(value)
        text = text.lstrip()[end:]
    return found
