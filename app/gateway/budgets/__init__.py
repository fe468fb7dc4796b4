"""Budgets: what a key, a tenant or the whole gateway may spend, and the ledger of what was spent.

``charges`` says which budgets an attempt touches in which periods, ``estimates`` what it may cost at most, ``accounts``
reserves and settles, ``entries`` makes the ledger's rows, ``status`` says how budgets stand and why one refuses.
Tests: tests/gateway/test_budgets.py, tests/governance/test_budgets.py.
"""
