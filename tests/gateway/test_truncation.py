"""What becomes of a whole answer where a stream was asked for."""

import pytest

from app.canonical.events import Accumulator, replay
from app.canonical.request import Message, TextPart
from app.canonical.response import Choice, Finish, Response, Usage
from app.errors import GatewayError
from app.gateway.truncation import MAX_BLOCKS, check_size


def _answer(choices: int, parts: int) -> Response:
    message = Message("assistant", (TextPart("a"),) * parts)
    return Response(
        "r", "m", tuple(Choice(i, (message,), Finish("stop")) for i in range(choices)), Usage(1, 2)
    )


@pytest.mark.parametrize(
    ("choices", "parts"), [(MAX_BLOCKS // 2 + 1, 1), (1, MAX_BLOCKS), (100, MAX_BLOCKS // 100)]
)
def test_an_answer_of_too_many_blocks_is_the_providers_fault(choices: int, parts: int) -> None:
    with pytest.raises(GatewayError, match="choices and parts") as caught:
        check_size(_answer(choices, parts))
    assert caught.value.status == 502


def test_any_other_answer_is_a_stream() -> None:
    fold = Accumulator()
    for event in replay(check_size(_answer(128, 3))):
        fold.feed(event)
    assert fold.response() == _answer(128, 3)
