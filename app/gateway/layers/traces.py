"""OpenTelemetry: one span a call and one an attempt, sent by OTLP over HTTP where an address is configured.

Names and attributes are those of the GenAI semantic conventions (opentelemetry.io/docs/specs/semconv/gen-ai,
read November 2026). A caller's ``traceparent`` is the parent of the call's span, and each provider is sent that
of its attempt. Prompts and answers are sent only where ``SLUICE_TRACES_CONTENT`` says so. Where to and what else
(``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_RESOURCE_ATTRIBUTES`` …) the library reads from its own variables.

Tests: tests/gateway/test_traces.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, Final, Protocol

from app.canonical.response import Usage
from app.errors import GatewayError
from app.gateway.attempt_scope import AttemptLayer
from app.gateway.call import Attempt, Call
from app.gateway.outcome import Outcome
from app.gateway.redaction import Redactor, shorten
from app.version import __version__
from app.wire.json import dumps

_OPERATIONS: Final[Mapping[str, str]] = {
    "responses": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
}
_PROVIDERS: Final[Mapping[str, str]] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "vertex": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
}
"""Names of the conventions, where ours are others."""
_PARAMETERS: Final[Mapping[str, str]] = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
}
_PROMPTS: Final = ("input", "messages", "contents", "prompt")
_MOST_CONTENT: Final = 64 * 1024  # characters a side
_SECOND: Final = 1_000_000_000  # nanoseconds
_FLUSH: Final = 2000  # milliseconds that a closing process waits for the collector


class Traces:
    """The spans of one process. The library is loaded when this is made."""

    def __init__(self, endpoint: str, redactor: Redactor, *, content: bool) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create({"service.name": "sluice", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("sluice", __version__)
        self._contexts = TraceContextTextMapPropagator()
        self._kinds = {"call": SpanKind.SERVER, "attempt": SpanKind.CLIENT}
        self._redact = redactor.text
        self._content = content

    def close(self) -> None:
        """Send the remaining spans, for two seconds at most."""
        self._provider.force_flush(_FLUSH)
        self._provider.shutdown()

    @contextmanager
    def attempt(self, attempt: Attempt) -> Iterator[None]:
        """Put a span around an attempt, and send its id to the provider."""
        call = attempt.call
        span = self._tracer.start_span(
            f"{_operation(call)} {attempt.model}".strip(),
            self._activate(self._span_of(call)),
            self._kinds["attempt"],
            {**_request_attributes(call, attempt.model), **_target_attributes(attempt)},
        )
        carrier: dict[str, str] = {}
        self._contexts.inject(carrier, self._activate(span))
        attempt.trace_parent = carrier.get("traceparent")
        try:
            yield
        except GatewayError as error:
            _fail(span, error)
            raise
        finally:
            if attempt.status is not None:
                span.set_attribute("http.response.status_code", attempt.status)
            span.set_attributes(_usage_attributes(attempt.usage, attempt.cost))
            span.end()

    def end(self, outcome: Outcome) -> None:
        """End the span of a call with its outcome."""
        call = outcome.call
        span = self._span_of(call)
        span.set_attributes(self._outcome_attributes(outcome))
        if outcome.error is not None:
            _fail(span, outcome.error)
        span.end()

    def _span_of(self, call: Call) -> Any:
        """Return the call's span, which began when the call did."""
        if call.progress.span is None:
            parent = self._contexts.extract(call.client_headers)
            began = time.time_ns() - int((time.monotonic() - call.started) * _SECOND)
            attributes = {
                **_request_attributes(call, call.model),
                "sluice.request.id": call.id,
                "sluice.door": call.surface,
                "sluice.key": call.principal.key,
                "sluice.tenant": call.principal.tenant,
            }
            name = f"{_operation(call)} {call.model}".strip()
            call.progress.span = self._tracer.start_span(
                name, parent, self._kinds["call"], attributes, start_time=began
            )
        return call.progress.span

    def _activate(self, span: Any) -> Any:
        from opentelemetry.trace import set_span_in_context

        return set_span_in_context(span)

    def _outcome_attributes(self, outcome: Outcome) -> dict[str, Any]:
        call, response = outcome.call, outcome.response
        attributes: dict[str, Any] = {
            **_usage_attributes(outcome.usage, outcome.cost),
            "http.response.status_code": outcome.status,
            "sluice.attempts": len(call.attempts),
        }
        if outcome.target is not None:
            attributes["gen_ai.provider.name"] = _convention(outcome.target.provider.name)
            attributes["gen_ai.response.model"] = outcome.target.model
        if call.response_id is not None:
            attributes["gen_ai.response.id"] = call.response_id
        if outcome.finish is not None:
            attributes["gen_ai.response.finish_reasons"] = [outcome.finish.reason]
        if outcome.first_content is not None:
            attributes["gen_ai.response.time_to_first_chunk"] = max(0.0, outcome.first_content - call.started)
        if self._content:
            prompt = next((call.body[name] for name in _PROMPTS if name in call.body), None)
            attributes["gen_ai.input.messages"] = self._encode_content(prompt)
            attributes["gen_ai.output.messages"] = self._encode_content(
                outcome.body if response is None else response
            )
        return attributes

    def _encode_content(self, value: Any) -> str:
        """Return contents as JSON, without secrets, cut at 64 Ki characters."""
        text = dumps(_attribute(value)).decode("utf-8", "replace")
        return self._redact(shorten(text, _MOST_CONTENT))


def _operation(call: Call) -> str:
    return _OPERATIONS.get(call.operation, call.operation)


def _request_attributes(call: Call, model: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": _operation(call),
        "gen_ai.request.model": model,
        "gen_ai.request.stream": call.stream,
    }
    for name, attribute in _PARAMETERS.items():
        value = call.body.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            attributes[attribute] = value
    return attributes


def _convention(provider: str) -> str:
    return _PROVIDERS.get(provider, provider)


def _target_attributes(attempt: Attempt) -> dict[str, Any]:
    attributes = {"gen_ai.provider.name": _convention(attempt.provider)}
    return {**attributes, "sluice.provider_key": attempt.key} if attempt.key else attributes


def _usage_attributes(usage: Usage | None, cost: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the attributes of what was used up, those that are known."""
    if usage is None:
        return {}
    counts = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "sluice.cost": cost.get("total_cost") if cost else None,
    }
    return {name: count for name, count in counts.items() if count is not None}


def _fail(span: Any, error: GatewayError) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", error.code or error.kind.name)
    span.set_status(Status(StatusCode.ERROR))


def _attribute(value: Any) -> Any:
    """Return a canonical value as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {member.name: _attribute(getattr(value, member.name)) for member in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _attribute(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_attribute(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class _Traced(Protocol):
    traces: Traces | None


def make(services: _Traced) -> AttemptLayer | None:
    """Return the layer of attempts; None where nothing is traced."""
    return None if services.traces is None else services.traces.attempt


def make_listener(services: _Traced) -> Callable[[Outcome], None] | None:
    """Return the listener that ends calls' spans; None where nothing is traced."""
    return None if services.traces is None else services.traces.end
