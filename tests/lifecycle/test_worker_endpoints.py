"""What a worker shows on its port: health, and the background calls that it ran."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest

from tests.lifecycle.house import eventually, running_house, running_worker, text_of, variables
from tests.running import free_port


def page(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_worker_tells_its_health_and_counts_and_logs_background_calls(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url, port = f"sqlite:///{tmp_path}/own.db", free_port()
    with running_house(url, env={"SLUICE_BACKGROUND": "off"}) as house:
        env = variables(house.upstream, url) | {"SLUICE_WORKER_PORT": str(port)}
        with running_worker(env, tmp_path / "worker"):
            assert json.loads(page(port, "/healthz")[1])["status"] == "ok"
            assert page(port, "/readyz")[0] == 200
            response = house.client().make("say exactly: counted", background=True)
            assert text_of(house.client().ended(response["id"])) == "counted"
            done = 'sluice_requests_total{model="other",operation="responses",provider="sandbox",status="200"} 1.0'
            assert eventually(lambda: done in page(port, "/metrics")[1])
            assert "sluice_open_requests 0.0" in page(port, "/metrics")[1]
            assert page(port, "/healthz", "HEAD") == (200, "")
            assert (page(port, "/v1/models")[0], page(port, "/healthz", "POST")[0]) == (404, 405)
    log = capfd.readouterr().err
    lines = [
        json.loads(line) for line in log.splitlines() if '"event":"call"' in line and response["id"] in line
    ]
    assert [line["provider"] for line in lines][-1:] == ["sandbox"]
