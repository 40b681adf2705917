"""A probe, and decisions on it."""

from __future__ import annotations

from datetime import UTC, datetime

from index import Decision, digest_of

PROBE = b"\x89PNG the probe's file"
NAME = digest_of(PROBE)
WHEN = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


def decision(image_id: str, kind: str = "same", probe: bytes = PROBE, **changes: object) -> Decision:
    values = {"media_type": "image/png", "camera_id": "gate", "decided_at": WHEN, "decided_by": "3f9a1c2e"}
    return Decision(probe=probe, image_id=image_id, kind=kind, **(values | changes))  # type: ignore[arg-type]
