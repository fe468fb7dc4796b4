"""The window and the reference in a real browser: data is seen, nothing is refused, a telephone and a keyboard do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.behaviour.world import World, running_world
from tests.browser import Browser, Tab, running_browser

MASTER = "master-of-the-window"
CONFIG = """
[models."fast"]
targets = [{ target = "sandbox/echo" }]

[providers.groq]
api_key = "gsk-0123456789abcdef"
"""
EVIL = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
PAGES = {
    "/ui": "Overview",
    "/ui?span=30d": "Overview",
    "/ui?span=7d&by=provider": "Overview",
    "/ui/calls": "Calls",
    "/ui/background": "Background",
    "/ui/providers": "Providers",
    "/ui/responses": "Responses",
    "/ui/models": "Models",
    "/ui/keys": "Keys",
    "/ui/playground": "Playground",
    "/ui/settings": "Settings",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def world(browser: Browser) -> Iterator[World]:
    """A gateway with a few calls in its log, two of which try to be a script."""
    with running_world({}, config=CONFIG) as running:
        for _ in range(3):
            assert running.ask("responses", model="sandbox/echo").status == 200
        assert running.ask(model=EVIL).status == 400
        assert running.ask(model="sandbox/echo", user=EVIL, metadata={"<b>": EVIL}).status == 200
        yield running


@pytest.fixture(scope="module")
def tab(browser: Browser, world: World) -> Tab:
    """A page that the link of the start logged in."""
    opened = browser.tab()
    link = re.search(r"http://\S+/ui/link/\S+", world.gateway.log)
    assert link is not None, world.gateway.log
    opened.open(link[0])
    opened.wait("document.querySelector('h1').innerText == 'Overview'")
    return opened


def test_the_link_of_the_start_leads_to_the_overview_and_what_was_called_is_seen(tab: Tab) -> None:
    tab.open(tab.run("location.href"))
    tab.wait("document.querySelectorAll('.plot canvas').length == 6")
    assert tab.run("document.querySelector('.tiles dd').innerText") == "5"
    assert "sandbox" in tab.text
    assert tab.faults == []


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_every_page_opens_without_a_fault_and_fits_the_screen(
    tab: Tab, world: World, path: str, width: int
) -> None:
    tab.size(width)
    tab.open(world.gateway.url + path)
    assert tab.run("document.querySelector('h1').innerText") == PAGES[path]
    assert tab.run("document.querySelector('nav [aria-current]').innerText") == PAGES[path]
    assert tab.overflow <= 0
    assert tab.run("document.querySelector('header').offsetHeight") <= 110  # two rows, also on a telephone
    assert tab.faults == []


def test_the_page_of_a_conversation_fits_a_telephone(tab: Tab, world: World) -> None:
    conversation = world.send("POST", "/v1/conversations", {}).json["id"]
    assert world.ask("responses", model="sandbox/echo", conversation=conversation).status == 200
    tab.size(360)
    tab.open(f"{world.gateway.url}/ui/conversations/{conversation}")
    assert "message, assistant" in tab.text
    assert tab.overflow <= 0


def test_nothing_is_asked_of_another_host_and_no_model_name_is_a_script(tab: Tab, world: World) -> None:
    tab.open(f"{world.gateway.url}/ui/calls")
    assert EVIL in tab.text
    for link in tab.run("[...document.querySelectorAll('tbody a')].map(a => a.href)"):
        tab.open(link)
        assert tab.run("document.querySelector('h1').innerText").startswith("Call call_")
        assert tab.run("document.title") == "Call · Sluice"
    assert {urlsplit(url).netloc for url in tab.requests} == {urlsplit(world.gateway.url).netloc}
    assert tab.faults == []


def test_live_figures_change_by_themselves_and_keep_what_is_open(tab: Tab, world: World) -> None:
    tab.open(f"{world.gateway.url}/ui")
    tab.run("document.querySelector('#chart-calls-numbers').open = true")
    before = int(tab.run("document.querySelector('.tiles dd').innerText"))
    assert world.ask(model="sandbox/echo").status == 200
    tab.wait(f"Number(document.querySelector('.tiles dd').innerText) > {before}")
    assert tab.run("document.querySelector('#chart-calls-numbers').open")
    tab.wait("document.querySelectorAll('.plot canvas').length == 6")
    assert tab.faults == []


def test_the_playground_streams_two_answers_side_by_side_as_text(tab: Tab, world: World) -> None:
    tab.open(f"{world.gateway.url}/ui/playground")
    for name, value in (("left", "sandbox/echo"), ("right", "fast"), ("prompt", f"say exactly: {EVIL}")):
        tab.run(f"document.getElementById('{name}').value = {json.dumps(value)}")
    for api in ("chat", "responses"):
        tab.run(f"document.getElementById('api').value = '{api}'")
        tab.run("document.getElementById('send').click()")
        tab.wait("document.querySelectorAll('#answers .card:not([hidden])').length == 2")
        tab.wait(
            "[...document.querySelectorAll('[data-fact=state]')].every(one => one.innerText == 'complete')"
        )
        assert tab.run("[...document.querySelectorAll('[data-text]')].map(one => one.innerText)") == [
            EVIL,
            EVIL,
        ]
        assert tab.run("document.querySelector('[data-fact=first]').innerText").endswith(" ms")
        assert "," in tab.run("document.querySelector('[data-fact=tokens]').innerText")
    assert tab.run("document.title") == "Playground · Sluice"
    for language, words in (("curl", "curl -N"), ("python", "requests.post"), ("js", "await fetch")):
        tab.run(f"document.querySelector('[data-copy={language}]').click()")
        tab.wait(f"document.getElementById('program').innerText.includes('{words}')")
    assert tab.faults == []


def test_the_newest_calls_come_by_themselves_and_the_keyboard_stays_where_it_was(
    tab: Tab, world: World
) -> None:
    tab.open(f"{world.gateway.url}/ui/calls?model=echo")
    held = tab.run("(link => (link.focus(), link.id))(document.querySelector('tbody a'))")
    before = tab.run("document.querySelectorAll('tbody tr').length")
    assert world.ask(model="sandbox/echo").status == 200
    tab.wait(f"document.querySelectorAll('tbody tr').length > {before}")
    assert tab.run("document.activeElement.id") == held
    assert tab.faults == []


def test_calls_are_told_by_the_stream_of_events_which_ends_with_the_page(tab: Tab, world: World) -> None:
    tab.open(f"{world.gateway.url}/ui?span=7d")
    tab.wait(lambda: any(url.endswith("/admin/events") for url in tab.requests))
    before = int(tab.run("document.querySelector('.tiles dd').innerText"))
    tab.run("document.querySelector('#figures').dataset.live = 3600")  # the clock alone would be too late
    assert world.ask(model="sandbox/echo").status == 200
    tab.wait(f"Number(document.querySelector('.tiles dd').innerText) > {before}")
    assert tab.faults == []


def test_a_keyboard_reaches_the_content_and_the_check_of_a_provider(tab: Tab, world: World) -> None:
    tab.open(f"{world.gateway.url}/ui/providers")
    tab.press("Tab")
    assert tab.run("document.activeElement.innerText") == "Skip to the content"
    tab.press("Enter")
    for _ in range(5):
        tab.press("Tab")
        if "Check" in str(tab.run("document.activeElement.innerText")):
            break
    tab.press("Enter")
    tab.wait("document.querySelector('[aria-live]').innerText != ''")
    assert tab.faults == []


def test_colours_follow_the_reader(tab: Tab, world: World) -> None:
    seen = []
    for is_dark in (False, True):
        tab.dark(is_dark)
        tab.open(f"{world.gateway.url}/ui")
        seen.append(tab.run("getComputedStyle(document.body).backgroundColor"))
    assert seen[0] != seen[1]


def test_a_wrong_key_is_refused_and_the_right_one_leads_back(browser: Browser) -> None:
    with running_world({"SLUICE_MASTER_KEY": MASTER}) as world:
        tab = browser.tab()
        tab.open(f"{world.gateway.url}/ui/calls?status=200")
        for key, seen in (("wrong", "not an administrator key"), (MASTER, "First content")):
            tab.run(f"document.querySelector('#key').value = '{key}'")
            tab.run("document.querySelector('form.narrow button').click()")
            tab.wait(f"document.readyState == 'complete' && document.body.innerText.includes('{seen}')")
        assert tab.run("location.search") == "?status=200"
        assert tab.run("document.cookie") == ""


def test_the_reference_shows_its_operations(browser: Browser, world: World) -> None:
    tab = browser.tab()
    tab.open(f"{world.gateway.url}/docs")
    tab.wait("document.querySelector('rapi-doc').shadowRoot.textContent.includes('/v1/responses')")
    assert {urlsplit(url).netloc for url in tab.requests if not url.startswith(("data:", "blob:"))} == {
        urlsplit(world.gateway.url).netloc
    }
    assert tab.faults == []
