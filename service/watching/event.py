"""An alert as it goes to webhooks and listeners."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from index import Alert

EXAMPLE: dict[str, Any] = {
    "id": 12,
    "collection": "default",
    "watch_id": 3,
    "watch_name": "stolen van",
    "image_id": "cam3/000123.jpg",
    "vehicle_id": None,
    "camera_id": "cam3",
    "captured_at": "2026-05-17T06:30:00Z",
    "view": "front",
    "vehicle_type": "van",
    "similarity": 0.8127,
    "threshold": 0.62,
    "raised_at": "2026-05-17T06:30:03.123456Z",
}


class AlertEvent(BaseModel):
    """An enrolled image that is similar enough to a watched vehicle."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: int = Field(description="counts up within a collection, and is never given twice")
    collection: str
    watch_id: int
    watch_name: str = Field(description="empty where the watch has none")
    image_id: str = Field(description="of the enrolled image")
    vehicle_id: str | None
    camera_id: str | None
    captured_at: datetime | None = Field(description="UTC")
    view: str | None
    vehicle_type: str | None
    similarity: float = Field(description="cosine of the two descriptors, as searches have it")
    threshold: float = Field(description="that it reached")
    raised_at: datetime = Field(description="UTC")

    @classmethod
    def of(cls, alert: Alert, collection: str, **more: Any) -> Self:
        """The alert as it goes over the wire."""
        record = alert.record
        return cls(
            id=alert.id,
            collection=collection,
            watch_id=alert.watch_id,
            watch_name=alert.watch_name,
            image_id=record.image_id,
            vehicle_id=record.vehicle_id,
            camera_id=record.camera_id,
            captured_at=record.captured_at,
            view=record.view,
            vehicle_type=record.vehicle_type,
            similarity=alert.similarity,
            threshold=alert.threshold,
            raised_at=alert.raised_at,
            **more,
        )
