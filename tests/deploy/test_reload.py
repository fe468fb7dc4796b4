"""A reload by the admin API: taken by every process, refused with every fault, and only by who may change things."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from app.reload_report import Board
from tests.lifecycle.house import eventually
from tests.running import Gateway, running_gateway

MASTER = "master-0123456789"
CONFIG = """
[providers.groq]
api_key = "env:A_KEY_OF_THIS_TEST"

[models."{name}"]
target = "sandbox/echo"
"""
ENV = {
    "SLUICE_MASTER_KEY": MASTER,
    "SLUICE_SECRET_KEY": "s",
    "A_KEY_OF_THIS_TEST": "groq-key",
    "WEB_CONCURRENCY": "2",
}


def admin(gateway: Gateway, method: str, path: str, key: str = MASTER, **sent: Any) -> requests.Response:
    headers = {"authorization": f"Bearer {key}", "connection": "close"}
    return requests.request(method, f"{gateway.url}/admin{path}", headers=headers, timeout=40, **sent)


def status(gateway: Gateway, model: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {MASTER}", "connection": "close"}
    url = f"{gateway.url}/v1/chat/completions"
    return requests.post(url, json=body, headers=headers, timeout=20).status_code


def test_every_process_takes_the_configuration_anew() -> None:
    with running_gateway(ENV, config=CONFIG.format(name="before")) as gateway:
        assert status(gateway, "before") == 200
        (gateway.folder / "sluice.toml").write_text(CONFIG.format(name="after"))
        answer = admin(gateway, "POST", "/reload")
        assert (answer.status_code, answer.json()) == (200, {"object": "reload", "reloaded": True})
        assert {status(gateway, "after") for _ in range(8)} == {200}
        assert {status(gateway, "before") for _ in range(8)} == {400}
        (entry,) = admin(gateway, "GET", "/audit").json()["data"]
        assert (entry["action"], entry["admin"], entry["subject"]) == ("reload", "master", "configuration")


@pytest.mark.timeout(240)
def test_every_server_over_one_database_takes_its_own_configuration_anew(tmp_path: Path) -> None:
    env = {**ENV, "DATABASE_URL": f"sqlite:///{tmp_path}/shared.db"}
    with (
        running_gateway(env, config=CONFIG.format(name="before")) as one,
        running_gateway(env, config=CONFIG.format(name="before")) as other,
        running_gateway(env, config=CONFIG.format(name="before")) as faulty,
    ):
        for gateway in (one, other):
            (gateway.folder / "sluice.toml").write_text(CONFIG.format(name="after"))
        (faulty.folder / "sluice.toml").write_text("[server]\nprot = 1\n")
        assert admin(one, "POST", "/reload").status_code == 200
        eventually(lambda: "another server was reloaded" in other.log and status(other, "after") == 200, 40)
        eventually(lambda: {status(other, "before") for _ in range(8)} == {400}, 40)
        eventually(lambda: "sluice keeps its configuration" in faulty.log, 40)
        assert {status(faulty, "before") for _ in range(8)} == {200}
        time.sleep(2.5)  # nobody goes on reloading
        assert one.log.count("another server was reloaded") == 0
        assert other.log.count("another server was reloaded") == 1
        (other.folder / "sluice.toml").write_text(CONFIG.format(name="third"))
        (faulty.folder / "sluice.toml").write_text(CONFIG.format(name="third"))
        (one.folder / "sluice.toml").write_text(CONFIG.format(name="third"))
        assert admin(other, "POST", "/reload").status_code == 200
        for gateway in (one, faulty):
            eventually(lambda: {status(gateway, "third") for _ in range(8)} == {200}, 40)  # noqa: B023 - asked at once


def test_a_faulty_configuration_is_refused_with_all_its_faults_and_changes_nothing() -> None:
    with running_gateway(ENV, config=CONFIG.format(name="before")) as gateway:
        faulty = '[server]\nprot = 1\nretention_days = "x"\n' + CONFIG.format(name="after")
        (gateway.folder / "sluice.toml").write_text(faulty)
        for _ in range(2):
            answer = admin(gateway, "POST", "/reload")
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (422, "invalid_configuration")
            assert {one["param"] for one in error["details"]} == {"server.prot", "server.retention_days"}
            assert "did you mean 'port'" in str(error["details"])
        assert status(gateway, "before") == 200
        assert admin(gateway, "GET", "/audit").json()["data"] == []
        viewer = admin(gateway, "POST", "/admins", json={"name": "eye", "role": "viewer"}).json()["key"]
        assert admin(gateway, "POST", "/reload", viewer).status_code == 403
        (gateway.folder / "sluice.toml").write_text(CONFIG.format(name="after"))
        assert admin(gateway, "POST", "/reload").status_code == 200
        assert status(gateway, "after") == 200


def test_a_board_holds_what_was_said_last_and_no_more_than_fits() -> None:
    board = Board()
    assert board.read() is None
    board.open()
    board.tell([("ä" * 1000, "\N{GRINNING FACE}" * 1000)] * 1000)
    many = board.read()
    assert many is not None
    assert len(many.faults) == 50
    board.tell([("a", "b")])
    assert [board.note(number) for number in (3, 3, 2, 4)] == [True, False, False, True]
    verdict = board.read()
    assert verdict is not None
    assert (verdict.number, verdict.faults) == (2, [["a", "b"]])


def test_of_workers_that_note_a_number_at_one_moment_one_is_the_first() -> None:
    numbers, workers = 20_000, 4
    board, (reader, writer), (start, starter) = Board(), os.pipe(), os.pipe()
    for _ in range(workers):
        if not os.fork():
            os.read(start, 1)
            first = sum(board.note(number) for number in range(1, numbers + 1))
            os.write(writer, first.to_bytes(4, "big"))
            os._exit(0)
    os.write(starter, bytes(workers))
    counts = [int.from_bytes(os.read(reader, 4), "big") for _ in range(workers)]
    for _ in range(workers):
        os.wait()
    assert sum(counts) == numbers
