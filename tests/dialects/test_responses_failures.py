"""What a failed Responses object says of the request itself is the caller's fault, with its code kept."""

from __future__ import annotations

import pytest

from app.dialects.responses.response import failed_response


@pytest.mark.parametrize("code", ["invalid_prompt", "invalid_base64_image", "image_too_large"])
def test_a_fault_of_the_request_keeps_its_code(code: str) -> None:
    error = failed_response({"status": "failed", "error": {"code": code, "message": "Not this."}})
    assert (error.kind.name, error.status, error.body()["code"]) == ("upstream_rejected", 400, code)


@pytest.mark.parametrize(
    ("code", "status"), [("server_error", 500), ("vector_store_timeout", 502), ("one_of_tomorrow", 502)]
)
def test_any_other_failure_is_the_providers(code: str, status: int) -> None:
    error = failed_response({"status": "failed", "error": {"code": code, "message": "Oops."}})
    assert (error.kind.name, error.status) == ("upstream_error", status)
