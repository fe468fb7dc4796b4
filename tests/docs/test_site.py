"""The documentation builds as a site, without a warning, and every page can be found in it."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from tests.running import ROOT

DOCS = ROOT / "docs"


class Links(HTMLParser):
    """The links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    result = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=110
    )
    assert (result.returncode, result.stderr) == (0, "")
    return folder


def test_every_page_is_in_the_navigation(site: Path) -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = {page for section in nav for page in _pages(section)}
    own = {
        path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if path.parent.name != "decisions"
    }
    assert own - listed == set(), "add the page to nav in mkdocs.yml"
    assert listed - own == {"project.md", "security.md", "contributing.md", "changelog.md"}
    links = Links()
    links.feed((site / "index.html").read_text(encoding="utf-8"))
    decisions = {path.stem for path in (DOCS / "decisions").glob("*.md")}
    assert {name for name in decisions if f"decisions/{name}/" not in links.found} == set()


def test_links_out_of_the_folder_lead_to_pages_of_the_site(site: Path) -> None:
    links = Links()
    links.feed((site / "responses" / "index.html").read_text(encoding="utf-8"))
    assert "../deploy/nginx.conf" in links.found
    assert (site / "deploy" / "nginx.conf").is_file()
    links.feed((site / "project" / "index.html").read_text(encoding="utf-8"))
    assert "../providers/" in links.found
    assert "# " not in (site / "security" / "index.html").read_text(encoding="utf-8").partition("<h1")[2][:80]


def _pages(section: object) -> list[str]:
    if isinstance(section, str):
        return [section]
    rows = section.values() if isinstance(section, dict) else section
    return [page for row in rows for page in _pages(row)]  # type: ignore[attr-defined]
