"""Attacks by form: what a multipart body may hold, and what of it reaches the provider."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Iterator

import pytest

from tests.behaviour.world import Answer, World, running_world
from tests.lifecycle.house import children_of
from tests.traffic.replay import Reply

PATH = "/v1/audio/transcriptions"
MODEL = ("model", "openai/whisper-1")


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world({"SLUICE_BODY_DEADLINE": "1"}) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    world = _world.fresh()
    world.upstream.script = lambda request: Reply.json({"text": "hello"})
    return world


def form(
    fields: list[tuple[str, str]],
    file: bytes | None = b"RIFF",
    filename: str = "a.wav",
    kind: str = "audio/wav",
) -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields]
    if file is not None:
        head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: {kind}\r\n\r\n'
        parts.append(head.encode() + file + b"\r\n")
    return b"".join(parts) + b"--b--\r\n"


def send(world: World, body: bytes, content_type: str = "multipart/form-data; boundary=b") -> Answer:
    return world.send("POST", PATH, body, {"content-type": content_type})


def test_a_good_form_is_answered(world: World) -> None:
    answer = send(world, form([MODEL]))

    assert (answer.status, answer.json["text"]) == (200, "hello")
    (request,) = world.upstream.requests
    assert (request.path, request.body.count(b"RIFF")) == ("/openai/audio/transcriptions", 1)


@pytest.mark.parametrize(
    "filename",
    [
        "../../etc/passwd",
        "a%0d%0aX-Evil: 1",
        'a\\"; x=\\"',
        "a\\",
        "ünï.wav",
        "",
        "a" * 5000,
        "a\tb",
        "nul\0.wav",
    ],
    ids=lambda name: repr(name)[:24],
)
def test_a_filename_never_leaves_its_quotes(filename: str, world: World) -> None:
    answer = send(world, form([MODEL], filename=filename))

    assert answer.status in (200, 400), answer.body
    for request in world.upstream.requests:
        heads = re.findall(rb"Content-Disposition: form-data; [^\r\n]*\r\n", request.body, re.IGNORECASE)
        assert len(heads) == request.body.count(b"--" + boundary(request.headers["content-type"])) - 1
        assert b"\r\nx-evil" not in request.body.lower()
        assert all(re.search(rb'name="(file|model|response_format)"', head) for head in heads)


def boundary(content_type: str) -> bytes:
    return content_type.partition("boundary=")[2].strip('"').encode()


@pytest.mark.parametrize(
    "kind", ["text/html", "audio/wav\r\nX-Evil: 1", "a" * 3000, "é/è", ""], ids=lambda k: repr(k)[:20]
)
def test_a_parts_type_adds_no_header(kind: str, world: World) -> None:
    answer = send(world, form([MODEL], kind=kind))

    assert answer.status in (200, 400)
    for request in world.upstream.requests:
        assert b"x-evil" not in request.body.lower()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (form([MODEL], file=None), "multipart/form-data; boundary=b", 400),
        (form([], file=b"x"), "multipart/form-data; boundary=b", 400),
        (form([MODEL])[:-40], "multipart/form-data; boundary=b", 400),
        (form([MODEL]), "multipart/form-data", 400),
        (form([MODEL]), "multipart/form-data; boundary=other", 400),
        (form([MODEL]), "multipart/form-data; boundary=" + "b" * 300, 400),
        (b"", "multipart/form-data; boundary=b", 400),
        (b"--b\r\n" * 50_000, "multipart/form-data; boundary=b", 400),
        (form([MODEL]), "multipart/mixed; boundary=b", 415),
        (form([MODEL, ("temperature", "hot")]), "multipart/form-data; boundary=b", 400),
        (form([MODEL, ("stream", "maybe")]), "multipart/form-data; boundary=b", 400),
        (form([("model", "openai/x\ny")]), "multipart/form-data; boundary=b", 400),
        (form([MODEL, ("fallbacks", "[[]]")]), "multipart/form-data; boundary=b", 400),
        (form([MODEL, ("fallbacks", "groq/x," * 500)]), "multipart/form-data; boundary=b", 400),
        (form([MODEL, *[("fallbacks", "groq/x")] * 17]), "multipart/form-data; boundary=b", 400),
        (form([MODEL], file=b"x" * (26 * 1024 * 1024)), "multipart/form-data; boundary=b", 413),
        (form([MODEL, ("prompt", "x" * 3_000_000)]), "multipart/form-data; boundary=b", 413),
        (form([MODEL, *((f"f{n}", "x") for n in range(3000))]), "multipart/form-data; boundary=b", 413),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_broken_or_huge_form_is_refused_in_json(
    body: bytes, content_type: str, status: int, world: World
) -> None:
    began = time.monotonic()
    answer = send(world, body, content_type)

    assert (answer.status, bool(answer.error["message"])) == (status, True), answer.body
    assert time.monotonic() - began < 10
    assert world.upstream.requests == []


def test_the_head_of_a_part_is_bounded(world: World) -> None:
    assert send(world, form([MODEL], filename="a" * 16_000)).status == 200
    answer = send(world, form([MODEL], filename="a" * 1_000_000))

    assert answer.status == 400
    assert "headers of part 2 have more than 16384 bytes" in answer.error["message"]
    assert len(world.upstream.requests) == 1


def test_a_form_that_does_not_come_is_cut_at_its_deadline(world: World) -> None:
    connection = world.connect()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9999\r\n\r\n"
    connection.sendall(head.encode() + form([MODEL])[:60])

    connection.settimeout(4)
    assert connection.recv(12) == b"HTTP/1.1 408"


@pytest.mark.parametrize(
    "name", ["api_key", "api_base", "extra_headers", "headers[authorization]", "extra_body[model]", "timeout"]
)
def test_fields_that_would_redirect_a_call_do_nothing(name: str, world: World) -> None:
    answer = send(world, form([MODEL, (name, "evil-7f3a")]))

    assert answer.status == 200
    assert name in answer.body.decode()
    (request,) = world.upstream.requests
    assert b"evil-7f3a" not in request.body
    assert name.encode() not in request.body


def test_an_upload_that_the_disk_has_no_room_for_is_503_and_logged() -> None:
    """A limit on the size of files stands for a full disk: the same error at the same place."""
    with running_world({}) as world:
        world.upstream.script = lambda request: Reply.json({"text": "hello"})
        for pid in children_of(world.gateway.process):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
        answer = send(world, form([MODEL], file=b"x" * 4_000_000))
        again = send(world, form([MODEL]))
        log = world.gateway.log

    assert (answer.status, answer.error["code"]) == (503, "overloaded")
    assert "an upload cannot be kept" in log
    assert again.status == 200


def in_charset(value: bytes, charset: str = "") -> bytes:
    """Return a form whose field ``prompt`` has these bytes."""
    kind = f"Content-Type: text/plain; charset={charset}\r\n".encode() if charset else b""
    head = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n' + kind + b"\r\n"
    return head + value + b"\r\n" + form([MODEL, ("temperature", "0")])


@pytest.mark.parametrize(
    ("value", "charset", "sentence"),
    [
        (b"caf\xe9", "", "The field 'prompt' of the form is not valid UTF-8: byte 3 is 0xe9."),
        (b"\xed\xa0\x80", "", "The field 'prompt' of the form is not valid UTF-8: byte 0 is 0xed."),
        (b"caf\xc3\xa9", "us-ascii", "The field 'prompt' of the form is not valid US-ASCII: byte 3 is 0xc3."),
    ],
)
@pytest.mark.parametrize("path", [PATH, "/v1/images/edits", "/v1/files"])
def test_text_that_is_not_in_its_charset_is_refused(
    path: str, value: bytes, charset: str, sentence: str, world: World
) -> None:
    head = {"content-type": "multipart/form-data; boundary=b"}
    answer = world.send("POST", path, in_charset(value, charset), head)

    assert (answer.status, answer.error["message"], answer.error["param"]) == (400, sentence, "prompt")
    assert world.upstream.requests == []


@pytest.mark.parametrize(("value", "charset"), [(b"caf\xc3\xa9", ""), (b"caf\xe9", "ISO-8859-1")])
def test_text_in_its_charset_reaches_the_provider(value: bytes, charset: str, world: World) -> None:
    assert send(world, in_charset(value, charset)).status == 200
    assert "caf\xe9".encode() in world.upstream.requests[0].body


def test_a_form_of_too_many_fields_is_told_so(world: World) -> None:
    answer = send(world, form([MODEL, *((f"field_{number}", "x") for number in range(1_001))]))
    assert answer.status == 413
    assert "more than 1000 fields" in answer.error["message"]


@pytest.mark.parametrize(
    ("body", "content_type", "sentence"),
    [
        (form([MODEL]), "multipart/form-data", "cannot be parsed"),
        (form([MODEL])[:-12], "multipart/form-data; boundary=b", "cannot be parsed"),
        (form([MODEL]), "multipart/form-data; boundary=other", "cannot be parsed"),
        (form([MODEL, MODEL]), "multipart/form-data; boundary=b", "'model' occurs more than once"),
        (
            form([MODEL, ("stream", "true"), ("stream", "false")]),
            "multipart/form-data; boundary=b",
            "'stream'",
        ),
        (form([MODEL])[:-7] + form([]), "multipart/form-data; boundary=b", "more than one file"),
        (
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + form([MODEL]),
            "multipart/form-data; boundary=b",
            "a part without a name",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n' + form([MODEL]),
            "multipart/form-data; boundary=b",
            "a part without a name",
        ),
    ],
    ids=[
        "no boundary",
        "cut off",
        "another boundary",
        "two models",
        "two streams",
        "two files",
        "no name",
        "a file without a name",
    ],
)
def test_a_form_that_is_not_clear_is_refused_by_its_fault(
    body: bytes, content_type: str, sentence: str, world: World
) -> None:
    answer = send(world, body, content_type)

    assert answer.status == 400
    assert sentence in answer.json["error"]["message"]
    assert world.upstream.requests == []
