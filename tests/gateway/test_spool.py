"""Rows of the ledger on disk: each taken in once, whoever wrote it, and never more than there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from app.gateway.budgets.spool import Spool
from app.state.ledger_rows import Entry, row_id
from app.wire.json import dumps, loads_lenient


def entry(number: int) -> Entry:
    attempt = f"att_{number}"
    usage = {"input_tokens": 3, "output_tokens": 2, "cached_tokens": 0, "reasoning_tokens": 0}
    return Entry(
        id=row_id(attempt),
        attempt_id=attempt,
        call_id="req_ü",
        created_at=1_700_000_001.5,
        period_at=1_700_000_000.5,
        tenant="red",
        key="ann",
        asked="fast",
        provider="groq",
        model="x",
        provider_key=None,
        request_type="chat_completion",
        state="settled",
        cost=10**15 + number,
        cost_details=b'{"total_cost":0.5,"source":"config"}',
        **usage,
    )


class Taken:
    """Takes rows in, unless it is told to fail."""

    def __init__(self) -> None:
        self.rows: list[Entry] = []
        self.fails = False

    def __call__(self, rows: Sequence[Entry]) -> None:
        if self.fails:
            raise ConnectionError("away")
        self.rows += rows


def files(folder: Path) -> int:
    return len(list(folder.glob("*"))) if folder.is_dir() else 0


def test_what_was_kept_is_taken_in_once(tmp_path: Path) -> None:
    spool, taken = Spool(str(tmp_path / "spool")), Taken()
    rows = [entry(number) for number in range(450)]
    assert not spool.waits
    assert spool.keep(rows[:300]) + spool.keep(rows[300:]) == 450
    assert spool.waits
    assert (spool.recover(taken), spool.recover(taken)) == (450, 0)
    assert taken.rows == rows
    assert files(tmp_path / "spool") == 0


def test_what_cannot_be_taken_in_stays(tmp_path: Path) -> None:
    spool, taken = Spool(str(tmp_path)), Taken()
    spool.keep([entry(1)])
    taken.fails = True
    with pytest.raises(ConnectionError):
        spool.recover(taken)
    spool.keep([entry(2)])
    taken.fails = False
    assert spool.recover(taken) == 2


def test_a_row_that_cannot_be_taken_in_keeps_no_other_from_it(tmp_path: Path) -> None:
    spool, taken = Spool(str(tmp_path)), Taken()
    spool.keep([entry(1), entry(2), entry(3)])

    def take(rows: Sequence[Entry]) -> None:
        if entry(2) in rows:
            raise TypeError("no number")
        taken(rows)

    spool.recover(take)
    assert taken.rows == [entry(1), entry(3)]
    assert not spool.waits


def test_a_file_that_another_process_holds_is_left_to_it(tmp_path: Path) -> None:
    first, second, taken = Spool(str(tmp_path)), Spool(str(tmp_path)), Taken()
    first.keep([entry(1)])
    second.keep([entry(2)])
    assert second.recover(taken) == 1
    first.close()
    assert second.recover(taken) == 1
    assert [row.attempt_id for row in taken.rows] == ["att_2", "att_1"]


def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path) -> None:
    size = len(entry(1).as_json()) + 1
    first, second = Spool(str(tmp_path), most=3 * size), Spool(str(tmp_path), most=3 * size)
    assert [first.keep([entry(1), entry(2)]), second.keep([entry(3), entry(4)]), first.keep([entry(5)])] == [
        2,
        1,
        0,
    ]


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(str(tmp_path / "file" / "below"))
    assert spool.keep([entry(1)]) == 0
    assert not spool.waits


def test_a_row_that_an_older_version_kept_is_the_same_row(tmp_path: Path) -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "cached_tokens": 0, "reasoning_tokens": 0}
    members = {
        n: v for n, v in loads_lenient(entry(1).as_json()).items() if n != "created_at" and n not in usage
    }
    (tmp_path / "ledger-1-a.jsonl").write_bytes(dumps({**members, "usage": usage}) + b"\n")
    taken = Taken()
    assert Spool(str(tmp_path)).recover(taken) == 1
    assert taken.rows == [entry(1)._replace(created_at=1_700_000_000.5)]


def test_a_line_that_a_crash_cut_is_left_out(tmp_path: Path) -> None:
    whole = entry(1).as_json() + b"\n"
    (tmp_path / "ledger-1-a.jsonl").write_bytes(whole + whole[:40])
    (tmp_path / "ledger-1-b.jsonl").write_bytes(b'{"id": 1}\n[]\nnothing\n')
    taken = Taken()
    assert Spool(str(tmp_path)).recover(taken) == 1
    assert files(tmp_path) == 0


def test_files_stay_small_enough_to_be_read_whole(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    rows = [entry(number) for number in range(200)]
    for _ in range(30):
        assert spool.keep(rows) == 200
    assert all(path.stat().st_size < 2 * 1024 * 1024 for path in tmp_path.glob("*"))
    assert files(tmp_path) >= 2
