"""deploy/nginx.conf in front of the real gateway: streams, slow bodies, uploads, connections kept and left."""

from __future__ import annotations

import http.client
import json
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.deploy.conftest import Front
from tests.deploy.raw import converse
from tests.deploy.running_nginx import running_nginx
from tests.running import running_gateway
from tests.traffic.replay import Reply, Upstream

ON = "gzip on; gzip_proxied any; gzip_min_length 1; gzip_types *;"
# What another part of a site may have switched on for all of it, and what happens if ours is lost besides.
COMPRESSING = {
    "as shipped": {},
    "compressing around it": {"server_tokens off;": f"server_tokens off; {ON}"},
    "compressing": {"gzip off; ": ON},
}
CONTENT_TYPE = {"Content-Type": "application/json"}


def _body(prompt: str, **members: Any) -> bytes:
    return json.dumps({"model": "sandbox/echo", "input": prompt, **members}).encode()


def _post(port: int, body: bytes, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/v1/responses", body, CONTENT_TYPE | (headers or {}))
    return connection.getresponse()


def _timed(port: int, prompt: str, headers: dict[str, str] | None = None) -> list[tuple[float, bytes]]:
    """Return the pieces of a stream's body with the seconds from its start."""
    began = time.monotonic()
    response = _post(port, _body(prompt, stream=True), headers)
    assert response.status == 200
    packed = response.getheader("content-encoding") == "gzip"
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress if packed else bytes
    pieces = []
    while piece := response.read1(65536):
        pieces.append((time.monotonic() - began, unpack(piece)))
    return pieces


def _text(body: bytes) -> str:
    matches = re.findall(rb'data: (\{"type":"response\.output_text\.delta".*)', body)
    return "".join(json.loads(line)["delta"] for line in matches)


@pytest.fixture(params=COMPRESSING)
def before(
    request: pytest.FixtureRequest, front: Front, nginx: str, repo_dir: Path, tmp_path: Path
) -> Iterator[int]:
    """The port of nginx, as shipped or made to compress."""
    shipped, edits = repo_dir / "deploy/nginx.conf", COMPRESSING[request.param]
    with running_nginx(nginx, shipped, tmp_path, gateway=front.gateway.port, edits=edits) as port:
        yield port


def test_events_come_when_they_are_made(before: int) -> None:
    pieces = _timed(before, "take 2 seconds", {"Accept-Encoding": "gzip"})
    first = next(at for at, piece in pieces if b"response.output_text.delta" in piece)
    assert pieces[-1][0] - first > 0.9  # held back, all of it comes at the end
    assert len(pieces) > 3


def test_a_hundred_streams_flow_side_by_side(front: Front) -> None:
    began = time.monotonic()
    jobs = [gevent.spawn(_timed, front.nginx, f"take 2 seconds\nsay exactly: stream {n}") for n in range(100)]
    gevent.joinall(jobs, timeout=120)
    bodies = [b"".join(piece for _, piece in job.get()) for job in jobs]
    assert time.monotonic() - began < 100  # one after another they take 200 s
    assert [_text(body) for body in bodies] == [f"stream {n}" for n in range(100)]
    assert all(b"event: response.completed" in body for body in bodies)


def test_a_slow_body_waits_in_nginx_not_in_a_worker(front: Front) -> None:
    body = _body("say exactly: at last")
    head = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    jobs = {
        way: gevent.spawn(converse, front.port(way), head, body[:20], body[20:], pause=1.5)
        for way in ("direct", "nginx")
    }
    answers = {way: job.get().answers for way, job in jobs.items()}
    assert [answer.status for answer in answers["nginx"]] == [200]
    assert [answer.status for answer in answers["direct"]] == [408]  # the gateway alone gives it two seconds


def _upload(port: int, size: int) -> tuple[int, Any]:
    """Send a recording of ``size`` bytes; return the status and the parsed answer."""
    edge = "----edge"
    fields = f'--{edge}\r\nContent-Disposition: form-data; name="model"\r\n\r\nsandbox/whisper\r\n'
    fields += f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
    fields += "Content-Type: audio/wav\r\n\r\n"
    body = fields.encode() + bytes(size) + f"\r\n--{edge}--\r\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
    connection.request("POST", "/v1/audio/transcriptions", body, headers)
    response = connection.getresponse()
    assert response.getheader("content-type") == "application/json"
    return response.status, json.loads(response.read())


@pytest.mark.parametrize("way", ["direct", "nginx"])
def test_a_recording_of_25_mib_arrives_and_a_larger_one_is_refused(way: str, front: Front) -> None:
    status, answer = _upload(front.port(way), 25 * 2**20)
    assert (status, isinstance(answer.get("text"), str)) == (200, True), answer
    status, answer = _upload(front.port(way), 25 * 2**20 + 1)
    assert (status, answer["error"]["type"]) == (413, "invalid_request_error")


def test_a_gateway_that_takes_too_long_for_nginx_is_told_in_json(
    front: Front, nginx: str, repo_dir: Path, tmp_path: Path
) -> None:
    short = {"proxy_read_timeout 3600s;": "proxy_read_timeout 1s;"}
    shipped = repo_dir / "deploy/nginx.conf"
    with running_nginx(nginx, shipped, tmp_path, gateway=front.gateway.port, edits=short) as port:
        response = _post(port, _body("take 3 seconds"))
        error = json.loads(response.read())["error"]
    assert (response.status, error["code"]) == (504, "gateway_unreachable")


def test_kept_connections_never_cost_a_request(front: Front) -> None:
    """nginx gives up idle connections just before gunicorn would; requests around that moment get through."""

    def before_and_after(seconds: float) -> tuple[int, int]:
        first = _post(front.nginx, _body("Hello")).status
        gevent.sleep(seconds)
        return first, _post(front.nginx, _body("Hello")).status

    jobs = [gevent.spawn(before_and_after, 3.6 + 0.05 * step) for step in range(40)]
    assert [job.get() for job in jobs] == [(200, 200)] * 40


def test_a_client_that_leaves_nginx_leaves_the_provider(nginx: str, repo_dir: Path, tmp_path: Path) -> None:
    with Upstream() as upstream:
        upstream.add(Reply.sse(b'data: {"choices": []}\n\n', hang=20))
        environ = {"GROQ_API_KEY": "k", "GROQ_BASE_URL": upstream.url, "SLUICE_OPEN": "1"}
        shipped = repo_dir / "deploy/nginx.conf"
        with (
            running_gateway(environ) as gateway,
            running_nginx(nginx, shipped, tmp_path, gateway=gateway.port) as port,
        ):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            body = json.dumps({"model": "groq/x", "input": "hi", "stream": True})
            connection.request("POST", "/v1/responses", body, CONTENT_TYPE)
            (requests,) = upstream.wait_for(1)
            connection.close()
            assert requests.closed.wait(3)


def test_a_sub_path_can_be_stripped_by_nginx(
    front: Front, nginx: str, repo_dir: Path, tmp_path: Path
) -> None:
    below = {"location / {": "location /llm/ {", "proxy_pass http://sluice;": "proxy_pass http://sluice/;"}
    shipped = repo_dir / "deploy/nginx.conf"
    with running_nginx(nginx, shipped, tmp_path, gateway=front.gateway.port, edits=below) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/llm/v1/responses", _body("Hello"), CONTENT_TYPE)
        assert connection.getresponse().status == 200
