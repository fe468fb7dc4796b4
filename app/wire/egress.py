"""Outbound HTTP: the only user of ``requests``."""

from __future__ import annotations

from app.wire.paths import host_label, segment

__all__ = ["host_label", "segment"]
