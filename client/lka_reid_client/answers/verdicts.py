"""What people decided of probes and matches."""

from __future__ import annotations

from datetime import datetime

from lka_reid_client.answers.base import Answer


class VerdictAnswer(Answer):
    """What a person decided of a probe and an enrolled image.

    Attributes:
        probe: SHA-256 of the probe's file, in hex.
        camera_id: the probe's camera, where it is known.
        verdict: whether both show the same vehicle.
        decided_at: UTC.
        decided_by: id of the key of whoever decided last; null without keys.
    """

    probe: str
    camera_id: str | None
    image_id: str
    verdict: str
    decided_at: datetime
    decided_by: str | None


class VerdictsAnswer(Answer):
    """Some verdicts.

    Attributes:
        next: pass it as `after` for the next page; null on the last one.
    """

    verdicts: list[VerdictAnswer]
    next: str | None = None
