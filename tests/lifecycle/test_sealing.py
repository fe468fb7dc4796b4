"""Wrapped reasoning: sealed with the operator's key, for its tenant; opened nowhere else."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from app.canonical.request import Signature
from app.config import Secret, Settings
from app.gateway.sealing import UNREADABLE, SignatureSealer

SIGNATURE = Signature("what the maker signed", "messages", "anthropic:default")


def settings(folder: Path, *keys: str) -> Settings:
    return Settings(
        database_url=f"sqlite:///{folder / 'never-opened.db'}", secret_keys=tuple(map(Secret, keys))
    )


def test_a_signature_comes_back_as_it_went(tmp_path: Path) -> None:
    sealing = SignatureSealer(settings(tmp_path, "one"))("red")
    assert sealing.unwrap(sealing.wrap(SIGNATURE)) == SIGNATURE


def test_what_it_holds_cannot_be_read(tmp_path: Path) -> None:
    token = SignatureSealer(settings(tmp_path, "one"))("red").wrap(SIGNATURE).removeprefix("slr1.")
    opened = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert b"signed" not in opened
    assert b"messages" not in opened


@pytest.mark.parametrize(
    ("keys", "tenant"), [(("one",), "blue"), (("two",), "red")], ids=["another tenant", "another key"]
)
def test_no_one_else_opens_it(tmp_path: Path, keys: tuple[str, ...], tenant: str) -> None:
    token = SignatureSealer(settings(tmp_path, "one"))("red").wrap(SIGNATURE)
    assert SignatureSealer(settings(tmp_path, *keys))(tenant).unwrap(token) == UNREADABLE


def test_a_key_that_was_rotated_out_of_first_place_still_opens(tmp_path: Path) -> None:
    token = SignatureSealer(settings(tmp_path, "old"))("red").wrap(SIGNATURE)
    assert SignatureSealer(settings(tmp_path, "new", "old"))("red").unwrap(token) == SIGNATURE


def test_a_token_that_was_changed_is_not_opened(tmp_path: Path) -> None:
    sealing = SignatureSealer(settings(tmp_path, "one"))("red")
    assert sealing.unwrap(sealing.wrap(SIGNATURE)[:-8] + "AAAAAAA=") == UNREADABLE


def test_text_of_another_maker_is_not_ours(tmp_path: Path) -> None:
    assert SignatureSealer(settings(tmp_path, "one"))("red").unwrap("gAAAAABnative") is None
    assert not list(tmp_path.iterdir())


def test_without_a_key_one_is_kept_beside_the_file_that_is_never_opened(tmp_path: Path) -> None:
    token = SignatureSealer(settings(tmp_path))("red").wrap(SIGNATURE)
    (kept,) = tmp_path.iterdir()
    assert (kept.name, stat.S_IMODE(kept.stat().st_mode)) == ("never-opened.key", 0o600)
    assert SignatureSealer(settings(tmp_path))("red").unwrap(token) == SIGNATURE


def test_where_no_key_can_be_kept_the_process_has_its_own(tmp_path: Path) -> None:
    sealing = SignatureSealer(settings(tmp_path / "absent"))("red")
    assert sealing.unwrap(sealing.wrap(SIGNATURE)) == SIGNATURE
