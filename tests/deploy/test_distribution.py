"""What is installed is what Git has: the wheel and the source archive hold the package whole, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.services import leave_out

BUILD = "from setuptools import build_meta as b; b.build_wheel('out'); b.build_sdist('out')"


def _tracked(repo: Path) -> set[str]:
    """The files of app/ that Git has or would take."""
    result = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "app"],
        cwd=repo,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in result.stdout.splitlines() if (repo / name).is_file()}


@pytest.fixture(scope="module")
def built(repo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both archives, built from a copy."""
    if not (repo_dir / ".git").exists():
        leave_out("this is no Git checkout")
    copy = tmp_path_factory.mktemp("build")
    for name in [*_tracked(repo_dir), "setup.py", "setup.cfg", "README.md", "LICENSE"]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repo_dir / name, copy / name)
    subprocess.run([sys.executable, "-c", BUILD], cwd=copy, capture_output=True, timeout=55, check=True)
    return copy / "out"


def test_the_wheel_holds_the_package_and_no_start_up_hook(built: Path, repo_dir: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == _tracked(repo_dir)
    assert not [name for name in names if name.endswith(".pth")]


def test_the_source_archive_holds_the_package(built: Path, repo_dir: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {name for name in names if name.startswith("app/") and "." in name} == _tracked(repo_dir)
