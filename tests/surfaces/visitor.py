"""Who visits the window in the tests: a browser without scripts, and what it sends."""

from __future__ import annotations

import html
import http.client
import re
from typing import Any
from urllib.parse import urlencode

from tests.behaviour.world import Answer, World, whole

MASTER = "sk-master-of-this-test"
ENV = {"SLUICE_MASTER_KEY": MASTER, "SLUICE_SECRET_KEY": "a secret of this test", "WEB_CONCURRENCY": "2"}
FORM = "application/x-www-form-urlencoded"
EVIL = "<script>alert('x')</script>"


class Visitor:
    """A browser without scripts: it keeps one cookie and follows nothing."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cookie = ""

    def get(self, path: str, **headers: str) -> Answer:
        return self._send("GET", path, None, headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        return self._send("POST", path, urlencode(fields), {"content-type": FORM, **headers})

    def log_in(self, key: str = MASTER, **fields: str) -> Answer:
        return self.post("/ui/login", {"key": key, **fields})

    @property
    def token(self) -> str:
        match = re.search(r'name="csrf" value="([^"]+)"', self.get("/ui/background").body.decode())
        assert match is not None
        return match[1]

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            sent["cookie"] = self.cookie
        connection = http.client.HTTPConnection("127.0.0.1", self.world.gateway.port, timeout=30)
        try:
            connection.request(method, path, body, sent)
            answer = whole(connection.getresponse())
        finally:
            connection.close()
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer


def logged_in(world: World) -> Visitor:
    """Return a visitor with the master key."""
    visitor = Visitor(world)
    assert visitor.log_in().status == 303
    return visitor


def plain_text(page: Answer) -> str:
    """Return the text of a page, with single spaces and without tags."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.body.decode())))
