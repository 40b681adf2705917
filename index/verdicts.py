"""Verdicts: what a person decided of a probe and an enrolled image, `same` vehicle or `different` ones.

A verdict belongs to the bytes of the probe, and to the enrollment of the image: it goes when the image is
deleted, and so does the probe's file when its last verdict goes; the database sees to both by itself. A probe
that is itself an enrolled image goes with that image, and its verdicts with it. The tables are made at the
first opening by software that knows them; software that does not may open the gallery all the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["same", "different"]


MAX_TEXT = 1024


MOST = 256
"""Verdicts on a probe: a search for it looks at as many matches more, and at their strips."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict to be kept.

    Attributes:
        probe: the probe's file, which is kept as long as there is a verdict on it.
        media_type: of the file.
        image_id: of the enrolled image.
        kind: whether both show the same vehicle.
        camera_id: the probe's camera, None where it is not known; a known one stays.
        decided_at: aware; None for now.
        decided_by: id of the key of whoever decided; None without keys.
    """

    probe: bytes
    media_type: str
    image_id: str
    kind: Kind
    camera_id: str | None = None
    decided_at: datetime | None = None
    decided_by: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict that is kept.

    Attributes:
        probe: SHA-256 of the probe's file, in hex.
        camera_id: the probe's camera, where it is known.
        record_id: the number of the image's enrollment, see `index.record.Match`.
        image_id: of the enrolled image.
        kind: whether both show the same vehicle.
        decided_at: in UTC.
        decided_by: id of the key of whoever decided last; None without keys.
    """

    probe: str
    camera_id: str | None
    record_id: int
    image_id: str
    kind: Kind
    decided_at: datetime
    decided_by: str | None


@dataclass(frozen=True, slots=True)
class VerdictPage:
    """Some verdicts, the pair that was decided first before others; `next` as in `index.record.Page`."""

    verdicts: tuple[Verdict, ...]
    next: int | None


def digest_of(probe: bytes) -> str:
    """What names a probe: SHA-256 of its file, in hex."""
    return hashlib.sha256(probe).hexdigest()


def size_of(decision: Decision) -> int:
    """Bytes that a decision may take in the database."""
    return len(decision.probe) + MAX_TEXT
