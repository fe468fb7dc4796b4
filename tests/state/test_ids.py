"""Ids: their form, and that they come in the order of time."""

import re

import pytest

from app.state.ids import new_id, new_request_id
from app.state.ledger_rows import row_id

_MANY = 2_000


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (lambda: new_id("resp"), r"resp_[0-9a-f]{48}"),
        (new_request_id, r"req_[0-9a-f]{32}"),
        (lambda: row_id(new_id("att")), r"led_[0-9a-f]{48}"),
    ],
)
def test_ids_are_of_one_form_differ_and_stand_in_the_order_in_which_they_were_made(make, form):
    made = [make() for _ in range(_MANY)]
    times = [one.partition("_")[2][:14] for one in made]

    assert all(re.fullmatch(form, one) for one in made)
    assert len(set(made)) == _MANY
    assert times == sorted(times)
    assert times[0] < times[-1]


def test_two_ids_of_one_moment_share_no_more_than_the_time(monkeypatch):
    monkeypatch.setattr("app.state.ids.time.time_ns", lambda: 1_760_000_000_000_000_000)

    one, other = new_id("resp"), new_id("resp")

    assert one[:19] == other[:19]
    assert one[19:27] != other[19:27]
