"""What was asked and answered, on the page of a call: there where it is kept, and no script."""

from __future__ import annotations

import html
import re

import pytest

from tests.behaviour.world import running_world
from tests.lifecycle.house import eventually
from tests.surfaces.visitor import ENV, EVIL, MASTER, logged_in

CONFIG = '[keys.ann]\nkey = "sk-ann-0123456789"\n'


@pytest.mark.parametrize("kept", [True, False])
def test_a_call_shows_its_contents_where_they_are_kept(kept: bool) -> None:
    env = {**ENV, "WEB_CONCURRENCY": "1", "SLUICE_LOG_BODIES": "on" if kept else "off"}
    with running_world(env, config=CONFIG) as world:
        messages = [{"role": "user", "content": f"say exactly: {EVIL}"}]
        ann = {"authorization": "Bearer sk-ann-0123456789"}
        assert world.ask(model="sandbox/echo", messages=messages, headers=ann).status == 200
        admin = {"authorization": f"Bearer {MASTER}"}
        row = eventually(lambda: world.send("GET", "/admin/calls", headers=admin).json["data"])[0]
        visitor = logged_in(world)
        page = visitor.get(f"/ui/calls/{row['id']}").body.decode()
        assert EVIL not in page
        texts = [html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)]
        assert [EVIL in text.replace("\\", "") for text in texts] == ([True, True] if kept else [])
