"""``sluice doctor``: what is found of configuration, database, Redis, port, providers, clock; one line each, with a remedy.

Exit codes: 0 where nothing is to be done, 1 where something fails or is hardly meant, 2 for a configuration that
cannot be read. Tests: tests/terminal/test_doctor.py.
"""

from __future__ import annotations

import argparse
import os
from typing import Final

from app.config_loading import ConfigError, load
from app.diagnostics.checks import examine
from app.diagnostics.findings import as_json, fail, is_well
from app.gateway.redaction import Redactor
from app.terminal.progress import line

_CONFIGURATION_ERROR: Final = 2


def run(args: argparse.Namespace) -> int:
    """Print the findings and return the exit code."""
    try:
        settings = load(os.environ, args.config)
    except ConfigError as error:
        if not args.json:
            raise
        print(as_json([fail(place, sentence) for place, sentence in error.faults]))
        return _CONFIGURATION_ERROR
    redact = Redactor(settings).text
    findings = []
    with line("looking") as progress:
        for one in examine(settings):
            findings.append(one)
            progress.update(len(findings))
            if not args.json:
                progress.clear()
                print(redact(one.line), flush=True)
    if args.json:
        print(redact(as_json(findings)))
    return 0 if is_well(findings) else 1
