"""What the tests see of the caller's environment: where programs lie, and what steers a test run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

PLACES: Final = frozenset({"PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "NODE_PATH"})
STEERING: Final = frozenset(
    {
        *("SLUICE_CI", "SLUICE_EXPLORE"),
        *("SLUICE_TEST_PGVECTOR", "SLUICE_TEST_POSTGRES_URL", "SLUICE_TEST_REDIS_URL"),
    }
)
PYTEST: Final = frozenset({"PYTEST_CURRENT_TEST", "PYTEST_VERSION"})


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what remains of an environment: no port, proxy, key or option of the caller's."""
    remaining = PLACES | STEERING | PYTEST
    return {"LANG": "C.UTF-8"} | {name: value for name, value in environ.items() if name in remaining}


def bare() -> dict[str, str]:
    """Return the least environment that a program needs to start."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def enter() -> None:
    """Make this process's environment a clean one; what it starts inherits it."""
    remaining = clean(os.environ)
    os.environ.clear()
    os.environ.update(remaining)
