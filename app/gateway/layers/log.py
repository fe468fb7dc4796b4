"""The gateway's log on standard error, allow-listed fields only: JSON lines, or a person's.

Tests: tests/gateway/test_console.py, tests/behaviour/test_attacks.py, tests/behaviour/test_own_faults.py.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from app.errors import GatewayError
from app.gateway import console
from app.gateway.call import Call
from app.gateway.outcome import Outcome
from app.gateway.redaction import Redactor, shorten
from app.wire.json import dumps, dumps_ascii
from app.wire.line_writer import LineWriter

Redact = Callable[[str], str]

_MOST_OF_CAUSE: Final = 500  # characters

_BREAKING: Final = re.compile("[\x7f-\x9f\u2028\u2029]")
"""Characters that a viewer may read as the end of a line or a terminal's command; JSON escapes the others."""


def _as_json(fields: Mapping[str, Any]) -> bytes:
    line = dumps(fields, parsed=True)
    if line.isascii() and b"\x7f" not in line:
        return line
    return _BREAKING.sub(lambda match: f"\\u{ord(match[0]):04x}", line.decode()).encode()


class _Log:
    """Where lines go and what they look like, in this process."""

    def __init__(self) -> None:
        self.form: Callable[[Mapping[str, Any]], bytes] = _as_json
        self.mute = False
        self._writer = LineWriter()

    def write(self, fields: Mapping[str, Any]) -> None:
        if not self.mute:
            self._writer.write(self.form(fields) + b"\n")
        elif fields.get("event") == "fault":
            print(self.form(fields).decode(), file=sys.stderr)


_LOG: Final = _Log()
_NOTED: Final = ("app", "psycopg", "redis", "sqlalchemy")


def log_line(**fields: Any) -> None:
    """Write one line; a log that cannot be written never fails a request."""
    _LOG.write({"time": _now(), **fields})


def _now() -> float:
    return round(time.time(), 3)


def mute() -> None:
    """Write no lines in this process, which is a command, except faults of ours, on standard error."""
    _LOG.mute = True


def fault_of(error: Exception, request_id: str | None, redact: Redact) -> GatewayError:
    """Log a fault of ours with its trace; return the error that the client sees in its place."""
    log_line(
        level="error",
        event="fault",
        request_id=request_id,
        error=redact(shorten(repr(error), 500)),
        trace=redact("".join(traceback.format_exception(error))[-8000:]),
    )
    fault = GatewayError("internal", "The gateway met an internal error.")
    fault.__cause__ = error
    return fault


class LogLines(logging.Handler):
    """Writes the records of Python's logging as lines of this log."""

    def __init__(self, redact: Redact) -> None:
        super().__init__(logging.INFO)
        self._redact = redact

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        trace = {}
        if record.exc_info:
            trace["trace"] = self._redact("".join(traceback.format_exception(*record.exc_info))[-8000:])
        log_line(
            level=record.levelname.lower(),
            event="note",
            source=record.name,
            message=self._redact(shorten(record.getMessage(), 2000)),
            **trace,
        )


def take_notes(redact: Redact, form: str = "json") -> None:
    """Write the records of the gateway's modules, and of the libraries of its stores, to this log, in this process.

    ``form`` is ``json``, ``console`` or ``auto``: ``console`` where standard error is a terminal."""
    terminal = sys.stderr.isatty()
    if form == "console" or (form == "auto" and terminal):
        form_line = console.make_formatter(coloured=terminal and not os.environ.get("NO_COLOR"))
        _LOG.form = lambda fields: form_line(fields).encode("utf-8", "backslashreplace")
    for name in _NOTED:
        logger = logging.getLogger(name)
        logger.handlers = [LogLines(redact)]
        logger.propagate = False


def log_call(outcome: Outcome, redact: Redact) -> None:
    """Log the end of a call: who, what, where, its result and its cost; no content.

    For a failed call also the last attempt, and its cause, which only the operator sees."""
    call, usage, error = outcome.call, outcome.usage, outcome.error
    line: dict[str, Any] = {
        "time": _now(),
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
        "status": outcome.status,
    }
    if error is not None:
        line |= _failure(call, call.progress.last_error or error, redact)
    if usage is not None:
        line |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        line["cost"] = outcome.cost.get("total_cost") if outcome.cost else None
    if outcome.losses:
        line["warnings"] = len(outcome.losses)
    if call.log_metadata:
        line["metadata"] = dict(call.log_metadata)
    _LOG.write(line)


def _failure(call: Call, error: GatewayError, redact: Redact) -> dict[str, Any]:
    """Return what an operator needs to know of a call that failed."""
    cause = {"cause": _cause(error, redact)}
    if not call.attempts:
        return cause
    last = call.attempts[-1]
    attempt = {"provider": last.provider, "sent_model": last.model, "provider_key": last.key}
    return {**cause, **attempt, "upstream_status": last.status}


def _cause(error: GatewayError, redact: Redact) -> str:
    """Return the beginning of the cause of ``error``. It is cut before it is redacted, which takes long for a long text."""
    return redact(shorten(_words(error), _MOST_OF_CAUSE))[:_MOST_OF_CAUSE]


def _words(error: GatewayError) -> str:
    """Return the words of the upstream, of the connection or of the exception below, else the message."""
    raw = error.raw
    if isinstance(raw, bytes):
        raw = raw.decode("utf-8", "replace")
    if raw not in (None, ""):
        return raw if isinstance(raw, str) else dumps_ascii(raw).decode("utf-8", "replace")
    below = error.__cause__
    return f"{type(below).__name__}: {below}" if below is not None else error.message


def log_request(redact: Redact, error: GatewayError | None, **fields: Any) -> None:
    """Log a request of a surface that was no call: it was refused before, or answered from the store."""
    line: dict[str, Any] = {"level": "info" if error is None else "warning", "event": "request", **fields}
    if error is not None:
        line |= {"error": error.code or error.kind.name, "cause": _cause(error, redact)}
    log_line(**line)


class _Redacting(Protocol):
    redactor: Redactor


def make(services: _Redacting) -> Callable[[Outcome], None]:
    """Return the listener that logs each end."""
    redact = services.redactor.text
    return lambda outcome: log_call(outcome, redact)


def _since(start: float, moment: float | None) -> int | None:
    return None if moment is None else round((moment - start) * 1000)
