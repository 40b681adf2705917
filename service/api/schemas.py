"""What goes over the wire: forms in, answers out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from index import Applied, CameraUse, Mode, Record, Verdict
from index import Page as GalleryPage
from models.decoding.formats import ACCEPTED
from service.api.cursor import LAST, GalleryCursor, cursor_of
from service.api.tags import etag
from service.api.vehicles import BoxField, DetectField, DetectOneField, FoundVehicle, OfAFrame
from service.filtering import FilterFields
from service.identifiers import CAPTURED_AT_RULE, IMAGE_ID_RULE, LABEL_RULE, CapturedAt, ImageId, Label, Tags

MAX_TOP_K = 100
MAX_PAGE = 1000
LAST_NUMBER = 2**63 - 1

VerdictKind = Literal["same", "different"]


def _without_empty(tags: object) -> object:
    """A list of tags as it is often written, with a separator behind the last: what is empty is none."""
    return [tag for tag in tags if tag != ""] if isinstance(tags, list) else tags


ImageFile = Annotated[UploadFile, WithJsonSchema({"type": "string", "format": "binary"})]


class EnrollFields(BaseModel):
    """What is known of an image that is to be remembered."""

    image_id: ImageId | None = Field(
        default=None,
        description=f"{IMAGE_ID_RULE}. Made up, sorting by time, when not given",
        examples=["cam3/000123.jpg"],
    )
    vehicle_id: Label | None = Field(
        default=None, description=f"the vehicle, where known: {LABEL_RULE}", examples=["bus_0001"]
    )
    camera_id: Label | None = Field(default=None, description=f"the camera: {LABEL_RULE}", examples=["cam3"])
    captured_at: CapturedAt | None = Field(
        default=None, description=f"when: {CAPTURED_AT_RULE}", examples=["2024-05-17T08:30:00+02:00"]
    )
    view: Label | None = Field(
        default=None, description=f"the side that is seen: {LABEL_RULE}", examples=["front"]
    )
    vehicle_type: Label | None = Field(
        default=None, description=f"the kind of vehicle: {LABEL_RULE}", examples=["bus"]
    )
    tags: Annotated[Tags, BeforeValidator(_without_empty)] = Field(
        default=[],
        description=f"repeat the field for several; each {LABEL_RULE}; empty ones count as not given",
        examples=[["night"]],
    )


class EnrollForm(EnrollFields):
    """An image to be remembered, and what is known of it."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    image: ImageFile = Field(description=f"the image file: {ACCEPTED}; one vehicle filling most of it")
    keep_frame: bool = Field(
        default=False,
        description="of a frame, with `box` or `detect`: whether the whole image is kept besides the crop, "
        "until the first of its vehicles is deleted",
        examples=[True],
    )
    box: BoxField = None
    detect: DetectField = None


ProbeCamera = Annotated[
    Label | None,
    Field(
        description=f"the probe's camera, where known: {LABEL_RULE}. Probes change nothing of what is "
        "known of it",
        examples=["cam3"],
    ),
]


class SearchFields(FilterFields):
    """How to search for a probe, or for each of a batch, and among which images."""

    top_k: int = Field(
        default=10,
        ge=1,
        le=MAX_TOP_K,
        description="matches wanted; fewer come where fewer images are searched",
        examples=[20],
    )
    rerank: bool = Field(
        default=True, description="whether the second stage re-orders the first matches", examples=[False]
    )
    verdicts: bool = Field(
        default=True,
        description="whether verdicts on this probe count: images of another vehicle are left out, those of "
        "the same come first (`POST /verdicts`)",
        examples=[False],
    )


class QueryForm(SearchFields):
    """A probe, how to search for it, and among which images."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    image: ImageFile = Field(description=f"the probe's image file: {ACCEPTED}")
    camera_id: ProbeCamera = None
    box: BoxField = None
    detect: DetectField = None


class Listing(FilterFields):
    """Which records are listed, and from where on."""

    limit: int = Field(default=100, ge=1, le=MAX_PAGE, description="records on a page", examples=[50])
    after: GalleryCursor = Field(default=None, description=LAST)


class DetectForm(BaseModel):
    """A frame, to find vehicles in."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    image: ImageFile = Field(description=f"the image file: {ACCEPTED}")


class ExplainForm(BaseModel):
    """A probe, and the candidate that it is compared with: an enrolled image or another file."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    image: ImageFile = Field(description=f"the probe's image file: {ACCEPTED}")
    candidate_id: ImageId | None = Field(
        default=None,
        description="the candidate's image id, where it is enrolled",
        examples=["cam3/000123.jpg"],
    )
    candidate_image: ImageFile | None = Field(
        default=None, description="the candidate's image file, where `candidate_id` is not given"
    )
    camera_id: ProbeCamera = None
    box: BoxField = None
    detect: DetectOneField = None


class EnrolledRecord(BaseModel):
    """An enrolled image, without its bytes."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "image_id": "cam3/000123.jpg",
                    "vehicle_id": "bus_0001",
                    "camera_id": "cam3",
                    "captured_at": "2024-05-17T06:30:00Z",
                    "view": "front",
                    "vehicle_type": "bus",
                    "tags": ["night"],
                    "fingerprint": "9f2c0b6f5a1e...",
                    "enrolled_at": "2024-05-17T06:30:02.123456Z",
                    "media_type": "image/jpeg",
                }
            ]
        },
    )

    image_id: str
    vehicle_id: str | None
    camera_id: str | None
    captured_at: datetime | None = Field(description="UTC")
    view: str | None
    vehicle_type: str | None
    tags: list[str]
    fingerprint: str = Field(description="of the model bundle that embedded the image")
    enrolled_at: datetime = Field(description="UTC")
    media_type: str

    @classmethod
    def of(cls, record: Record) -> Self:
        """The record as it goes over the wire."""
        return cls.model_validate(record)

    def etag(self) -> str:
        """The strong entity tag of the record."""
        return etag(self.model_dump_json().encode())


class EnrolledImage(EnrolledRecord, OfAFrame):
    """What was enrolled."""

    same_image: list[str] = Field(
        default=[],
        exclude_if=lambda ids: not ids,
        description="ids under which the very same bytes were enrolled before, the first 10; absent where "
        "there are none",
    )


class RecordPage(BaseModel):
    """A stretch of the gallery in order of enrollment."""

    records: list[EnrolledRecord]
    next: str | None = Field(description="pass it as `after` for the next page; null on the last one")

    @classmethod
    def of(cls, page: GalleryPage) -> RecordPage:
        """The page as it goes over the wire."""
        records = [EnrolledRecord.of(record) for record in page.records]
        return cls(records=records, next=cursor_of("gallery", page.next))


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

    mode: Literal["on", "auto"] = Field(description="as it is set")
    version: int = Field(
        ge=0,
        description="of the gallery's normalisation, 0 before the first; similarities of two versions cannot "
        "be compared",
    )
    camera: CameraUse = Field(
        description="`known`: the probe's camera has statistics of its own; `global`: those of all cameras "
        "stood in for it; `off`: descriptors were compared as they are"
    )

    @classmethod
    def of(cls, applied: Applied, mode: Mode) -> NormalisationUsed | None:
        """As it goes over the wire; None where the setting is `off`."""
        return None if mode == "off" else cls(mode=mode, version=applied.version, camera=applied.camera)


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
        description="absent where `LKA_REID_CAMERA_NORMALISATION` is `off`",
    )
    probe: str = Field(
        description="SHA-256 of the probe's file, or of what was cut out of it; verdicts on it are kept by it"
    )
    verdicts: list[VerdictAnswer] = Field(
        description="verdicts on this probe that were respected, also on images that are no matches"
    )


class FrameAnswer(BaseModel):
    """What `detect=all` answers: one answer a vehicle, in the order in which they were found."""

    width: int = Field(description="of the image as it is looked at, px")
    height: int = Field(description="px")
    answers: list[QueryAnswer]


class EnrolledFrame(BaseModel):
    """What `detect=all` enrolled: one record a vehicle, in the order in which they were found."""

    width: int = Field(description="of the image as it is looked at, px")
    height: int = Field(description="px")
    enrolled: list[EnrolledImage]


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The service can answer queries: a forward pass succeeded just now or a short while ago."""

    status: Literal["ready"] = "ready"
    runtime: str = Field(description="what runs the embedder; several where workers differ")
    bundle: str = Field(description="the model bundle's name")
    fingerprint: str = Field(description="the model bundle's fingerprint")
    reranker: bool = Field(description="whether the bundle has a second stage")
    match_threshold: float | None = Field(
        description="similarity from which on `is_match` is true; null for a bundle that is not calibrated "
        "for descriptors as the gallery compares them now"
    )
    workers: int = Field(description="living embedding workers; 1 where the service embeds by itself")
    gallery_size: int | None = Field(
        description="images enrolled, in all collections; null where there are keys, since anybody may ask"
    )
    index_kind: str = Field(description="kind of the vector index in use: flat, flat16, compressed or hnsw")
    index_device: str = Field(description="what searches it: gpu or cpu")
    index_gpu_left_out: str | None = Field(
        description="why no GPU searches it, where one was looked for; null else"
    )
    queue_depth: int = Field(description="images being decoded or waiting")
    forward_age_s: float = Field(description="s since a forward pass last succeeded")


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(
        description="names the kind of error", examples=["urn:lka-reid:problem:duplicate-image"]
    )
    title: str = Field(
        description="the kind of error in words", examples=["The image id is enrolled already"]
    )
    status: int = Field(examples=[409])
    detail: str = Field(description="this error in words")
    instance: str = Field(description="the path that was asked", examples=["/gallery"])
    request_id: str = Field(description="finds this request in the service's log")
    errors: list[FieldError] | None = Field(
        default=None, description="field by field, where fields are wrong"
    )
    differs: list[str] | None = Field(
        default=None,
        description="of an image id that is enrolled already: the fields sent that are not as enrolled, "
        "`image` among them where the file has other bytes; empty where all is as enrolled",
    )
    width: int | None = Field(default=None, description="of the image, px, where vehicles are listed")
    height: int | None = Field(default=None, description="px")
    vehicles: list[FoundVehicle] | None = Field(
        default=None, description="what the image shows, where it does not say which vehicle is meant"
    )
