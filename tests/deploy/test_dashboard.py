"""The dashboard and the alert rules ask for series and labels that the gateway exports, and for no others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from app.gateway.metric_series import SERIES
from tests.running import ROOT

_WORD = re.compile(r"[a-z_]+")
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"][0][
    "rules"
]
DASHBOARD = json.loads((ROOT / "deploy/grafana/sluice.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

EXPORTED: dict[str, set[str]] = {"up": {"job", "instance"}}
for row in SERIES:
    for ending in {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}[
        row.kind
    ]:
        EXPORTED[row.name + ending] = {*row.labels, *(("le",) if ending == "_bucket" else ())}


def expressions() -> Iterator[tuple[str, str]]:
    """Yield each expression of both files, with a name for people."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m").replace("$provider", ".*")


def faults_of(expression: str) -> list[str]:
    """Return what an expression asks for that nobody exports."""
    return list(_faults(promql_parser.parse(expression)))


def _faults(node: Any) -> Iterator[str]:
    selectors = list(_selectors(node))
    for selector in selectors:
        labels = EXPORTED.get(selector.name)
        if labels is None:
            yield f"no series {selector.name}"
            continue
        for matcher in selector.matchers.matchers:
            if matcher.name not in labels:
                yield f"{selector.name} has no label {matcher.name}"
    for grouped in _grouped(node):
        for label in grouped.modifier.labels:
            for selector in _selectors(grouped.expr):
                if label not in EXPORTED.get(selector.name, set()):
                    yield f"{selector.name} has no label {label} to group by"


def _children(node: Any) -> Iterator[Any]:
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield child
    yield from getattr(node, "args", None) or ()


def _all(node: Any) -> Iterator[Any]:
    yield node
    for child in _children(node):
        yield from _all(child)


def _selectors(node: Any) -> Iterator[Any]:
    return (one for one in _all(node) if isinstance(one, promql_parser.VectorSelector))


def _grouped(node: Any) -> Iterator[Any]:
    every = (one for one in _all(node) if isinstance(one, promql_parser.AggregateExpr))
    return (one for one in every if one.modifier is not None)


@pytest.mark.parametrize(("name", "expression"), list(expressions()))
def test_an_expression_asks_for_what_is_exported(name: str, expression: str) -> None:
    assert list(_selectors(promql_parser.parse(expression)))
    assert faults_of(expression) == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("rate(sluice_requests[5m])", "no series sluice_requests"),
        ('sum(rate(sluice_requests_total{key="a"}[5m])) > 1', "sluice_requests_total has no label key"),
        ("max by (provider) (sluice_database_up)", "sluice_database_up has no label provider to group by"),
    ],
)
def test_a_wrong_expression_is_noticed(expression: str, fault: str) -> None:
    assert faults_of(expression) == [fault]


def test_every_alert_says_what_it_is_how_grave_and_what_to_do() -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert {rule["alert"] for rule in RULES} == set(re.findall(r"^\| `(Sluice\w+)` \|", page, re.MULTILINE))
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        labels = set(re.findall(r"\$labels\.([a-z_]+)", rule["annotations"]["summary"]))
        assert labels <= set(_WORD.findall(rule["expr"])) | {"instance"}


def test_the_dashboard_shows_every_series_but_the_version() -> None:
    text = " ".join(expression for _, expression in expressions())
    missing = {row.name for row in SERIES if row.name not in text}
    assert missing == {"sluice_build_info"}


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
