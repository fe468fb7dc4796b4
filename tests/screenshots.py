"""``make screenshots``: draw the window for docs/window.md, from a day of made-up calls.

Needs Chromium. The pictures depend on the machine's fonts, so no test compares them.
"""

from gevent import monkey

monkey.patch_all()

import math  # noqa: E402
import random  # noqa: E402
import re  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, Final  # noqa: E402

from app.state.state import open_state  # noqa: E402
from tests.behaviour.world import running_world  # noqa: E402
from tests.browser import Tab, running_browser  # noqa: E402

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures"
_CONFIG: Final = """
[models."fast"]
strategy = "latency"
targets = [{ target = "openai/gpt-5-mini", weight = 3 }, { target = "groq/openai/gpt-oss-120b" }]
fallbacks = ["anthropic/claude-haiku-4-5"]
"""
_TARGETS: Final = (
    ("openai", "gpt-5-mini", 900, 0.4e-6, 0.5),
    ("anthropic", "claude-sonnet-4-5", 1_700, 6e-6, 0.3),
    ("groq", "openai/gpt-oss-120b", 350, 0.3e-6, 0.2),
)
"""Provider, model, usual latency in ms, dollars a token, share."""
_OWNERS: Final = (("research", "ann"), ("research", "notebook"), ("support", "chat-bot"), ("support", "mail"))
_CALLS: Final = 3_000
_DAY: Final = 24 * 3_600
_NARROW: Final = 390
_WIDE: Final = 1_280


def main() -> None:
    """Draw all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sluice-screenshots-") as name:
        database = f"sqlite:///{name}/sluice.db"
        _fill(database)
        with running_browser() as browser, running_world({"DATABASE_URL": database}, config=_CONFIG) as world:
            tab = browser.tab()
            link = re.search(r"http://\S+/ui/link/\S+", world.gateway.log)
            assert link is not None, world.gateway.log
            tab.open(link[0])
            tab.wait("document.querySelector('h1').innerText == 'Overview'")
            _draw(tab, f"{world.gateway.url}/ui", "overview", _WIDE, dark=False)
            _draw(tab, f"{world.gateway.url}/ui", "overview-narrow", _NARROW, dark=True)


def _draw(tab: Tab, url: str, name: str, width: int, *, dark: bool) -> None:
    tab.size(width, 820)
    tab.dark(dark)
    tab.open(url)
    tab.run("new Promise(done => setTimeout(done, 300))")
    file = FOLDER / f"{name}.png"
    tab.picture(file, whole=False)
    print(f"{file.relative_to(FOLDER.parent.parent)}: {file.stat().st_size // 1024} KiB")


def _fill(database: str) -> None:
    state = open_state(database, {})
    rows = list(_rows(random.Random(7), int(time.time())))
    for begin in range(0, len(rows), 500):
        state.call_log.write(rows[begin : begin + 500])
    state.stop()


def _rows(chance: random.Random, now: int) -> Iterator[dict[str, Any]]:
    for number in range(_CALLS):
        age = int(_DAY * chance.random() ** 1.3)
        if chance.random() > 0.6 + 0.4 * math.sin((now - age) / _DAY * 2 * math.pi):
            age //= 3
        provider, model, usual, price, _ = chance.choices(_TARGETS, [one[4] for one in _TARGETS])[0]
        tenant, key = chance.choice(_OWNERS)
        tokens = chance.randrange(200, 4_000), chance.randrange(40, 900)
        latency = round(usual * chance.lognormvariate(0, 0.4))
        failed = chance.random() < 0.02
        attempt = {"provider": provider, "model": model, "key": "default", "status": 502 if failed else 200}
        yield {
            **dict.fromkeys(("finish_reason", "cost_details", "queued", "user", "response_id")),
            "id": f"call_{number:048x}",
            "object": "call",
            "created_at": now - age,
            "request_id": f"req_{number:032x}",
            "tenant": tenant,
            "key": key,
            "door": "unified",
            "request_type": chance.choice(("chat_completion", "chat_completion_stream", "responses_stream")),
            "model_requested": "fast" if provider != "anthropic" else f"{provider}/{model}",
            "model": model,
            "provider": provider,
            "provider_key": "default",
            "status": 502 if failed else 200,
            "error_code": "server_error" if failed else None,
            "usage": {"input_tokens": tokens[0], "output_tokens": tokens[1]},
            "cost": sum(tokens) * price,
            "latency": latency,
            "first_content": round(latency * 0.3),
            "attempts": [{**attempt, "error": "server_error" if failed else None, "latency": latency}],
            "cache": "hit" if chance.random() < 0.08 else "miss",
            "warnings": 0,
            "metadata": {},
        }


if __name__ == "__main__":
    main()
