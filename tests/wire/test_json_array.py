"""A JSON array that grows is one JSON array, however it was cut into writes."""

from __future__ import annotations

import json

import pytest

from app.wire.json_array import KEEP_ALIVE, JsonArray


@pytest.mark.parametrize("writes", [[], [[b"1"]], [[b"1", b"2"]], [[b"1"], [], [b"2", b"3"]]])
def test_what_is_written_is_one_array(writes: list[list[bytes]]) -> None:
    array = JsonArray()
    data = KEEP_ALIVE.join(array.write(elements) for elements in writes) + array.end()
    assert json.loads(data) == [int(element) for elements in writes for element in elements]
