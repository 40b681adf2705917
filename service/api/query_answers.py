"""The answer to a query, and what it is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from index import Applied, CameraUse, Mode, Verdict
from service.api.vehicles import OfAFrame

VerdictKind = Literal["same", "different"]


class Match(BaseModel):
    """One enrolled image that answers a query."""

    rank: int = Field(ge=1, description="final place, 1 is best")
    first_stage_rank: int = Field(ge=1, description="place by similarity alone")
    image_id: str
    vehicle_id: str | None
    camera_id: str | None
    captured_at: datetime | None = Field(description="UTC")
    view: str | None
    vehicle_type: str | None
    similarity: float = Field(description="cosine of the two descriptors, as `normalisation` says; 1 at best")
    is_match: bool | None = Field(
        description="whether the similarity reaches the bundle's threshold; null for a bundle without one, "
        "and where it has none for what `normalisation` says"
    )
    rerank_distance: float | None = Field(
        description="the second stage's distance, less is nearer; null where it did not look"
    )
    verdict: Literal["same"] | None = Field(
        default=None, description="`same` where a person said so of this probe's file and this image"
    )


class Timings(BaseModel):
    """Where the time went, in ms. `total` counts from the request's arrival and holds all the others."""

    decode: float = Field(description="decoding and resizing the image")
    queue: float = Field(description="waiting for a batch")
    embed: float = Field(description="the batch's forward pass")
    search: float = Field(description="the first stage, with reading the candidates' strips")
    rerank: float = Field(description="the second stage, 0 when it was not run")
    detect: float | None = Field(
        default=None,
        exclude_if=lambda spent: spent is None,
        description="finding vehicles in the image and cutting them out; absent of a crop",
    )
    total: float


class NormalisationUsed(BaseModel):
    """What was taken out of the descriptors that were compared."""

    mode: Mode = Field(
        description="as it is set; where that is `off`, vectors of before the setting are still compared"
    )
    version: int = Field(
        ge=0,
        description="of the gallery's normalisation, 0 before the first; similarities of two versions cannot "
        "be compared",
    )
    camera: CameraUse = Field(
        description="`known`: the probe's camera has statistics of its own; `global`: half the mean of all "
        "images stood in for its own; `off`: descriptors were compared as they are"
    )

    @classmethod
    def of(cls, applied: Applied, mode: Mode) -> NormalisationUsed | None:
        """As it goes over the wire; None where the setting is `off` and so were descriptors.

        What was compared decides, not the setting: normalised similarities are never told without a word.
        """
        if mode == "off" and applied.camera == "off":
            return None
        return cls(mode=mode, version=applied.version, camera=applied.camera)


class VerdictAnswer(BaseModel):
    """What a person decided of a probe and an enrolled image."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "probe": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "camera_id": "cam1",
                    "image_id": "cam3/000123.jpg",
                    "verdict": "different",
                    "decided_at": "2026-03-04T05:06:07.123456Z",
                    "decided_by": "3f9a1c2e",
                }
            ]
        },
    )

    probe: str = Field(description="SHA-256 of the probe's file, in hex")
    camera_id: str | None = Field(description="the probe's camera, where it is known")
    image_id: str
    verdict: VerdictKind = Field(description="whether both show the same vehicle")
    decided_at: datetime = Field(description="UTC")
    decided_by: str | None = Field(description="id of the key of whoever decided last; null without keys")

    @classmethod
    def of(cls, verdict: Verdict) -> VerdictAnswer:
        """The verdict as it goes over the wire."""
        return cls(
            probe=verdict.probe,
            camera_id=verdict.camera_id,
            image_id=verdict.image_id,
            verdict=verdict.kind,
            decided_at=verdict.decided_at,
            decided_by=verdict.decided_by,
        )


class QueryAnswer(OfAFrame):
    """The matches, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "matches": [
                        {
                            "rank": 1,
                            "first_stage_rank": 3,
                            "image_id": "cam3/000123.jpg",
                            "vehicle_id": "bus_0001",
                            "camera_id": "cam3",
                            "captured_at": "2024-05-17T06:30:00Z",
                            "view": "front",
                            "vehicle_type": "bus",
                            "similarity": 0.8127,
                            "is_match": True,
                            "rerank_distance": 0.2416,
                            "verdict": None,
                        }
                    ],
                    "reranked": True,
                    "match_threshold": 0.62,
                    "gallery_size": 1284,
                    "timings_ms": {
                        "decode": 2.1,
                        "queue": 0.1,
                        "embed": 81.4,
                        "search": 0.9,
                        "rerank": 4.2,
                        "total": 90.3,
                    },
                    "normalisation": {"mode": "auto", "version": 3, "camera": "known"},
                    "probe": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "verdicts": [],
                }
            ]
        }
    )

    matches: list[Match]
    reranked: bool = Field(
        description="whether the second stage scored any match; false when it was not asked for, when the "
        "bundle has none, and when there was nothing to score"
    )
    match_threshold: float | None = Field(
        default=None, description="similarity from which on `is_match` is true; null where that is null"
    )
    gallery_size: int
    searched: int | None = Field(
        default=None,
        exclude_if=lambda searched: searched is None,
        description="images that the filter lets through; absent without one",
    )
    timings_ms: Timings
    normalisation: NormalisationUsed | None = Field(
        default=None,
        exclude_if=lambda used: used is None,
        description="absent where `LKA_REID_CAMERA_NORMALISATION` is `off` and descriptors were compared as "
        "they are",
    )
    probe: str = Field(
        description="SHA-256 of the probe's file, or of what was cut out of it; verdicts on it are kept by it"
    )
    verdicts: list[VerdictAnswer] = Field(
        description="verdicts on this probe that were respected, also on images that are no matches"
    )
