"""What may become part of a URL, and what may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import GatewayError
from app.wire import request_head
from app.wire.paths import host_label, segment

# Segments that would change the target of a call.
TRAVERSALS = [
    *("", ".", "..", "a/../b", "../x", "a/b", "//host", "%2e%2e", "%252e", "a%2fb", "x?y=1", "x#y", "a\\b"),
    *(
        "user@host",
        "a\r\nb",
        "a\0b",
        "a\tb",
        "a\x7fb",
        "a\u2028b",
        "a\u200bb",
        "a\ud800b",
        "gpt:cancel",
        "x" * 513,
    ),
]


@pytest.mark.parametrize("value", TRAVERSALS, ids=ascii)
def test_what_would_change_the_path_is_a_bad_request(value: str) -> None:
    with pytest.raises(GatewayError) as caught:
        segment(value, name="model")
    assert (caught.value.kind.name, caught.value.status) == ("bad_request", 400)
    assert caught.value.message.startswith("The model ")
    assert not value or value not in caught.value.message or len(value) < 3


@pytest.mark.parametrize(
    ("value", "allow", "quoted"),
    [
        ("gpt-4o_mini.2024~1", "", "gpt-4o_mini.2024~1"),
        ("my deployment", "", "my%20deployment"),
        ("模型", "", "%E6%A8%A1%E5%9E%8B"),
        ("a∕b⁄c／d", "", "a%E2%88%95b%E2%81%84c%EF%BC%8Fd"),
        ("a..b", "", "a..b"),
        ("x" * 512, "", "x" * 512),
        ("amazon.nova-micro-v1:0", ":", "amazon.nova-micro-v1%3A0"),
        ("claude-opus-4-1@20250805", "@", "claude-opus-4-1@20250805"),
        (
            "arn:aws:bedrock:us-east-1:0:profile/abc",
            ":/",
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A0%3Aprofile%2Fabc",
        ),
    ],
)
def test_a_segment_is_quoted_as_recorded_requests_have_it(value: str, allow: str, quoted: str) -> None:
    assert segment(value, allow=allow) == quoted


@pytest.mark.parametrize("value", ["a/../b", "/a", "a/", "a//b", "./a", "a/."])
def test_an_allowed_slash_allows_no_dots(value: str) -> None:
    with pytest.raises(GatewayError):
        segment(value, allow=":/")


@given(st.text())
def test_a_segment_is_never_more_than_one(value: str) -> None:
    try:
        quoted = segment(value, allow=":@/")
    except GatewayError:
        return
    assert quoted.isascii()
    assert not set(quoted) & set("/\\?#: \r\n")
    assert quoted not in ("", ".", "..")


@pytest.mark.parametrize("value", ["us-east-1", "Example-Resource", "a", "x" * 63])
def test_a_dns_label_is_taken(value: str) -> None:
    assert host_label(value) == value.lower()


@pytest.mark.parametrize(
    "value", ["", "a.b", "-a", "a-", "a_b", "x" * 64, "a/b", "a@b", "a:1", "ä", "a\n", "a b"]
)
def test_what_is_no_dns_label_is_a_bad_request(value: str) -> None:
    with pytest.raises(GatewayError, match="The region must be a DNS label"):
        host_label(value, name="region")


def test_a_body_in_pieces_has_the_size_it_declares() -> None:
    assert list(request_head.of_length([b"ab", b"c"], 3)) == [b"ab", b"c"]
    for size, sent in ((2, [b"ab"]), (4, [b"ab", b"c"])):
        pieces = []
        with pytest.raises(GatewayError, match="declared size"):
            for piece in request_head.of_length([b"ab", b"c"], size):
                pieces.append(piece)
        assert pieces == sent  # never more than was declared
