"""The view of ``/admin/doctor``: what ``sluice doctor`` looks at, looked at by the process that answers."""

from __future__ import annotations

from typing import Final

import gevent
from flask import Response

from app.diagnostics.checks import examine
from app.diagnostics.findings import Finding, as_object, warn
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response

_LONGEST: Final = 60.0
"""Seconds after which what was not looked at is told to be so."""
_REMEDY: Final = "ask again, or run `sluice doctor`, which waits"


def run() -> Response:
    """Examine configuration, database, Redis, folders, port, providers and clock."""
    gateway = requests.gateway()
    findings: list[Finding] = []
    try:
        with gevent.Timeout(_LONGEST):
            for one in examine(gateway.settings):
                findings.append(one)
    except gevent.Timeout:
        findings.append(
            warn("time", f"what is not listed could not be looked at within {_LONGEST:.0f} s", _REMEDY)
        )
    return json_response(gateway.redactor.value(as_object(findings)))
