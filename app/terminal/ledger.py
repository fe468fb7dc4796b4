"""``sluice ledger check``: whether every budget is the sum of its rows.

Exit codes: 0 if it is, 1 if not, 2 if it could not be read.
"""

from __future__ import annotations

import argparse
import os
from typing import Final

from app.config_loading import load
from app.errors import GatewayError
from app.gateway.core import Gateway
from app.terminal.output import Refusal, print_result
from app.terminal.progress import line

_UNSOUND: Final = 1


def check(args: argparse.Namespace) -> int:
    """Compare the totals of budgets with the rows of the ledger; return the exit code."""
    gateway = Gateway(load(os.environ, args.config))
    try:
        with line("checking the ledger"):
            report = gateway.state().ledger.check()
    except GatewayError as error:
        raise Refusal(f"the ledger cannot be checked: {error.raw or error.message}") from error
    finally:
        gateway.close()
    verdict = f"{len(report.faults)} faults" if report.faults else "sound"
    summary = f"{report.budgets} budgets and {report.rows} rows of the ledger: {verdict}"
    print_result(args, report._asdict() | {"sound": not report.faults}, "\n".join([*report.faults, summary]))
    return _UNSOUND if report.faults else 0
