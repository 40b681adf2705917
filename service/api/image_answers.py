"""Answers about enrolled images."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from index import Page as GalleryPage
from index import Record
from service.api.cursor import cursor_of
from service.api.query_answers import QueryAnswer
from service.api.tags import etag
from service.api.vehicles import OfAFrame


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
        "there are none, or where the gallery went away as soon as the image was in it",
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
