"""Loads marshmallow without the patterns of its check of e-mail addresses, which are compiled when they are first used.

They take longer than the rest of marshmallow, a twentieth of the gateway's start, and nothing here has that check.
Tests: tests/test_packaging.py.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Final

_MODULE: Final = "marshmallow.validate"


class LatePattern:
    """A compiled pattern to those who use it; ``arguments`` are those of ``re.compile``."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # an abstract class looks at its members for marks
            raise AttributeError(name)
        return getattr(re.compile(*self._arguments), name)


def load_marshmallow() -> None:
    """Import marshmallow with late patterns; do nothing where it is imported already."""
    if _MODULE in sys.modules:
        return
    compile_now: Any = re.compile

    def compile_late(*arguments: Any) -> Any:
        is_late = sys._getframe(1).f_globals.get("__name__") == _MODULE
        return LatePattern(*arguments) if is_late else compile_now(*arguments)

    re.compile = compile_late  # type: ignore[assignment]
    try:
        import marshmallow.validate  # noqa: F401
    finally:
        re.compile = compile_now
