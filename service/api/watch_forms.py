"""Watches and alerts as they go over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from index import Alert, AlertPage, DeliveryState, Watch
from models.decoding.formats import ACCEPTED
from service.api.cursor import cursor_of
from service.api.image_forms import ImageFile, ProbeCamera
from service.api.vehicles import BoxField, DetectOneField
from service.filtering import Labels
from service.identifiers import IMAGE_ID_RULE, LABEL_RULE, ImageId, Label
from service.watching.address import MAX_URL
from service.watching.event import EXAMPLE, AlertEvent
from service.watching.signature import SECRET_RULE, key_of


def _check_secret(text: str | None) -> str | None:
    if text is not None:
        try:
            key_of(text)
        except ValueError:
            raise PydanticCustomError(
                "secret", "is no secret; it takes {rule}", {"rule": SECRET_RULE}
            ) from None
    return text


class WatchForm(BaseModel):
    """A vehicle to look for in whatever is enrolled from now on."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    image: ImageFile | None = Field(
        default=None, description=f"the vehicle's image file: {ACCEPTED}. It is kept with the watch"
    )
    image_id: ImageId | None = Field(
        default=None,
        description=f"of an enrolled image of the vehicle, in place of a file: {IMAGE_ID_RULE}. The watch "
        "goes with that image",
        examples=["cam3/000123.jpg"],
    )
    name: Label | None = Field(default=None, description=LABEL_RULE, examples=["stolen van"])
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="least similarity that raises an alert; the bundle's threshold of a match when not given",
        examples=[0.62],
    )
    only_camera_id: Labels = Field(
        default=[],
        description="cameras whose images may raise an alert; all when not given",
        examples=[["cam3", "cam4"]],
    )
    camera_id: ProbeCamera = None
    box: BoxField = None
    detect: DetectOneField = None
    webhook: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_URL,
        description="URL that alerts are delivered to by POST; it begins with https://",
        examples=["https://hooks.example/reid"],
    )
    secret: Annotated[
        str | None,
        AfterValidator(_check_secret),
        Field(
            description=f"what deliveries are signed with: {SECRET_RULE}. It is in no answer",
            examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        ),
    ] = None


class WatchAnswer(BaseModel):
    """A vehicle that is looked for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 3,
                    "name": "stolen van",
                    "image_id": None,
                    "camera_id": "cam1",
                    "threshold": None,
                    "only_camera_id": ["cam3", "cam4"],
                    "webhook": "https://hooks.example/reid",
                    "created_at": "2026-05-17T06:30:00.123456Z",
                    "created_by": "3f9a1c2e",
                    "alerts": 2,
                }
            ]
        },
    )

    id: int = Field(description="counts up within a collection, and is never given twice")
    name: str = Field(description="empty where it has none")
    image_id: str | None = Field(description="of the enrolled image that it was made of; null for a file")
    camera_id: str | None = Field(description="of the image that it was made of, where it is known")
    threshold: float | None = Field(
        description="least similarity that raises an alert; null for the bundle's threshold of a match"
    )
    only_camera_id: list[str] = Field(description="cameras whose images may raise one; empty for all")
    webhook: str | None
    created_at: datetime = Field(description="UTC; images that were enrolled before are not looked at")
    created_by: str | None = Field(description="id of the key of whoever made it; null without keys")
    alerts: int = Field(description="that it has raised and that are kept")

    @classmethod
    def of(cls, watch: Watch) -> WatchAnswer:
        """The watch as it goes over the wire."""
        return cls(
            id=watch.id,
            name=watch.name,
            image_id=watch.image_id,
            camera_id=watch.camera_id,
            threshold=watch.threshold,
            only_camera_id=sorted(watch.cameras),
            webhook=watch.webhook,
            created_at=watch.created_at,
            created_by=watch.created_by,
            alerts=watch.alerts,
        )


class WatchesAnswer(BaseModel):
    """All watches of a collection."""

    watches: list[WatchAnswer] = Field(description="the first made first")


class WatchTestAnswer(BaseModel):
    """What became of a test message."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"delivered": False, "problem": "it answered 500"}]}
    )

    delivered: bool
    problem: str | None = Field(description="what came instead of an answer 2xx; null where it was accepted")


class DeliveryAnswer(BaseModel):
    """Where the delivery of an alert stands."""

    state: DeliveryState = Field(
        description="`waiting` for its next attempt; `delivered`; `dead` after the last one, or `dropped` by "
        "a person then"
    )
    attempts: int
    due_at: datetime | None = Field(description="UTC; of the next attempt")
    problem: str | None = Field(description="what became of the last attempt that failed")


class AlertAnswer(AlertEvent):
    """An alert, and where its delivery stands."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                EXAMPLE
                | {
                    "delivery": {
                        "state": "waiting",
                        "attempts": 1,
                        "due_at": "2026-05-17T06:30:14Z",
                        "problem": "it answered 503",
                    }
                }
            ]
        },
    )

    delivery: DeliveryAnswer | None = Field(description="to the watch's webhook; null where it has none")

    @classmethod
    def with_delivery(cls, alert: Alert, collection: str) -> AlertAnswer:
        """The alert as it goes over the wire."""
        delivery = alert.delivery and DeliveryAnswer(
            state=alert.delivery, attempts=alert.attempts, due_at=alert.due_at, problem=alert.problem
        )
        return cls.of(alert, collection, delivery=delivery)


class AlertsAnswer(BaseModel):
    """Some alerts, the newest first."""

    alerts: list[AlertAnswer]
    next: str | None = Field(description="pass it as `after` for the next page; null on the last one")

    @classmethod
    def of(cls, page: AlertPage, collection: str) -> AlertsAnswer:
        """The page as it goes over the wire."""
        return cls(
            alerts=[AlertAnswer.with_delivery(alert, collection) for alert in page.alerts],
            next=cursor_of("alerts", page.next),
        )
