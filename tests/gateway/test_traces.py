"""OpenTelemetry: what a collector is sent, read by its own decoder; and what a provider and a caller see of it."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app.config_loading import ConfigError, load
from tests.behaviour.world import World, chat_body, chat_stream, running_world
from tests.traffic.replay import Reply, Request, Upstream

KEY = "sk-traces-0123456789"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MODEL = "llama-3.3-70b-versatile"


@pytest.fixture(scope="module")
def collector() -> Iterator[Upstream]:
    with Upstream(lambda request: Reply.json({})) as server:
        yield server


@pytest.fixture(scope="module")
def traced(collector: Upstream) -> Iterator[World]:
    env = {
        "SLUICE_KEYS": f"ann:{KEY}:team",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "SLUICE_TRACES_CONTENT": "on",
        "SLUICE_MAX_RETRIES": "0",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    with running_world(env, key=KEY) as world:
        yield world


def spans_of(collector: Upstream, count: int) -> list[Span]:
    """Wait for so many spans; the call's are the last of each trace."""
    found: list[Span] = []
    limit = time.monotonic() + 30
    while len(found) < count and time.monotonic() < limit:
        found = [span for request in list(collector.requests) for span in _read(request)]
        time.sleep(0.02)
    assert len(found) == count, [span.name for span in found]
    collector.forget()
    collector.script = lambda request: Reply.json({})
    return found


def _read(request: Request) -> list[Span]:
    assert request.path == "/v1/traces"
    body = (
        gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
    )
    message = ExportTraceServiceRequest.FromString(body)
    return [
        span for resource in message.resource_spans for scope in resource.scope_spans for span in scope.spans
    ]


def attributes(span: Span) -> dict[str, Any]:
    """Return a span's attributes as plain values."""
    return {pair.key: _value(pair.value) for pair in span.attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, str(kind))


def test_a_call_and_its_attempt_are_two_spans_below_the_callers(traced: World, collector: Upstream) -> None:
    traced.upstream.add(Reply.json(chat_body("good")))
    answer = traced.ask(model=f"groq/{MODEL}", headers={"traceparent": PARENT}, temperature=0.5)
    assert answer.status == 200
    attempt, call = spans_of(collector, 2)
    assert call.trace_id.hex() == attempt.trace_id.hex() == PARENT.split("-")[1]
    assert call.parent_span_id.hex() == PARENT.split("-")[2]
    assert attempt.parent_span_id == call.span_id
    assert (call.name, call.kind) == (f"chat groq/{MODEL}", Span.SPAN_KIND_SERVER)
    assert (attempt.name, attempt.kind) == (f"chat {MODEL}", Span.SPAN_KIND_CLIENT)
    assert call.start_time_unix_nano <= attempt.start_time_unix_nano < attempt.end_time_unix_nano
    assert attempt.end_time_unix_nano <= call.end_time_unix_nano
    span_attributes = attributes(call)
    assert span_attributes["gen_ai.operation.name"] == "chat"
    assert span_attributes["gen_ai.provider.name"] == "groq"
    assert span_attributes["gen_ai.response.model"] == MODEL
    assert span_attributes["gen_ai.request.temperature"] == 0.5
    assert span_attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert (
        span_attributes["sluice.key"],
        span_attributes["sluice.tenant"],
        span_attributes["sluice.attempts"],
    ) == ("ann", "team", 1)
    assert span_attributes["gen_ai.usage.input_tokens"] > 0
    assert span_attributes["sluice.cost"] > 0
    sent = traced.upstream.requests[-1].headers["traceparent"]
    assert sent == f"00-{attempt.trace_id.hex()}-{attempt.span_id.hex()}-01"


def test_a_stream_is_traced_to_its_end(traced: World, collector: Upstream) -> None:
    traced.upstream.forget()
    traced.upstream.add(Reply.sse(chat_stream("a", "b")))
    traced.ask(model=f"groq/{MODEL}", stream=True)
    attempt, call = spans_of(collector, 2)
    span_attributes = attributes(call)
    assert span_attributes["gen_ai.request.stream"] is True
    assert span_attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert attributes(attempt)["gen_ai.usage.output_tokens"] > 0


def test_what_fails_is_an_error_with_its_status(traced: World, collector: Upstream) -> None:
    traced.upstream.forget()
    traced.upstream.add(Reply.json({"error": {"message": "no"}}, 500), times=9)
    assert traced.ask(model=f"groq/{MODEL}").status >= 500
    attempt, call = spans_of(collector, 2)
    assert attempt.status.code == call.status.code == 2
    assert attributes(attempt)["http.response.status_code"] == 500
    assert attributes(call)["error.type"]
    assert traced.ask(model="nobody/x").status == 400
    (refused,) = spans_of(collector, 1)
    assert attributes(refused)["error.type"] == "model_not_found"


def test_contents_are_there_where_that_is_set_without_secrets(traced: World, collector: Upstream) -> None:
    traced.ask(model="sandbox/echo", messages=[{"role": "user", "content": f"say exactly: {KEY} x"}])
    span_attributes = attributes(spans_of(collector, 2)[1])
    assert KEY not in json.dumps(span_attributes)
    assert "say exactly" in span_attributes["gen_ai.input.messages"]
    assert "gen_ai.output.messages" in span_attributes


def test_without_that_setting_no_content_leaves(collector: Upstream) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{collector.url}/", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with running_world(env) as world:
        world.ask(model="sandbox/echo", messages=[{"role": "user", "content": "say exactly: canary-words"}])
    spans = spans_of(collector, 2)
    assert "canary-words" not in json.dumps([attributes(span) for span in spans])


def test_a_collector_that_is_away_harms_no_call() -> None:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",  # how long it is tried once more as the gateway leaves
    }
    with running_world(env) as world:
        assert [world.ask(model="sandbox/echo").status for _ in range(5)] == [200] * 5


def test_an_address_that_is_none_is_a_fault() -> None:
    with pytest.raises(ConfigError) as raised:
        load({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"})
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in str(raised.value)
