"""What MkDocs needs beyond ``docs/``: the pages that lie in the root, and the decisions in the navigation.

Pages link to each other as they lie in Git, so that they can be read there; the links are turned here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

_ROOT: Final = Path(__file__).resolve().parent.parent
_PAGES: Final = {
    # in Git: in the site
    "README.md": "project.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.txt",
}
_LINK: Final = re.compile(r"\]\(([^)#\s]+)((?:#[^)\s]*)?)\)")


def on_config(config: Any) -> Any:
    """Add a section with every decision, by number."""
    names = sorted(path.name for path in (_ROOT / "docs" / "decisions").glob("*.md"))
    config["nav"] = [*config["nav"], {"Decisions": [f"decisions/{name}" for name in names]}]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the root, and the files that pages link to."""
    linked = {path for page in (_ROOT / "docs").rglob("*.md") for path in _outside(page)}
    for path in sorted(linked | {_ROOT / name for name in _PAGES}):
        name = path.relative_to(_ROOT).as_posix()
        if path.is_file():
            files.append(
                File.generated(config, _PAGES.get(name, name), content=path.read_text(encoding="utf-8"))
            )
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links that lead out of ``docs/``, and those of pages from the root."""
    name = page.file.src_uri
    source = next((known for known, shown in _PAGES.items() if shown == name), f"docs/{name}")
    depth = name.count("/")

    def turned(match: re.Match[str]) -> str:
        link, mark = match[1], match[2]
        if "://" in link or link.startswith("mailto:"):
            return match[0]
        target = (_ROOT / source).parent.joinpath(link).resolve()
        if not target.is_relative_to(_ROOT):
            return match[0]
        path = target.relative_to(_ROOT).as_posix()
        shown = path.removeprefix("docs/") if path.startswith("docs/") else _PAGES.get(path, path)
        return f"]({'../' * depth}{shown}{mark})"

    return _LINK.sub(turned, markdown)


def _outside(page: Path) -> set[Path]:
    """Return the files of the checkout, outside ``docs/``, that a page links to."""
    found = (
        page.parent.joinpath(match[1]).resolve() for match in _LINK.finditer(page.read_text(encoding="utf-8"))
    )
    docs = _ROOT / "docs"
    return {path for path in found if path.is_relative_to(_ROOT) and not path.is_relative_to(docs)}
