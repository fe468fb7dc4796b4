"""Huge pages: a full heap gets them without growing, and a system without them changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.gateway import huge_pages
from tests.running import ROOT

_MIB = 1024 * 1024
_JOIN = f"""
import re
from mmap import PAGESIZE, mmap
from pathlib import Path
from app.gateway.huge_pages import join_pages

def memory():
    rows = dict(re.findall(r"(\\w+): +(\\d+) kB", Path("/proc/self/smaps_rollup").read_text()))
    return int(rows["Rss"]), int(rows["AnonHugePages"])

heap = [object() for _ in range({_MIB})]
sparse = mmap(-1, 64 * {_MIB}, flags=0x22)  # private, of no file
for place in range(0, len(sparse), 16 * PAGESIZE):
    sparse[place] = 1
before = memory()
joined = join_pages()
after = memory()
print(joined, after[0] - before[0], after[1] - before[1])
"""


def test_a_full_heap_gets_huge_pages_and_a_sparse_mapping_none() -> None:
    run = subprocess.run([sys.executable, "-c", _JOIN], cwd=ROOT, capture_output=True, text=True, check=True)
    joined, more_memory, more_huge = map(int, run.stdout.split())
    if not joined:
        pytest.skip("this kernel cannot join pages that are in use")
    assert more_huge >= 6 * 2048
    assert more_memory <= more_huge // 4 + 4096


@pytest.mark.parametrize("settings", [{}, {"enabled": "always madvise [never]\n"}])
def test_a_system_without_huge_pages_changes_nothing(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"hpage_pmd_size": "2097152\n", **settings} if settings else {}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(huge_pages, "_SETTINGS", tmp_path)
    monkeypatch.setattr(huge_pages, "_join", lambda *place: pytest.fail("a range was joined"))
    assert huge_pages.join_pages() == 0
