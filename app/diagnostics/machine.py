"""Checks of the machine: folders, open files, the port, and the addresses that alerts and traces go to.

Tests: tests/terminal/test_doctor.py.
"""

from __future__ import annotations

import http.client
import os
import resource
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from app.bind_address import LOOPBACK, ServingError, listening_fault, resolve_host
from app.config import Settings
from app.diagnostics.findings import Finding, fail, note, ok, warn
from app.metrics_folder import VARIABLE as METRICS_FOLDER
from app.wire.proxies import rules_of

_FILES: Final = 8000
"""Open files that a worker needs for its 2,000 connections, with the providers' and uploads."""


def check_machine(settings: Settings) -> Iterator[Finding]:
    """Yield findings about folders, open files, the port, and the receivers of alerts and traces."""
    yield from _folders(settings)
    yield from _open_files()
    yield from _port(settings)
    yield from _receivers(settings)


def _folders(settings: Settings) -> Iterator[Finding]:
    if settings.spool is not None:
        folder = Path(settings.spool)
        if fault := why_unwritable(_existing(folder)):
            yield fail("spool", f"{folder} cannot be written: {fault}", "check SLUICE_SPOOL")
    if settings.metrics and (metrics_folder := os.environ.get(METRICS_FOLDER)):
        if fault := why_unwritable(_existing(Path(metrics_folder))):
            yield fail("metrics", f"{metrics_folder} cannot be written: {fault}", f"check {METRICS_FOLDER}")
    if (temporary := os.environ.get("TMPDIR")) and not Path(temporary).is_dir():
        yield warn(
            "TMPDIR", f"is no folder, so {tempfile.gettempdir()} is used", "create it, or remove the variable"
        )
    if fault := why_unwritable(Path(tempfile.gettempdir())):
        yield fail("temporary files", fault, "free space, or set TMPDIR")


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next((one for one in (folder, *folder.parents) if one.exists()), folder)


def _open_files() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _FILES:
        return
    sentence = f"a process may open {soft}; a worker needs up to {_FILES}, two for each open call"
    remedy = "`ulimit -n 8000`, or LimitNOFILE of systemd"
    yield warn("open files", sentence, remedy) if soft < 1024 else note("open files", f"{sentence}; {remedy}")


def _port(settings: Settings) -> Iterator[Finding]:
    try:
        host = resolve_host(settings)
    except ServingError as error:
        yield fail("port", str(error))
        return
    fault = listening_fault(host, settings.port)
    if fault is None:
        yield ok("port", f"{host}:{settings.port} is free")
    elif _is_ours(LOOPBACK if host in ("0.0.0.0", "::") else host, settings.port):
        yield ok("port", f"a gateway answers at {host}:{settings.port}")
    else:
        yield fail("port", *fault)


def _is_ours(host: str, port: int) -> bool:
    """Tell whether a gateway answers at this address."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/")
        return b'"sluice"' in connection.getresponse().read(1000)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _receivers(settings: Settings) -> Iterator[Finding]:
    """Yield the receivers of alerts and traces that cannot be reached; those behind a proxy are not tried."""
    for check, variable, url in (
        ("alerts", "SLUICE_ALERT_URL", settings.alert_url),
        ("traces", "OTEL_EXPORTER_OTLP_ENDPOINT", settings.otlp_endpoint),
    ):
        if url and (fault := _unreachable(settings, url)):
            yield warn(check, fault, f"check {variable}, and whether its server runs")


def _unreachable(settings: Settings, url: str) -> str | None:
    """Return why no connection to the host of ``url`` can be opened, None if it can."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if rules_of(settings.environ).proxy_for(parts.scheme, host, port):
        return None
    try:
        with socket.create_connection((host, port), timeout=5):
            return None
    except OSError as error:
        return f"{host}:{port} cannot be reached: {error.strerror or error}"


def why_unwritable(folder: Path) -> str | None:
    """Return why ``folder`` cannot be written, None if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)
