"""What goes out is what was reviewed, fits the vendor's own types, and loses nothing silently."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

import pytest

from app.gateway.core import Gateway
from tests.golden import storing
from tests.golden.accounting import unaccounted
from tests.golden.fixtures import FIXTURES
from tests.golden.making import Record, make_gateway
from tests.golden.published import judge
from tests.golden.storing import document, path

CASES = [(operation, name) for operation, bodies in FIXTURES.items() for name in bodies]


UNHEARD_OF = ("x_unheard_of", "xUnheardOf")
CLIENTS_OWN = {
    ("gemini", "snake_case"),  # the API reads both spellings, google-genai's types one
    ("gemini", "modalities"),  # OpenAI's models answer with no picture in chat, and say so themselves
}
"""What goes out as the client wrote it, and is no fault of ours."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    records_of = make_gateway()
    yield records_of
    records_of.close()


@cache
def records_of(gateway: Gateway, operation: str, name: str) -> dict[str, Record]:
    return storing.records(gateway, operation, name)


@pytest.mark.parametrize(("operation", "name"), CASES)
def test_what_goes_out_is_what_was_reviewed(gateway: Gateway, operation: str, name: str) -> None:
    stored = json.loads(path(operation, name).read_text(encoding="utf-8"))
    now = json.loads(json.dumps(document(operation, name, records_of(gateway, operation, name))))
    for model, one in now["outgoing"].items():
        assert one == stored["outgoing"].get(model), f"{model}: see python -m tests.golden --write"
    assert now == stored


@pytest.mark.parametrize(("operation", "name"), CASES)
def test_nothing_of_a_request_is_lost_silently(gateway: Gateway, operation: str, name: str) -> None:
    body = dict(FIXTURES[operation][name])
    lost = {
        model: faults
        for model, one in records_of(gateway, operation, name).items()
        if one.error is None and (faults := unaccounted(operation, body, [one.url, one.body], one.warnings))
    }
    assert lost == {}


@pytest.mark.parametrize(("operation", "name"), CASES)
def test_what_goes_out_fits_the_vendors_types(gateway: Gateway, operation: str, name: str) -> None:
    found = {}
    for model, one in records_of(gateway, operation, name).items():
        judged = judge(model.partition("/")[0], one.dialect)
        if one.error is not None or judged is None or (operation, name) in CLIENTS_OWN:
            continue
        if not isinstance(one.body, dict):  # a form
            continue
        body = {member: value for member, value in one.body.items() if member not in UNHEARD_OF}
        if faults := judged(body, model.partition("/")[2]):
            found[model] = faults
    assert found == {}


def test_a_refusal_is_a_400_that_names_what_cannot_be_done(gateway: Gateway) -> None:
    for operation, name in CASES:
        for model, one in records_of(gateway, operation, name).items():
            if one.error is not None:
                assert (one.error["status"], bool(one.error["param"])) == (400, True), (
                    operation,
                    name,
                    model,
                )


def test_no_records_lie_about_without_a_fixture() -> None:
    assert storing.strays({path(operation, name) for operation, name in CASES}) == set()
    assert {one.name for one in storing.FOLDER.iterdir()} == {*FIXTURES, "answers"}
