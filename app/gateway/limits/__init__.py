"""Limits: how many requests, tokens and calls at once a key, tenant, account or the whole gateway may have.

``windows`` is the arithmetic and its back end in memory, ``redis_windows`` the same arithmetic as one
script in Redis, ``gate`` chooses between the two, ``charges`` says what a call is charged for.
Tests: tests/gateway/test_limits.py, tests/governance.
"""
