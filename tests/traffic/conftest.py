"""The fake upstream for the tests of this folder."""

from tests.traffic.replay import upstream

__all__ = ["upstream"]
