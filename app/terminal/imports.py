"""``sluice import litellm FILE``: prints a ``sluice.toml``; what has no place in it stands above, as comments."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from app.terminal import toml
from app.terminal.litellm import SECTIONS, convert

_WRONG: Final = 2


def run(given: argparse.Namespace) -> int:
    """Print the configuration; 2 for a file that cannot be read."""
    try:
        text = sys.stdin.read() if given.file == "-" else Path(given.file).read_text(encoding="utf-8")
        theirs: Any = yaml.safe_load(text)
    except OSError as error:
        return _refused(given.file, error.strerror or str(error))
    except UnicodeError:
        return _refused(given.file, "is not text in UTF-8")
    except yaml.YAMLError as error:
        return _refused(given.file, " ".join(str(error).split()))
    if not isinstance(theirs, dict) or not SECTIONS & theirs.keys():
        return _refused(given.file, f"must be a table with {', '.join(sorted(SECTIONS))}, or some of them")
    made = convert(theirs)
    for note in made.notes:
        print("# " + note)
    print(toml.write(made.document), end="")
    return 0


def _refused(file: str, sentence: str) -> int:
    print(f"sluice: {file}: {sentence}", file=sys.stderr)
    return _WRONG
