"""``sluice doctor``: what is found of configuration, database, Redis, port, providers, clock; one line each, with a remedy.

Exit codes: 0 where nothing is to be done, 1 where something fails or is hardly meant, 2 for a configuration that
cannot be read. Tests: tests/terminal/test_doctor.py.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Final

from app.config_loading import ConfigError, load
from app.examination.findings import as_json, fail, is_well, show
from app.examination.looks import examine
from app.gateway.redaction import Redactor

_WRONG: Final = 2


def run(given: argparse.Namespace) -> int:
    """Examine, print, and return the exit code."""
    try:
        settings = load(os.environ, given.config)
    except ConfigError as error:
        return _refuse(error, as_data=given.json)
    redact = Redactor(settings).text
    if given.json:
        findings = list(examine(settings))
        print(redact(as_json(findings)))
    else:
        findings = show(examine(settings), redact)
    return 0 if is_well(findings) else 1


def _refuse(error: ConfigError, *, as_data: bool) -> int:
    if as_data:
        print(as_json([fail(place, sentence) for place, sentence in error.faults]))
    else:
        for place, sentence in error.faults:
            print(f"sluice: {place}: {sentence}", file=sys.stderr)
    return _WRONG
