"""Budgets at the HTTP edge of one process: what is refused, what is charged, and what the ledger says of it."""

from __future__ import annotations

from tests.governance.city import running_city

PRICES = """
[providers.groq.prices]
x = { input = 100000, output = 100000 }
y = { input = 100000, output = 100000 }
dear = { input = 1000000, output = 1000000 }
free = { input = 0, output = 0 }
"""
"""A token of x or y costs ten cents, one of dear a dollar; ``good`` answers with five tokens."""


def test_a_gateways_budget_in_the_file_refuses_what_it_has_not_enough_left_for() -> None:
    config = f'[server]\nbudgets = [{{ usd = 1.2, per = "day" }}]\n[keys.ann]\nkey = "sk-ann"\n{PRICES}'
    with running_city(config) as city:
        answers = [city.ask(max_tokens=2) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 402, 402]
        error = answers[-1].error
        assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
        assert error["message"].startswith(
            "The budget of the whole gateway is exceeded: $1.20 per day, of which $1.00 are spent; "
            "this request may cost up to $0.30. It starts anew at "
        )
        assert city.served == 2
