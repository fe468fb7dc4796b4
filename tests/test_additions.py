"""What it costs to add something, proved by adding it to a scratch copy and using it."""

from __future__ import annotations

from pathlib import Path

from tests.behaviour.world import chat_body, running_world
from tests.scratch import Scratch
from tests.traffic.replay import Reply

ACME = '''"""Acme: chat and text completions."""

from __future__ import annotations

from app.providers import chat_rows, openai_like
from app.providers.auth import BearerAuth
from app.providers.base import Spec

SPEC = Spec(
    name="acme",
    base_url="https://api.acme.example/v1",
    auth=BearerAuth(),
    wires={
        "chat": openai_like.chat(chat_rows.CUSTOM),
        "completion": openai_like.completion(),
        "models": openai_like.models(),
    },
    missing="Set ACME_API_KEY.",
)
'''


def test_a_provider_like_openai_is_one_file_and_one_row(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.add("app/providers/acme.py", ACME)
    scratch.insert("app/providers/__init__.py", '    "cerebras": _plain(', '    "acme": _plain("acme"),\n')
    assert scratch.changes() == {"app/providers/__init__.py": 1, "app/providers/acme.py": 19}
    assert scratch.faults() == []
    env = {"ACME_API_KEY": "acme-key", "ACME_BASE_URL": "{upstream}/acme"}
    with running_world(env, root=scratch.root) as world:
        world.upstream.add(Reply.json(chat_body("from acme")))
        answer = world.ask("responses", model="acme/x")
        assert answer.text == "from acme"
        assert answer.json["extra_fields"]["provider"] == "acme"
        (sent,) = world.upstream.requests
        assert (sent.path, sent.headers["authorization"]) == ("/acme/chat/completions", "Bearer acme-key")
