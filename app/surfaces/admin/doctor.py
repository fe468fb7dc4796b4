"""The view of ``/admin/doctor``: the checks of ``sluice doctor``, run in the process that answers."""

from __future__ import annotations

from typing import Final

import gevent
from flask import Response

from app.diagnostics.checks import examine
from app.diagnostics.findings import Finding, as_object, warn
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response

_LONGEST: Final = 60.0
"""Seconds after which the remaining checks are reported as not done."""
_REMEDY: Final = "ask again, or run `sluice doctor`, which has no time limit"


def run() -> Response:
    """Check configuration, database, Redis, folders, port, providers and clock."""
    gateway = requests.gateway()
    findings: list[Finding] = []
    try:
        with gevent.Timeout(_LONGEST):
            findings.extend(examine(gateway.settings))
    except gevent.Timeout:
        findings.append(
            warn("time", f"checks that are not listed did not finish within {_LONGEST:.0f} s", _REMEDY)
        )
    return json_response(gateway.redactor.value(as_object(findings)))
