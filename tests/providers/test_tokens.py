"""One token for all who wait: the source of tokens, without any vendor."""

from __future__ import annotations

import gevent
import pytest

from app.errors import GatewayError
from app.providers.tokens import MARGIN, Token, TokenSource


class Clock:
    """A time that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Vendor:
    """Hands out numbered tokens of an hour, slowly, and counts who asks at once."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.given = 0
        self.at_once = 0
        self.most_at_once = 0
        self.failure: GatewayError | None = None

    def __call__(self) -> Token:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        gevent.sleep(0.01)
        self.at_once -= 1
        self.given += 1
        if self.failure is not None:
            raise self.failure
        return Token(f"token-{self.given}", 3600)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vendor(clock: Clock) -> Vendor:
    return Vendor(clock)


@pytest.fixture
def source(vendor: Vendor, clock: Clock) -> TokenSource:
    return TokenSource(vendor, clock)


def tokens_of_twenty(source: TokenSource) -> list[str]:
    jobs = [gevent.spawn(source.token) for _ in range(20)]
    gevent.joinall(jobs, timeout=5, raise_error=True)
    return [job.value for job in jobs]


def test_twenty_who_wait_get_one_token(source: TokenSource, vendor: Vendor) -> None:
    assert tokens_of_twenty(source) == ["token-1"] * 20
    assert tokens_of_twenty(source) == ["token-1"] * 20
    assert (vendor.given, vendor.most_at_once) == (1, 1)


def test_a_token_is_renewed_before_it_ends_and_nobody_waits_for_that(
    source: TokenSource, vendor: Vendor, clock: Clock
) -> None:
    source.token()
    clock.now += 3600 - MARGIN - 1
    assert source.token() == "token-1"
    clock.now += 2
    # one renews, the others go on with the old one
    assert sorted(tokens_of_twenty(source)) == ["token-1"] * 19 + ["token-2"]
    assert vendor.given == 2


def test_an_ended_token_is_given_to_nobody(source: TokenSource, vendor: Vendor, clock: Clock) -> None:
    source.token()
    clock.now += 3601
    assert tokens_of_twenty(source) == ["token-2"] * 20
    assert vendor.given == 2


def test_while_the_old_token_lasts_a_failed_renewal_harms_nobody(
    source: TokenSource, vendor: Vendor, clock: Clock
) -> None:
    source.token()
    vendor.failure = GatewayError("upstream_unreachable", "no")
    clock.now += 3600 - MARGIN + 1
    assert tokens_of_twenty(source) == ["token-1"] * 20
    clock.now += MARGIN
    with pytest.raises(GatewayError, match="no"):
        source.token()


def test_one_failure_is_told_to_all_who_waited_and_then_tried_again(
    source: TokenSource, vendor: Vendor, clock: Clock
) -> None:
    vendor.failure = GatewayError("upstream_auth", "refused")
    jobs = [gevent.spawn(source.token) for _ in range(20)]
    gevent.joinall(jobs, timeout=5)
    assert {str(job.exception) for job in jobs} == {"refused"}
    assert vendor.given == 1
    vendor.failure = None
    clock.now += 1.1
    assert source.token() == "token-2"
