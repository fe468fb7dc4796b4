"""A call that the cache answers asks no target, so it is no probe of one whose rest is over."""

from __future__ import annotations

from pathlib import Path

from app import create_app
from app.config_loading import load
from app.gateway.core import gateway_of
from tests.lifecycle.house import eventually


def test_a_hit_leaves_the_probe_to_others(tmp_path: Path) -> None:
    config = tmp_path / "sluice.toml"
    config.write_text(
        '[server]\ncache = { ttl = "5m" }\n[keys.ann]\nkey = "sk-ann"\ntenant = "home"\n'
        '[keys.bob]\nkey = "sk-bob"\ntenant = "home"\nmodels = ["sandbox/*"]\n'
    )
    environ = {
        "SLUICE_CONFIG": str(config),
        "SLUICE_BREAKER": "on",
        "DATABASE_URL": f"sqlite:///{tmp_path}/s.db",
    }
    app = create_app(load(environ))
    client, breaker = app.test_client(), gateway_of(app).breaker
    assert breaker is not None
    body = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "hi"}]}

    def ask(key: str) -> str:
        headers = {"Authorization": f"Bearer {key}"}
        return client.post("/v1/chat/completions", json=body, headers=headers).headers["x-sluice-cache"]

    assert ask("sk-ann") == "miss"
    eventually(lambda: ask("sk-ann") == "hit")  # the first look at the store empties the memory
    (state,) = breaker._states.values()
    state.duration, state.open_until = 15.0, 1.0  # it failed a while ago
    assert ask("sk-ann") == "hit"
    assert (state.phase, state.probe) == ("closed", None)  # its target is remembered
    assert ask("sk-bob") == "hit"
    assert (state.phase, state.probe) == (
        "half_open",
        None,
    )  # bob may use other models, so his targets were planned
