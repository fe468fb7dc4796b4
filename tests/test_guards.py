"""The list of guards is that of the source: ``make guards`` would turn off what stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guards import GUARDS, Guard


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.prevents)
def test_each_guard_stands_once_where_the_list_says_and_its_test_exists(guard: Guard, repo_dir: Path) -> None:
    assert (repo_dir / guard.file).read_text().count(guard.text) == 1
    file, _, test = guard.test.partition("::")
    assert f"def {test}(" in (repo_dir / file).read_text()
