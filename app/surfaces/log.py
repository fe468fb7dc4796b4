"""The gateway's log: one JSON object a line on standard error, allow-listed fields only."""

from __future__ import annotations

import os
import time
import traceback
from typing import Any

from app.wire.json import dumps


def log_line(**fields: Any) -> None:
    """Write one line; a log that cannot be written never fails a request."""
    line = dumps({"time": round(time.time(), 3), **fields}) + b"\n"
    try:
        os.write(2, line)
    except OSError:
        return


def log_fault(error: BaseException, request_id: str | None) -> None:
    """Log a fault of ours with its trace, which no client sees."""
    trace = "".join(traceback.format_exception(error))
    log_line(
        level="error", event="fault", request_id=request_id, error=repr(error)[:500], trace=trace[-8000:]
    )
