"""``sluice import litellm FILE``: prints a ``sluice.toml``; settings without an equivalent are comments above it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from app.terminal import toml
from app.terminal.litellm import SECTIONS, convert

_USAGE_ERROR: Final = 2


def run(given: argparse.Namespace) -> int:
    """Print the configuration; return 2 if the file cannot be read."""
    try:
        text = sys.stdin.read() if given.file == "-" else Path(given.file).read_text(encoding="utf-8")
        source: Any = yaml.safe_load(text)
    except OSError as error:
        return _refused(given.file, error.strerror or str(error))
    except UnicodeError:
        return _refused(given.file, "is not text in UTF-8")
    except yaml.YAMLError as error:
        return _refused(given.file, " ".join(str(error).split()))
    if not isinstance(source, dict) or not SECTIONS & source.keys():
        return _refused(given.file, f"must be a table with {', '.join(sorted(SECTIONS))}, or some of them")
    conversion = convert(source)
    for note in conversion.notes:
        print("# " + note)
    print(toml.write(conversion.document), end="")
    return 0


def _refused(file: str, sentence: str) -> int:
    print(f"sluice: {file}: {sentence}", file=sys.stderr)
    return _USAGE_ERROR
