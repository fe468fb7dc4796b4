"""deploy/nginx.conf as shipped: nginx accepts it, and its own refusals are JSON that an SDK reads."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import requests

from tests.deploy.running_nginx import free_port, running_nginx, write_config


def test_nginx_accepts_the_shipped_file(nginx: str, repo_dir: Path, tmp_path: Path) -> None:
    config = write_config(repo_dir / "deploy/nginx.conf", tmp_path, listen=free_port(), gateway=free_port())
    result = subprocess.run(
        [nginx, "-t", "-c", config, "-p", tmp_path], capture_output=True, text=True, check=False
    )
    assert (result.returncode, "warn" in result.stderr) == (0, False), result.stderr


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [(b"{}", 502, "gateway_unreachable"), (b"0" * (31 * 2**20), 413, "request_too_large")],
    ids=["no gateway", "a body past the cap"],
)
def test_a_refusal_by_nginx_is_an_error_object(
    nginx: str, repo_dir: Path, tmp_path: Path, body: bytes, status: int, code: str
) -> None:
    with running_nginx(nginx, repo_dir / "deploy/nginx.conf", tmp_path, gateway=free_port()) as port:
        answer = requests.post(f"http://127.0.0.1:{port}/v1/responses", data=body, timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")
    assert answer.json()["error"]["code"] == code


def test_the_numbers_of_all_callers_are_not_for_the_public(
    nginx: str, repo_dir: Path, tmp_path: Path
) -> None:
    with running_nginx(nginx, repo_dir / "deploy/nginx.conf", tmp_path, gateway=free_port()) as port:
        answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/json")
    assert answer.json()["error"]["type"] == "invalid_request_error"
