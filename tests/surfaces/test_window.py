"""The window at the edge: who comes in, what a change needs, what is escaped, and what a page costs."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import Engine, event, select, update

from app import create_app, master_key
from app.config import Secret, Settings
from app.gateway.core import gateway_of
from app.state.tables import CALL_FILTERS, key_secret
from app.surfaces import assets
from app.surfaces.ui.routes import PLACES, ROUTES
from tests.behaviour.world import World, running_world
from tests.running import running_gateway
from tests.surfaces.visitor import ENV, EVIL, MASTER, Visitor, logged_in

CONFIG = '[providers.groq]\napi_key = "gsk-0123456789abcdef"\n'
VENDORS = [path for path in Path(assets.__file__).parent.rglob("vendor") if path.is_dir()]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world(ENV, config=CONFIG) as running:
        yield running


@pytest.fixture
def office(world: World) -> Visitor:
    """A visitor with the master key."""
    return logged_in(world)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    made = create_app(Settings(master_key=Secret(MASTER), database_url=f"sqlite:///{tmp_path}/sluice.db"))
    yield made
    gateway_of(made).close()


def test_whoever_has_no_session_is_led_to_the_log_in_and_back(world: World) -> None:
    visitor = Visitor(world)
    for place in PLACES:
        answer = visitor.get(f"/ui{place.path}")
        assert answer.status == 303
        assert answer.headers["location"].startswith("/ui/login")
    assert visitor.get("/ui/calls?status=200").headers["location"] == "/ui/login?back=%2Fcalls%3Fstatus%3D200"
    part = visitor.get("/ui/overview/figures", hx_request="true")
    assert (part.status, part.headers["hx-redirect"]) == (401, "/ui/login")
    assert visitor.log_in(back="/calls?status=200").headers["location"] == "/ui/calls?status=200"


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "/x\r\ny: z"])
def test_the_log_in_leads_to_no_other_host(back: str, app: Flask) -> None:
    answer = app.test_client().post("/ui/login", data={"key": MASTER, "back": back})
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui")


def test_the_cookie_is_for_this_site_and_no_script(world: World, app: Flask) -> None:
    flags = Visitor(world).log_in().headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(flags)
    assert "Secure" not in flags
    answer = app.test_client().post("/ui/login", data={"key": MASTER}, base_url="https://gateway.example/")
    assert "Secure" in answer.headers["set-cookie"]


def test_wrong_keys_are_refused_and_too_many_tries_must_wait(app: Flask) -> None:
    client = app.test_client()
    for _ in range(20):  # right ones do not count
        assert client.post("/ui/login", data={"key": MASTER}).status_code == 303
    for _ in range(10):
        answer = client.post("/ui/login", data={"key": "sk-wrong"})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
    answer = client.post("/ui/login", data={"key": MASTER})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    other = client.post("/ui/login", data={"key": MASTER}, environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert other.status_code == 303


def test_a_session_serves_every_process_and_the_admin_api(office: Visitor) -> None:
    for _ in range(6):
        assert office.get("/ui/background").status == 200
        assert office.get("/admin/version").status == 200
    assert office.get("/v1/models").status == 401  # no surface looks at a cookie


def test_a_change_needs_the_token_of_its_session(office: Visitor) -> None:
    body = {"name": "red"}
    assert office.world.send("POST", "/admin/tenants", body, {"cookie": office.cookie}).status == 403
    wrong = {"cookie": office.cookie, "x-csrf-token": "0" * 64}
    assert office.world.send("POST", "/admin/tenants", body, wrong).status == 403
    right = {"cookie": office.cookie, "x-csrf-token": office.token}
    assert office.world.send("POST", "/admin/tenants", body, right).status == 201
    assert office.post("/ui/providers/groq/check", {}).status == 403
    assert office.post("/ui/logout", {"csrf": "0" * 64}).status == 403
    assert office.get("/ui").status == 200
    other = logged_in(office.world)
    assert office.post("/ui/logout", {"csrf": other.token}).status == 403


@pytest.mark.parametrize("headers", [{"sec_fetch_site": "cross-site"}, {"origin": "https://evil.example"}])
def test_a_page_of_another_site_changes_nothing(office: Visitor, headers: dict[str, str]) -> None:
    assert office.post("/ui/logout", {"csrf": office.token}, **headers).status == 403
    assert office.get("/ui").status == 200


def test_logging_out_ends_the_session_and_everywhere_ends_all_of_them(world: World) -> None:
    visitors = [Visitor(world) for _ in range(3)]
    for visitor in visitors:
        assert visitor.log_in().status == 303
    first, second, third = visitors
    kept = first.cookie
    assert first.post("/ui/logout", {"csrf": first.token}).status == 303
    assert first.cookie == "sluice_session="
    first.cookie = kept
    assert [visitor.get("/ui").status for visitor in visitors] == [303, 200, 200]
    assert second.post("/ui/logout", {"csrf": second.token, "everywhere": "yes"}).status == 303
    assert [visitor.get("/ui").status for visitor in visitors] == [303, 303, 303]
    assert third.get("/admin/version").status == 401


def test_a_viewer_sees_all_and_changes_nothing(office: Visitor) -> None:
    body = office.world.send(
        "POST", "/admin/admins", {"name": "guest", "role": "viewer"}, {"authorization": f"Bearer {MASTER}"}
    ).json
    guest = Visitor(office.world)
    assert guest.log_in(body["key"]).status == 303
    for place in PLACES:
        assert guest.get(f"/ui{place.path}").status == 200
    assert b"/check" not in guest.get("/ui/providers").body
    assert b"/check" in office.get("/ui/providers").body
    assert guest.post("/ui/providers/groq/check", {"csrf": guest.token}).status == 403
    assert b"<button>Run the checks" not in guest.get("/ui/settings").body
    assert guest.post("/ui/settings/doctor", {"csrf": guest.token}).status == 403
    change = {"cookie": guest.cookie, "x-csrf-token": guest.token}
    assert office.world.send("POST", "/admin/tenants", {"name": "blue"}, change).status == 403
    answer = office.world.send(
        "DELETE", f"/admin/admins/{body['id']}", None, {"authorization": f"Bearer {MASTER}"}
    )
    assert answer.status == 200
    assert guest.get("/ui").status == 303


def test_the_settings_have_the_doctor_look() -> None:
    with running_world({**ENV, "WEB_CONCURRENCY": "1"}) as alone:
        office = logged_in(alone)
        assert b"<button>Run the checks" in office.get("/ui/settings").body
        page = office.post("/ui/settings/doctor", {"csrf": office.token})
        part = office.post("/ui/settings/doctor", {"csrf": office.token}, hx_request="true")
    for answer in (page, part):
        assert answer.status == 200
        assert "a gateway answers at " in answer.body.decode()
    assert b"<h1>Settings" in page.body
    assert b"<h1>" not in part.body


def test_the_settings_have_a_row_for_each_member(office: Visitor) -> None:
    page = office.get("/ui/settings").body.decode()
    rows = dict(re.findall(r'<th scope="row" class="code">(.*?)</th><td class="wrap code">(.*?)</td>', page))
    names = ("timeouts.connect", "timeouts.first_byte", "native_batches", "max_body_bytes", "sandbox")
    assert [rows[name] for name in names] == ["10", "–", "openai, groq", "33554432", "on"]
    assert "timeouts" not in rows


def test_a_key_of_a_client_opens_no_window(office: Visitor) -> None:
    headers = {"authorization": f"Bearer {MASTER}"}
    assert office.world.send("POST", "/admin/tenants", {"name": "team"}, headers).status == 201
    body = office.world.send("POST", "/admin/keys", {"name": "ann", "tenant": "team"}, headers).json
    assert Visitor(office.world).log_in(body["key"]).status == 401
    as_cookie = {"cookie": f"sluice_session={body['key']}"}
    assert office.world.send("GET", "/admin/keys", None, as_cookie).status == 401


def test_every_answer_forbids_scripts_of_others_and_no_page_holds_one(office: Visitor) -> None:
    for path in [f"/ui{place.path}" for place in PLACES] + ["/ui/nothing", "/ui/calls/none", "/ui/login"]:
        answer = office.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        text = answer.body.decode()
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|=\"https?://", text), path
        assert answer.headers["cache-control"] == "no-store"


def test_names_and_ids_that_try_to_be_a_script_are_text(office: Visitor) -> None:
    headers = {"authorization": f"Bearer {MASTER}"}
    assert office.world.ask(model=EVIL, headers=headers, metadata={EVIL: EVIL}, user=EVIL).status == 400
    rows = _until_logged(office, "model_not_found")
    pages = [office.get("/ui"), office.get("/ui/calls"), office.get(f"/ui/calls/{rows[0]['id']}")]
    pages.append(office.get(f"/ui/calls?{urlencode({'model': EVIL, 'id': EVIL, 'from': EVIL})}"))
    pages.append(office.get(f"/ui/calls/{urlencode({'a': EVIL})}"))
    for page in pages:
        assert b"<script>alert" not in page.body
    assert b"&lt;script&gt;alert" in pages[1].body


def test_the_page_of_a_call_tells_the_words_of_its_warnings_as_text(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/ui/login", data={"key": MASTER}).status_code == 303
    warned = [{"param": EVIL, "message": "was left out"}, {"param": None, "message": "of several"}]
    rows = [{**_row(1), "warnings": 5, "warned": warned}, {**_row(2), "warnings": 1}, _row(3)]
    gateway_of(app).state().call_log.write(rows)
    told, older, without = (client.get(f"/ui/calls/call_{number}").text for number in (1, 2, 3))
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;</span>: was left out" in told
    assert "<li>of several</li>" in told
    assert "And 3 more" in told
    assert "text of the warnings was not stored" in older
    assert 'id="warnings"' not in without


def _until_logged(office: Visitor, code: str) -> list[dict[str, Any]]:
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        rows = office.get("/admin/calls").json["data"]
        if found := [row for row in rows if row["error_code"] == code]:
            return found
        time.sleep(0.05)
    raise AssertionError("the call was not logged")


def test_a_fault_below_ui_is_a_page_and_elsewhere_json(office: Visitor) -> None:
    assert office.get("/ui/nothing").status == 404
    assert office.get("/ui/calls/call_none").status == 404
    assert office.get("/ui/calls?status=abc").status == 400
    assert office.get("/uix").json["error"]["message"].startswith("Invalid URL")
    assert office.post("/ui/login", {"key": "x" * 300_000}).status == 413
    assert office.get("/admin/nothing").json["error"]


def test_a_browser_is_led_to_the_window_and_a_program_is_told_where_it_is(world: World) -> None:
    browser = world.send("GET", "/", None, {"accept": "text/html,*/*;q=0.8"})
    assert (browser.status, browser.headers["location"]) == (302, "/ui")
    assert world.send("GET", "/").json["window"] == "/ui"


def test_files_are_kept_for_a_year_at_an_address_that_changes_with_them(office: Visitor) -> None:
    text = office.get("/ui").body.decode()
    addresses = re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', text)
    assert {address.rpartition("/")[2] for address in addresses} == {
        *("sluice.svg", "uplot.css", "uplot.js", "window.css", "window.js", "htmx.js")
    }
    for address in set(addresses):
        answer = Visitor(office.world).get(address)
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
        assert hashlib.sha256(answer.body).hexdigest().startswith(address.split("/")[3])
    assert office.get(re.sub("/[0-9a-f]{16}/", "/0000000000000000/", addresses[0])).status == 404


@pytest.mark.parametrize("folder", VENDORS, ids=lambda folder: folder.parent.name)
def test_files_of_others_are_those_that_were_published(folder: Path) -> None:
    sums = dict(reversed(line.split()) for line in (folder / "vendor.sha256").read_text().splitlines())
    names = {file.name for file in folder.iterdir()} - {"vendor.sha256", "README.md"}
    assert names == set(sums)
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        if not name.endswith(".txt"):
            assert f"{name.partition('.')[0]}.LICENSE.txt" in names


def test_the_link_of_the_start_works_once_in_any_process() -> None:
    with running_gateway({"WEB_CONCURRENCY": "2"}) as gateway:
        link = re.search(r"http://\S+/ui/link/(\S+)", gateway.log)
        assert link is not None
        visitor = Visitor(World(gateway, None))  # type: ignore[arg-type]
        forged = f"{int(time.time())}-{'0' * 64}"
        assert visitor.get(f"/ui/link/{forged}").status == 401
        assert visitor.get(f"/ui/link/{link[1]}").status == 200
        assert [visitor.get("/ui").status for _ in range(6)] == [200] * 6
        assert [Visitor(visitor.world).get(f"/ui/link/{link[1]}").status for _ in range(3)] == [401] * 3
        assert visitor.world.send("GET", "/v1/models").status == 200  # the surfaces stay open as before


def test_a_link_is_too_old_after_half_a_day() -> None:
    token = master_key.link("k", now=1_000.0)
    assert master_key.is_link("k", token, now=1_000.0 + master_key.LINK_SECONDS - 1)
    assert not master_key.is_link("k", token, now=1_000.0 + master_key.LINK_SECONDS)
    assert not master_key.is_link("other", token, now=1_000.0)


def test_beyond_loopback_no_key_is_made_and_the_start_says_what_is_missing() -> None:
    with running_gateway(
        {"SLUICE_KEYS": "ann:sk-ann:red"}
    ) as gateway:  # with keys all addresses are listened at
        assert "/ui/link/" not in gateway.log
        assert "set SLUICE_MASTER_KEY" in gateway.log
        visitor = Visitor(World(gateway, None))  # type: ignore[arg-type]
        assert b"has no administrator" in visitor.get("/ui/login").body


def test_the_window_is_made_when_it_is_first_asked_for(app: Flask) -> None:
    assert [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/ui")] == []
    assert app.test_client().get("/ui/login").status_code == 200


def _row(number: int) -> dict[str, Any]:
    return {
        **dict.fromkeys(("door", "error_code", "finish_reason", "usage", "cost_details", "queued", "user")),
        "id": f"call_{number}",
        "object": "call",
        "created_at": int(time.time()) - number,
        "request_id": f"req_{number}",
        "tenant": f"tenant-{number % 40}",
        "key": f"key-{number % 40}",
        "request_type": "chat_completion",
        "model_requested": "sandbox/echo",
        "model": f"model-{number % 40}",
        "provider": "sandbox",
        "provider_key": None,
        "status": 200,
        "cost": 0.001,
        "latency": number % 900,
        "first_content": number % 400,
        "attempts": [],
        "cache": "off",
        "warnings": 0,
        "metadata": {},
        "response_id": None,
    }


def test_a_page_costs_as_many_statements_with_many_calls_as_with_few(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/ui/login", data={"key": MASTER}).status_code == 303
    log = gateway_of(app).state().call_log
    counts: list[dict[str, int]] = []
    statements: list[str] = []

    def hear(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if "FROM revision" not in statement:
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        for numbers in (range(10), range(10, 20), range(20, 3_000)):  # the first look opens what stays open
            log.write([_row(number) for number in numbers])
            counts.append({})
            for place in PLACES:
                tries = []
                for _ in range(3):  # the least: a loop of the background may look beside one
                    statements.clear()
                    assert client.get(f"/ui{place.path}").status_code == 200
                    tries.append(len(statements))
                counts[-1][place.path] = min(tries)
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    assert counts[1] == counts[2]
    assert max(counts[1].values()) <= 36


@pytest.mark.parametrize("name", [*CALL_FILTERS, "request_id", "response_id"])
def test_a_filter_of_the_calls_is_looked_up_in_an_index(name: str, app: Flask) -> None:
    state = gateway_of(app).state()
    state.call_log.write([_row(number) for number in range(100)])
    plans: list[str] = []

    def hear(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        if "FROM call_log" in statement:
            rows = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in rows)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        state.call_log.page(50, None, {name: 404 if name == "status" else "nobody"}, (None, None))
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    assert f"SEARCH call_log USING INDEX call_log_{name} ({name}=?)" in plans


def test_every_address_but_the_log_in_asks_for_a_session(app: Flask) -> None:
    client = app.test_client()
    for route in ROUTES:
        path = re.sub(r"<[^>]+>", "x", route.path)
        answer = client.open(f"/ui{path}", method=route.method)
        if not route.public:
            assert answer.status_code in (303, 401), route
            assert "/ui/login" in (answer.headers.get("location") or answer.headers["hx-redirect"])


def test_below_a_prefix_of_a_server_in_front_all_addresses_and_the_cookie_are_below_it(
    tmp_path: Path,
) -> None:
    database = f"sqlite:///{tmp_path}/sluice.db"
    app = create_app(Settings(master_key=Secret(MASTER), database_url=database, proxy_hops=1))
    client = app.test_client()
    front = {"x-forwarded-prefix": "/llm", "x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https"}
    answer = client.post("/ui/login", data={"key": MASTER}, headers=front)
    assert answer.headers["location"] == "/llm/ui"
    assert {"Path=/llm", "Secure"} <= set(answer.headers["set-cookie"].split("; "))
    client.set_cookie("sluice_session", answer.headers["set-cookie"].partition("=")[2].partition(";")[0])
    text = client.get("/ui", headers=front).text
    addresses = re.findall(r'(?:src|href|action|hx-get)="([^"]+)"', text)
    assert len(addresses) > 15
    assert [address for address in addresses if not address.startswith(("/llm/ui", "#"))] == []
    gateway_of(app).close()


def test_sessions_that_ended_go_with_the_next_log_in_and_are_no_keys_under_an_older_secret(
    app: Flask,
) -> None:
    state = gateway_of(app).state()
    old = state.sessions.begin("admin_gone", -1.0, link=("used", -1.0))
    assert state.sessions.owner(old) is None
    new = state.sessions.begin("admin_here", 60.0, link=("used", 60.0))  # the old link is forgotten, too
    assert state.sessions.owner(new) == "admin_here"
    rows = state.db.read(lambda connection: connection.execute(select(key_secret.c.owner_id)).scalars().all())
    assert sorted(rows) == ["link", "session:admin_here"]
    state.db.write(lambda connection: connection.execute(update(key_secret).values(mark="older")))
    assert state.keys.under_older_secrets() == 0


def test_a_session_ends_with_the_master_key_that_began_it(app: Flask, tmp_path: Path) -> None:
    client = app.test_client()
    client.post("/ui/login", data={"key": MASTER})
    cookie = client.get_cookie("sluice_session")
    assert cookie is not None
    settings = gateway_of(app).settings
    other = create_app(replace(settings, master_key=Secret("another")))
    visitor = other.test_client()
    visitor.set_cookie("sluice_session", cookie.value)
    assert client.get("/ui").status_code == 200
    assert visitor.get("/ui").status_code == 303
    gateway_of(other).close()


def test_while_the_database_is_away_the_window_says_so() -> None:
    away = "postgresql://nobody@127.0.0.1:9/none"
    app = create_app(
        Settings(master_key=Secret(MASTER), database_url=away, secret_keys=(Secret("s"),), database_wait=0.2)
    )
    client = app.test_client()
    client.set_cookie("sluice_session", "x" * 43)
    answer = client.get("/ui")
    assert (answer.status_code, "sluice doctor" in answer.text) == (503, True)
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.mimetype == "text/html"
    gateway_of(app).close()
