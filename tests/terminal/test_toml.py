"""What is written as TOML is read back equal."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.terminal import toml

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
PLAIN = (
    TEXTS
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = PLAIN | st.lists(PLAIN, max_size=3) | st.lists(st.dictionaries(TEXTS, PLAIN, max_size=3), max_size=3)
TABLES = st.recursive(
    st.dictionaries(TEXTS, VALUES, max_size=4),
    lambda inner: st.dictionaries(TEXTS, VALUES | inner, max_size=3),
    max_leaves=8,
)


@given(TABLES)
def test_what_is_written_is_read_back(document: dict[str, Any]) -> None:
    assert tomllib.loads(toml.write(document)) == document
