"""The models of the configuration in the window: where names lead, and what that costs."""

from __future__ import annotations

import html
import re

from tests.behaviour.world import running_world
from tests.surfaces.test_window import ENV, Visitor

CONFIG = """
[providers.groq.prices]
"x" = { input = 2, output = 3 }
[models."fast"]
strategy = "cheapest"
targets = [
    { target = "openai/gpt-4o-mini", weight = 3, max_tokens = 2000 },
    { target = "groq/x", defaults = { temperature = 0.5 } },
    { target = "sandbox/echo" },
]
fallbacks = ["mistral/small"]
[models."outer"]
target = "fast"
"""


def test_names_are_shown_with_their_targets_and_prices() -> None:
    with running_world({**ENV, "WEB_CONCURRENCY": "1"}, config=CONFIG) as world:
        visitor = Visitor(world)
        assert visitor.log_in().status == 303
        page = visitor.get("/ui/models")
        assert page.status == 200
        plain = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.body.decode())))
        assert "fast cheapest" in plain
        assert "openai/gpt-4o-mini 3 $0.15 $0.60 at most 2 000 tokens" in plain
        assert "groq/x 1 $2.00 $3.00 defaults temperature 0.5" in plain
        assert "sandbox/echo 1 – –" in plain
        assert "mistral/small fallback" in plain
        assert "outer weighted" in plain
        assert 'href="/ui/playground?model=fast"' in page.body.decode()
        assert 'value="fast"' in visitor.get("/ui/playground?model=fast").body.decode()
