"""Claims of idempotency keys: who holds one, for how long, and what is left of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import gevent
import pytest
from sqlalchemy import func, select, update

from app.errors import GatewayError
from app.state import retention
from app.state.audit import Actor
from app.state.idempotency import FirstAnswers, first_answer
from app.state.records import LARGEST, FirstAnswer
from app.state.state import State
from app.state.tables import db_now

ACTOR = Actor("test", "admin", "")
ANSWER = FirstAnswer(200, {"content-type": "application/json"}, b"{}")


@pytest.fixture
def two(state: State) -> Iterator[tuple[FirstAnswers, FirstAnswers]]:
    """Two processes' views of one store, with leases that lapse at once unless they are renewed."""
    both = FirstAnswers(state.db, lease=0.2), FirstAnswers(state.db)
    yield both
    for one in both:
        one.stop()


def code_of(work: Callable[[], object]) -> str | None:
    with pytest.raises(GatewayError) as raised:
        work()
    return raised.value.code


def takes_over(other: FirstAnswers) -> bool:
    try:
        return other.claim("n", "red", "another body") is None
    except GatewayError:
        return False


def test_one_claims_and_the_other_gets_its_answer(two: tuple[FirstAnswers, FirstAnswers]) -> None:
    one, other = two
    assert other.claim("n", "red", "body") is None
    assert code_of(lambda: one.claim("n", "red", "body")) == "idempotency_key_in_progress"
    assert code_of(lambda: one.claim("n", "red", "other body")) == "idempotency_key_reused"
    other.keep("n", ANSWER)
    assert one.claim("n", "red", "body") == ANSWER


def test_a_lease_that_lapsed_is_taken_over_and_its_late_answer_is_not_kept(
    two: tuple[FirstAnswers, FirstAnswers],
) -> None:
    hung, other = two
    assert hung.claim("n", "red", "body") is None
    with gevent.Timeout(60):
        while not takes_over(other):  # its first renewal may come late
            gevent.sleep(0.05)
    hung.keep("n", ANSWER)
    assert code_of(lambda: hung.claim("n", "red", "another body")) == "idempotency_key_in_progress"


def test_a_tenant_of_the_same_name_begins_without_answers(state: State) -> None:
    state.tenants.create(ACTOR, "team", {})
    assert state.first_answers.claim("n", "team", "body") is None
    state.first_answers.keep("n", ANSWER)
    state.tenants.delete(ACTOR, "team")
    state.tenants.create(ACTOR, "team", {})
    assert state.first_answers.claim("n", "team", "body") is None


def test_a_claim_that_is_released_is_free(two: tuple[FirstAnswers, FirstAnswers]) -> None:
    one, other = two
    assert other.claim("n", "red", "body") is None
    other.release("n")
    assert one.claim("n", "red", "another body") is None


def test_what_is_too_large_is_known_but_not_kept(two: tuple[FirstAnswers, FirstAnswers]) -> None:
    one, other = two
    for name, answer in (("large", FirstAnswer(200, {}, b"x" * (LARGEST + 1))), ("unread", None)):
        assert other.claim(name, "red", "body") is None
        other.keep(name, answer)
        assert code_of(partial(one.claim, name, "red", "body")) == "idempotency_key_used"


def test_after_its_day_an_answer_goes(state: State, two: tuple[FirstAnswers, FirstAnswers]) -> None:
    one, other = two
    for name in ("old", "swept"):
        assert other.claim(name, "red", "body") is None
        other.keep(name, ANSWER)
    assert other.claim("new", "red", "body") is None
    aged = update(first_answer).where(first_answer.c.name != "new").values(expires_at=db_now() - 1)
    state.db.write(lambda connection: connection.execute(aged))
    assert one.claim("old", "red", "another body") is None
    retention.purge(state.db, older_than=None)
    count = select(func.count()).select_from(first_answer)
    assert state.db.read(lambda connection: connection.execute(count).scalar_one()) == 2
