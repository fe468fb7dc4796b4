"""What the tests of one module's gateways share."""

from __future__ import annotations

import pytest

from tests.governance.city import City, good


@pytest.fixture
def city(running: City) -> City:
    """The gateways of the module, ``running``, with an upstream that has no requests yet and answers well."""
    running.upstream.forget()
    running.upstream.script = good
    return running
