"""Several gateways over one database and one Redis, before a provider that answers all alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import gevent

from tests.behaviour.world import Answer, chat_body
from tests.lifecycle.house import Client
from tests.running import Gateway, running_gateway
from tests.traffic.replay import Reply, Request, Upstream

PROMPT: dict[str, Any] = {"model": "groq/x", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"


def keys(**limits: str) -> str:
    """Return the tables of client keys, each of the tenant red, with limits in TOML."""
    return "".join(
        f'[keys.{name}]\nkey = "sk-{name}"\ntenant = "red"\nlimits = [{text}]\n'
        for name, text in limits.items()
    )


@dataclass
class City:
    """What runs."""

    gateways: list[Gateway]
    upstream: Upstream

    def client(self, key: str = "ann", gateway: int = 0) -> Client:
        """Return a client with the key of this name."""
        return Client(self.gateways[gateway].port, f"sk-{key}")

    def ask(self, key: str = "ann", gateway: int = 0, **members: Any) -> Answer:
        """Put a prompt to a gateway."""
        return self.client(key, gateway).send("POST", CHAT, {**PROMPT, **members})

    def crowd(self, count: int, key: str = "ann", **members: Any) -> Counter[int]:
        """Put so many prompts at once, to all gateways in turn; return how many had which status."""
        calls = [
            gevent.spawn(self.ask, key, number % len(self.gateways), **members) for number in range(count)
        ]
        gevent.joinall(calls, raise_error=True)
        return Counter(one.value.status for one in calls)

    @property
    def served(self) -> int:
        """Return how many requests came to the provider."""
        return len(self.upstream.requests)


def good(request: Request) -> Reply:
    """Answer with five tokens: three in, two out."""
    return Reply.json(chat_body())


@contextmanager
def running_city(
    config: str,
    *,
    gateways: int = 1,
    workers: int = 1,
    script: Callable[[Request], Reply] = good,
    env: Mapping[str, str] | None = None,
) -> Iterator[City]:
    """Run gateways of so many workers; ``{upstream}`` in ``config`` is the provider's URL."""
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(script))
        variables = {
            "GROQ_API_KEY": "groq-key",
            "GROQ_BASE_URL": f"{upstream.url}/groq",
            "WEB_CONCURRENCY": str(workers),
            "SLUICE_MAX_RETRIES": "0",
            **(env or {}),
        }
        if gateways > 1 and "DATABASE_URL" not in variables:
            raise ValueError("several gateways need one database")
        text = config.replace("{upstream}", upstream.url)
        running = [stack.enter_context(running_gateway(variables, config=text)) for _ in range(gateways)]
        yield City(running, upstream)
