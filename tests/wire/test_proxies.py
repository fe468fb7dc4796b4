"""Which proxy is used, as the environment's variables say."""

from __future__ import annotations

import pytest

from app.wire.proxies import fixed_rules, rules_of

PROXY = "http://proxy.corp:3128"


@pytest.mark.parametrize(
    ("environ", "scheme", "proxy"),
    [
        ({}, "https", None),
        ({"HTTPS_PROXY": PROXY}, "https", PROXY),
        ({"HTTPS_PROXY": PROXY}, "http", None),
        ({"HTTP_PROXY": PROXY}, "http", PROXY),
        ({"HTTP_PROXY": PROXY}, "https", None),
        ({"ALL_PROXY": PROXY}, "http", PROXY),
        ({"ALL_PROXY": PROXY}, "https", PROXY),
        ({"all_proxy": PROXY, "HTTPS_PROXY": "http://other:1"}, "https", "http://other:1"),
        ({"https_proxy": "http://lower:1", "HTTPS_PROXY": PROXY}, "https", "http://lower:1"),
        ({"https_proxy": " ", "HTTPS_PROXY": PROXY}, "https", None),
        ({"HTTPS_PROXY": "proxy.corp:3128"}, "https", PROXY),
        (
            {"HTTPS_PROXY": "http://user:p%40ss@proxy.corp:3128"},
            "https",
            "http://user:p%40ss@proxy.corp:3128",
        ),
        ({"ALL_PROXY": "socks5://proxy.corp:1080"}, "https", "socks5://proxy.corp:1080"),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, "https", None),
    ],
)
def test_the_environment_chooses_the_proxy(environ: dict[str, str], scheme: str, proxy: str | None) -> None:
    assert rules_of(environ).proxy_for(scheme, "api.example.com", 443) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("example.com", "example.com", 443, True),
        ("example.com", "api.example.com", 443, True),
        ("EXAMPLE.com", "API.Example.com", 443, True),
        (".example.com", "api.example.com", 443, True),
        (".example.com", "example.com", 443, True),
        ("*.example.com", "api.example.com", 443, True),
        ("example.com", "notexample.com", 443, False),
        ("example.com", "example.com.evil.org", 443, False),
        ("example.com:8443", "example.com", 8443, True),
        ("example.com:8443", "example.com", 443, False),
        ("a.org, example.com  b.org", "example.com", 443, True),
        ("127.0.0.1", "127.0.0.1", 80, True),
        ("127.0.0.1:80", "127.0.0.1", 81, False),
        ("10.0.0.0/8", "10.2.3.4", 80, True),
        ("10.0.0.0/8", "11.2.3.4", 80, False),
        ("10.0.0.0/8", "10.2.3.4.example.com", 80, False),
        ("::1", "::1", 80, True),
        ("[::1]:80", "::1", 80, True),
        ("[::1]:80", "::1", 81, False),
        ("fd00::/8", "fd12::1", 80, True),
        ("0.0.1", "127.0.0.1", 80, False),
        (".", "example.com", 80, False),
        (",", "example.com", 80, False),
    ],
)
def test_no_proxy_names_what_goes_direct(no_proxy: str, host: str, port: int, direct: bool) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        rules = rules_of({"ALL_PROXY": PROXY, name: no_proxy})
        assert (rules.proxy_for("https", host, port) is None) is direct


@pytest.mark.parametrize(
    "value", ["http://", "ftp://x:1", "http://x:99999", "http://user:hunter2@:80", "http://[::1"]
)
def test_a_proxy_that_is_no_url_is_refused_without_repeating_it(value: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY is not a proxy URL") as caught:
        rules_of({"HTTPS_PROXY": value})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("proxy", "used"), [("", None), ("direct", None), ("proxy.corp:3128", PROXY)])
def test_a_providers_own_proxy_is_for_everything(proxy: str, used: str | None) -> None:
    for scheme in ("http", "https"):
        assert fixed_rules(proxy).proxy_for(scheme, "127.0.0.1", 1) == used
