"""The gateway's log: one JSON object a line on standard error, allow-listed fields only."""

from __future__ import annotations

import os
import re
import time
import traceback
from typing import Any, Final

from app.gateway.call import Outcome
from app.wire.json import dumps

_BREAKING: Final = re.compile("[\x7f-\x9f\u2028\u2029]")
"""What a viewer may take for a line's end or a terminal's command; JSON escapes the rest."""


def log_line(**fields: Any) -> None:
    """Write one line; a log that cannot be written never fails a request."""
    text = dumps({"time": round(time.time(), 3), **fields}).decode()
    line = _BREAKING.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"
    try:
        os.write(2, line.encode())
    except OSError:
        return


def log_fault(error: BaseException, request_id: str | None) -> None:
    """Log a fault of ours with its trace, which no client sees."""
    trace = "".join(traceback.format_exception(error))
    log_line(
        level="error", event="fault", request_id=request_id, error=repr(error)[:500], trace=trace[-8000:]
    )


def log_call(outcome: Outcome) -> None:
    """Log the end of a call: who, what, where, how it ended and what it cost; no content."""
    call, usage, error = outcome.call, outcome.usage, outcome.error
    line: dict[str, Any] = {
        "level": "info" if error is None else "warning",
        "event": "call",
        "request_id": call.id,
        "key": call.principal.key,
        "tenant": call.principal.tenant,
        "operation": call.operation,
        "stream": call.stream,
        "model": call.model,
        "provider": outcome.target.provider.name if outcome.target else None,
        "sent_model": outcome.target.model if outcome.target else None,
        "response_id": call.response_id,
        "attempts": len(call.attempts),
        "ms": call.elapsed_ms(),
        "upstream_ms": outcome.upstream_ms,
        "first_content_ms": _since(call.started, outcome.first_content),
        "error": error.code or error.kind.name if error else None,
        "status": error.status if error else 200,
    }
    if usage is not None:
        line |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        line["cost"] = outcome.cost.get("total_cost") if outcome.cost else None
    if call.log_metadata:
        line["metadata"] = dict(call.log_metadata)
    log_line(**line)


def _since(start: float, moment: float | None) -> int | None:
    return None if moment is None else round((moment - start) * 1000)
