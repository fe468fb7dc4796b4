"""The files of a configuration: its own, and those that it names for secrets. Tests: tests/test_hostile_config.py.

Opening a pipe waits for a writer, and a device may have no end. So only regular files are read, up to a size, and ``/dev/null``,
which is how one says that there is no file.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, Final

MAX_DEPTH: Final = 32
_MAX_FILE: Final = 4 * 1024 * 1024  # characters; thousands of keys and models take a tenth
_STEP: Final = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*"""
_LONG_NAME: Final = re.compile(rf"(?:^|[\[{{,])[ \t]*(?:{_STEP}){{{MAX_DEPTH}}}", re.MULTILINE)
"""A dotted name of so many steps, for which the parser takes time in their square."""
_TOO_DEEP: Final = f"is nested deeper than {MAX_DEPTH} levels"


def read_text(path: Path, most: int) -> str:
    """Return the text of a file of at most ``most`` characters in UTF-8, with or without a BOM.

    Raises ``ValueError`` with what is wrong with it."""
    try:
        with open(path, encoding="utf-8-sig", opener=_open_at_once) as file:
            if not _has_end(os.fstat(file.fileno())):
                raise ValueError("it is a pipe or a device, no file")
            text = file.read(most + 1)
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    except OSError as error:
        raise ValueError(error.strerror) from error
    if len(text) > most:
        raise ValueError(f"it has more than {most:,} characters")
    return text


def _has_end(status: os.stat_result) -> bool:
    is_null = stat.S_ISCHR(status.st_mode) and status.st_rdev == os.stat(os.devnull).st_rdev
    return stat.S_ISREG(status.st_mode) or is_null


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def read_document(path: Path) -> dict[str, Any]:
    """Return the document of a TOML file; raises ``ValueError`` with what is wrong with it."""
    try:
        text = read_text(path, _MAX_FILE)
    except ValueError as error:
        raise ValueError(f"cannot be read: {error}") from error
    if _LONG_NAME.search(text):
        raise ValueError(_TOO_DEEP)
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    except ValueError as error:  # also a number of thousands of digits
        is_number = not isinstance(error, tomllib.TOMLDecodeError)
        raise ValueError(
            "holds a whole number of too many digits" if is_number else f"is not TOML: {error}"
        ) from error
    if _is_deep(document):
        raise ValueError(_TOO_DEEP)
    return document


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        holders = [one for one in level if isinstance(one, dict | list)]
        level = [member for one in holders for member in (one.values() if isinstance(one, dict) else one)]
    return bool(level)
