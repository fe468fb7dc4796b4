"""Chromium for tests, by its own protocol: pages are opened, looked at and used as a person would.

``running_browser()`` starts the installed Chromium without a screen; where it is missing a test is left out
with that reason. ``Tab.faults`` are all errors that a page's console saw, refusals of its policy among them.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services import leave_out
from tests.websocket_client import ClientConnection, connect

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_LIMIT = 30.0
_POLL = 0.05


class Tab:
    """One page of the browser."""

    def __init__(
        self, socket: ClientConnection, session: str, numbers: Iterator[int], tabs: dict[str, Tab]
    ) -> None:
        self._socket = socket
        self._session = session
        self._numbers = numbers
        self._tabs = tabs
        self._loaded = 0
        self.faults: list[str] = []
        self.requests: list[str] = []
        """The addresses that the page asked for, of any host."""
        tabs[session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command of the protocol and return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params, "sessionId": self._session}
        self._socket.send(json.dumps(message))
        while True:
            value = json.loads(self._socket.recv(timeout=_LIMIT))
            if value.get("id") == number:
                assert "error" not in value, value["error"]
                result: dict[str, Any] = value["result"]
                return result
            hear(value, self._tabs)

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        before = self._loaded
        failed = self.ask("Page.navigate", url=url).get("errorText")
        assert not failed, failed
        self.wait(lambda: self._loaded > before)

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, is_so: Any) -> None:
        """Wait until ``is_so()``, or an expression of the page, is true; it may fail while pages change."""
        limit = time.monotonic() + _LIMIT
        while time.monotonic() < limit:
            said = self.ask("Runtime.evaluate", expression=is_so if isinstance(is_so, str) else "0")
            if said["result"].get("value") if isinstance(is_so, str) else is_so():
                return
            time.sleep(_POLL)
        raise AssertionError(f"not so within {_LIMIT:g} s: {is_so}; {self.text[:500]}")

    def size(self, width: int, height: int = 800) -> None:
        """Make the screen so large, in CSS pixels."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def dark(self, is_dark: bool) -> None:
        """Prefer a dark page, or a light one."""
        value = "dark" if is_dark else "light"
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def press(self, key: str) -> None:
        """Press one key: ``Tab``, ``Enter``."""
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more
            )

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """Write the whole page, or what is seen of it, as PNG."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    @property
    def text(self) -> str:
        """All text that a reader sees."""
        return str(self.run("document.body.innerText"))

    @property
    def overflow(self) -> int:
        """How many pixels the page is wider than its screen."""
        return int(self.run("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def hear(self, said: dict[str, Any]) -> None:
        """Keep what the browser says of this page."""
        method, params = said.get("method"), said.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded += 1
        elif method == "Runtime.exceptionThrown":
            self.faults.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.faults.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.faults.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])


def hear(said: dict[str, Any], tabs: dict[str, Tab]) -> None:
    """Tell the page that it is about what the browser says: all pages speak on one connection."""
    if (tab := tabs.get(said.get("sessionId", ""))) is not None:
        tab.hear(said)


class Browser:
    """A Chromium that runs."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._tabs: dict[str, Tab] = {}

    def tab(self) -> Tab:
        """Open a page of its own, without cookies of others."""
        context = self._ask("Target.createBrowserContext")["browserContextId"]
        target = self._ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Tab(self._socket, session, self._numbers, self._tabs)

    def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            value = json.loads(self._socket.recv(timeout=_LIMIT))
            if value.get("id") == number:
                return value["result"]
            hear(value, self._tabs)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run Chromium with a profile of its own."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        leave_out("Chromium is not installed")
    with tempfile.TemporaryDirectory(prefix="sluice-chromium-", ignore_cleanup_errors=True) as folder:
        command = [program, "--headless", "--remote-debugging-port=0", f"--user-data-dir={folder}"]
        command += [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "about:blank",
        ]
        with (Path(folder) / "chromium.log").open("wb") as log:
            environment = {**os.environ, "HOME": folder}
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            with connect(
                _address(Path(folder), process), max_size=None, proxy=None, ping_interval=None
            ) as socket:
                yield Browser(socket)
                socket.send(json.dumps({"id": 0, "method": "Browser.close"}))  # its end ends the connection
                process.wait(10)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(folder: Path, process: subprocess.Popen[bytes]) -> str:
    """Return where the browser listens, once it says so."""
    file, limit = folder / "DevToolsActivePort", time.monotonic() + _LIMIT
    while time.monotonic() < limit and process.poll() is None:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(_POLL)
    raise RuntimeError(f"Chromium did not start: {(folder / 'chromium.log').read_text()[-2000:]}")
