"""Bad names, patterns, windows and amounts are refused alike in the file, by the admin API and on the command line:
the same place, the same sentence."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import cli
from app.config_loading import ConfigError, load
from tests import environment
from tests.behaviour.world import World, running_world

MASTER = "sk-master-0123456789abcdef"
LONG = "openai/" + "x" * 250
DAY = {"per": "day"}


def limit(**members: Any) -> dict[str, Any]:
    return {"limits": [members]}


def budget(**members: Any) -> dict[str, Any]:
    return {"budgets": [members]}


CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    # what is wrong: the members of a key, the place, how the sentence begins
    "no requests at all": (limit(requests=0, **DAY), "limits[0].requests", "must be a whole number above 0"),
    "fewer than none": (limit(requests=-1, **DAY), "limits[0].requests", "must be a whole number above 0"),
    "half a request": (limit(requests=1.5, **DAY), "limits[0].requests", "must be a whole number above 0"),
    "requests as a text": (
        limit(requests="many", **DAY),
        "limits[0].requests",
        "must be a whole number above 0",
    ),
    "requests as a flag": (
        limit(requests=True, **DAY),
        "limits[0].requests",
        "must be a whole number above 0",
    ),
    "tokens below none": (limit(tokens=-5, **DAY), "limits[0].tokens", "must be a whole number above 0"),
    "nobody at once": (limit(concurrent=0), "limits[0].concurrent", "must be a whole number above 0"),
    "a window of 0": (limit(requests=5, per=0), "limits[0].per", "must be '"),
    "a window of 0 s": (limit(requests=5, per="0s"), "limits[0].per", "must be '"),
    "a window of another kind": (limit(requests=5, per="week"), "limits[0].per", "must be '"),
    "no window": (limit(requests=5), "limits[0].per", "is required"),
    "a window of calls at once": (limit(concurrent=5, **DAY), "limits[0].per", "cannot be combined"),
    "two kinds": (limit(requests=5, tokens=5, **DAY), "limits[0]", "needs one of"),
    "no kind": (limit(**DAY), "limits[0]", "needs one of"),
    "a member of nobody": (
        limit(requests=5, perr="day", **DAY),
        "limits[0].perr",
        "is unknown; did you mean 'per'?",
    ),
    "a limit's long pattern": (
        limit(requests=5, models=LONG, **DAY),
        "limits[0].models",
        "must be a pattern",
    ),
    "limits that are none": ({"limits": 5}, "limits", "must be a list"),
    "dollars below 0": (budget(usd=-1, **DAY), "budgets[0].usd", "must be a number of dollars"),
    "too many dollars": (budget(usd=10**10, **DAY), "budgets[0].usd", "must be a number of dollars"),
    "dollars without end": (budget(usd=math.inf, **DAY), "budgets[0].usd", "must be a number of dollars"),
    "no number of dollars": (budget(usd=math.nan, **DAY), "budgets[0].usd", "must be a number of dollars"),
    "dollars as a text": (budget(usd="5", **DAY), "budgets[0].usd", "must be a number of dollars"),
    "dollars as a flag": (budget(usd=True, **DAY), "budgets[0].usd", "must be a number of dollars"),
    "no dollars": (budget(**DAY), "budgets[0].usd", "is missing"),
    "a period of another kind": (budget(usd=5, per="hour"), "budgets[0].per", "must be '"),
    "no period": (budget(usd=5), "budgets[0].per", "is missing"),
    "a budget's long pattern": (budget(usd=5, models=LONG, **DAY), "budgets[0].models", "must be a pattern"),
    "what to do without a price": (
        budget(usd=5, unpriced="no", **DAY),
        "budgets[0].unpriced",
        "must be '",
    ),
    "the second of two": (
        {"budgets": [{"usd": 5, **DAY}, {"usd": -5, **DAY}]},
        "budgets[1].usd",
        "must be a number of dollars",
    ),
    "a long pattern": ({"models": [LONG]}, "models", "must be a list of at most 256 patterns"),
    "too many patterns": ({"models": ["a"] * 257}, "models", "must be a list of at most 256 patterns"),
    "a pattern that cannot be printed": ({"models": ["a\u0007"]}, "models", "must be a list of at most 256"),
    "an empty pattern": ({"models": ["a", ""]}, "models", "must be a list of at most 256 patterns"),
    "an operation of nobody": ({"operations": ["chatting"]}, "operations", "must be a list of some of"),
    "too much metadata": (
        {"metadata": {str(n): "x" for n in range(17)}},
        "metadata",
        "must be a table of at most 16 texts",
    ),
    "a long text": ({"metadata": {"a": "x" * 513}}, "metadata", "must be a table of at most 16 texts"),
    "an end before time": ({"expires_at": -1}, "expires_at", "must be whole Unix seconds"),
    "an end within a second": ({"expires_at": 1.5}, "expires_at", "must be whole Unix seconds"),
    "an end as a text": ({"expires_at": "tomorrow"}, "expires_at", "must be whole Unix seconds"),
}
NAMES = {
    "empty": "",
    "with a space": "a b",
    "with a slash": "a/b",
    "with a line end": "a\n",
    "long": "n" * 65,
}
OF_TENANTS = [name for name, (members, _, _) in CASES.items() if "expires_at" not in members]


def toml(value: Any) -> str:
    """Return a value as TOML writes it within a line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {toml(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf"
    return json.dumps(value)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world({"SLUICE_MASTER_KEY": MASTER}, key=MASTER) as running:
        answer = running.send("POST", "/admin/tenants", {"name": "red"})
        assert answer.status == 201
        yield running


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a database of its own, and no variable that steers the tests."""
    monkeypatch.chdir(tmp_path)
    for name in environment.STEERING:
        monkeypatch.delenv(name, raising=False)


def of_file(table: str, members: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return the faults of ``[keys.ann]`` or ``[tenants.red]`` by their places below it."""
    lines = [f"[{table}]", *(f"{name} = {toml(value)}" for name, value in members.items())]
    (folder / "bad.toml").write_text("\n".join(lines))
    with pytest.raises(ConfigError) as refused:
        load({}, folder / "bad.toml")
    return {place.removeprefix(f"{table}."): sentence for place, sentence in refused.value.faults}


def of_terminal(
    words: list[str], members: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> dict[str, str]:
    """Return the faults that a command tells."""
    given = [f"{name}={_typed(name, value)}" for name, value in members.items() if name != "metadata"]
    given += [f"metadata.{name}={value}" for name, value in members.get("metadata", {}).items()]
    capsys.readouterr()
    assert cli.main([*words, *given]) == 2
    lines = capsys.readouterr().err
    missing = re.findall(r"^sluice: Missing required parameter: '(.*?)'\.$", lines, re.MULTILINE)
    faults = re.findall(r"^sluice: Invalid '(.*?)': (.*?)\.?$", lines, re.MULTILINE)
    return dict.fromkeys(missing, "is missing") | dict(faults)


def _typed(name: str, value: Any) -> str:
    if name in ("models", "operations"):
        return ",".join(value)
    return json.dumps(value) if name in ("limits", "budgets") else str(value)


def of_api(answer: Any) -> dict[str, str]:
    """Return the faults of a refusal."""
    assert answer.status == 400, answer.body
    error = answer.error
    return {one["param"]: _sentence(one) for one in error.get("details") or [error]}


def _sentence(error: dict[str, Any]) -> str:
    if error["code"] != "missing_required_parameter":
        return str(error["message"])
    assert error["message"] == f"Missing required parameter: '{error['param']}'."
    return f"'{error['param']}' is missing"


@pytest.mark.parametrize("name", CASES)
def test_a_key_is_refused_alike(
    name: str, world: World, terminal: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members, place, begin = CASES[name]
    filed = of_file("keys.ann", {"key": "sk-ann-0123456789", **members}, tmp_path)
    assert list(filed) == [place]
    assert filed[place].startswith(begin)
    typed = of_terminal(["keys", "create", "ann", "tenant=red"], members, capsys)
    body = {"name": "ann", "tenant": "red", **members}
    answer = world.send("POST", "/admin/keys", body)
    if "without end" in name or "no number" in name:  # no JSON
        assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
        return
    assert typed == filed
    told = of_api(answer)
    assert list(told) == [place]
    assert filed[place] in told[place]
    assert place in told[place]


@pytest.mark.parametrize("name", OF_TENANTS)
def test_a_tenant_is_refused_alike(
    name: str, world: World, terminal: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members, place, begin = CASES[name]
    filed = of_file("tenants.blue", members, tmp_path)
    assert list(filed) == [place]
    assert filed[place].startswith(begin)
    typed = of_terminal(["tenants", "create", "blue"], members, capsys)
    for method, path, body in (
        ("POST", "/admin/tenants", {"name": "blue", **members}),
        ("PATCH", "/admin/tenants/red", members),
    ):
        answer = world.send(method, path, body)
        if "without end" in name or "no number" in name:  # no JSON
            assert answer.status == 400
            continue
        assert typed == filed
        told = of_api(answer)
        assert list(told) == [place]
        assert filed[place] in told[place]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_refused_alike(
    name: str, world: World, terminal: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, sentence = NAMES[name], "must consist of at most 64 letters, digits, '.', '_' and '-'"
    for table, more in (("keys", 'key = "sk-ann-0123456789"\n'), ("tenants", "")):
        (tmp_path / "bad.toml").write_text(f"[{table}.{json.dumps(bad)}]\n{more}")
        with pytest.raises(ConfigError) as refused:
            load({}, tmp_path / "bad.toml")
        assert [told for _, told in refused.value.faults] == [f"the name {sentence}"]
    for words in (["keys", "create", bad, "tenant=red"], ["tenants", "create", bad]):
        assert of_terminal(words, {}, capsys) == {"name": sentence}
    for path, body in (("/admin/keys", {"name": bad, "tenant": "red"}), ("/admin/tenants", {"name": bad})):
        told = of_api(world.send("POST", path, body))
        assert list(told) == ["name"]
        assert sentence in told["name"]


def test_a_tenant_that_does_not_exist_and_a_name_that_is_taken(
    world: World, terminal: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = world.send("POST", "/admin/keys", {"name": "ann", "tenant": "nobody"})
    assert (nobody.status, nobody.error["param"]) == (400, "tenant")
    assert cli.main(["keys", "create", "ann", "tenant=nobody"]) == 2
    assert capsys.readouterr().err == f"sluice: {nobody.error['message']}\n"
    assert world.send("POST", "/admin/keys", {"name": "twice", "tenant": "red"}).status == 201
    again = world.send("POST", "/admin/keys", {"name": "twice", "tenant": "red"})
    assert (again.status, again.error["param"]) == (409, "name")
    assert cli.main(["tenants", "create", "red"]) == 0
    assert cli.main(["keys", "create", "twice", "tenant=red"]) == 0
    capsys.readouterr()
    assert cli.main(["keys", "create", "twice", "tenant=red"]) == 1
    assert capsys.readouterr().err == f"sluice: {again.error['message']}\n"
    (tmp_path / "bad.toml").write_text("[keys.twice]\nkey = 'a'\n[keys.twice]\nkey = 'b'\n")
    with pytest.raises(ConfigError):
        load({}, tmp_path / "bad.toml")


def test_an_end_that_is_past_is_refused_where_a_key_is_made(
    world: World, terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    past = world.send("POST", "/admin/keys", {"name": "late", "tenant": "red", "expires_at": 1_000_000_000})
    assert (past.status, past.error["param"]) == (400, "expires_at")
    assert cli.main(["tenants", "create", "red"]) == 0
    capsys.readouterr()
    assert cli.main(["keys", "create", "late", "tenant=red", "expires_at=1000000000"]) == 2
    assert capsys.readouterr().err == f"sluice: {past.error['message']}\n"


def test_a_list_that_is_no_json_is_refused_as_such(
    terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["tenants", "create", "red", 'budgets=[{"usd": 50 "per": "day"}]']) == 2
    assert capsys.readouterr().err.startswith("sluice: budgets: is not JSON: Expecting ',' delimiter")
