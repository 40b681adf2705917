"""GET /status: how the service fares, in one answer for a person who looks at it."""

from __future__ import annotations

from datetime import datetime
from shutil import disk_usage
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from index import DEFAULT, Gallery
from models.bundle import Bundle
from models.manifest import BOTH_STAGES, FIRST_STAGE
from service.api.dependencies import CallersKey, MetricsInUse, SettingsInUse
from service.api.error_kinds import KINDS
from service.api.errors import ServiceError, without_paths
from service.api.health_answers import Ready
from service.api.lifecycle import Lifecycle
from service.api.readiness import Readiness
from service.api.routes.health import readiness_of
from service.observability.errors import AnsweredError, AnsweredErrors
from service.observability.latency import Latency
from service.observability.metrics import Metrics
from service.resources import Resources
from service.settings import Settings
from service.version import VERSION

router = APIRouter(tags=["health"])

_KINDS = {kind.name: kind for kind in KINDS}


class MeasuredAccuracy(BaseModel):
    """How accurate the bundle was on images that it was not trained on, in percent."""

    name: str = Field(description="`first stage` or `both stages`")
    task: str
    queries: int
    gallery: int | None = Field(description="images in it; null where queries search different ones")
    r1: float | None = Field(description="queries whose first match is correct")
    map: float = Field(description="mean average precision")


class BundleStatus(BaseModel):
    """The model bundle that is served."""

    name: str
    fingerprint: str
    measured_on: str | None = Field(description="the images of the accuracy, in words; null without any")
    accuracy: list[MeasuredAccuracy]

    @classmethod
    def of(cls, bundle: Bundle) -> BundleStatus:
        """The bundle as it goes over the wire."""
        accuracy = bundle.manifest.accuracy
        rows = (
            []
            if accuracy is None
            else [row for row in accuracy.rows if row.name in (FIRST_STAGE, BOTH_STAGES)]
        )
        return cls(
            name=bundle.manifest.name,
            fingerprint=bundle.fingerprint,
            measured_on=None if accuracy is None else accuracy.measured_on,
            accuracy=[
                MeasuredAccuracy(
                    name=row.name,
                    task=row.task,
                    queries=row.queries,
                    gallery=row.gallery,
                    r1=row.cmc.get(1),
                    map=row.mAP,
                )
                for row in rows
            ],
        )


class QueueStatus(BaseModel):
    """Images that wait to be embedded."""

    depth: int
    limit: int
    oldest_s: float = Field(description="s that the oldest has waited")
    workers: int = Field(description="living ones")
    is_up: bool = Field(description="whether Redis answers; true without Redis")
    dead_letters: int


class GalleryStatus(BaseModel):
    """What is enrolled, and the disk that it lies on."""

    images: int
    snapshot_age_s: float | None = Field(description="of the search index on disk; null where there is none")
    changes_since_snapshot: int
    fault: str | None = Field(description="what keeps it from taking or giving images, with the remedy")
    disk_free_bytes: int | None = Field(description="null where the gallery is not on a disk of this machine")
    disk_total_bytes: int | None

    @classmethod
    def of(cls, gallery: Gallery, settings: Settings) -> GalleryStatus:
        """The gallery as it goes over the wire."""
        # A gallery that is not on this machine's disk has none to fill up.
        disk = disk_usage(settings.data_dir) if settings.gallery == "local" else None
        fault = gallery.fault()
        return cls(
            images=gallery.count(),
            snapshot_age_s=gallery.snapshot_age_seconds(),
            changes_since_snapshot=gallery.changes_since_snapshot(),
            fault=None if fault is None else without_paths(fault),
            disk_free_bytes=None if disk is None else disk.free,
            disk_total_bytes=None if disk is None else disk.total,
        )


class StageLatency(BaseModel):
    """How long requests spend in a stage, in ms, since the start; quantiles are estimated from buckets."""

    stage: str
    count: int
    mean_ms: float
    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, latency: Latency) -> StageLatency:
        """The stage as it goes over the wire."""
        return cls(
            stage=latency.stage,
            count=latency.count,
            mean_ms=round(1000 * latency.mean, 2),
            median_ms=round(1000 * latency.median, 2),
            p95_ms=round(1000 * latency.p95, 2),
        )


class LastError(BaseModel):
    """Errors of one kind that a route has answered since the start."""

    kind: str
    title: str
    status: int
    what_to_do: str
    route: str = Field(description="its template", examples=["POST /query"])
    count: int
    last: datetime = Field(description="UTC")
    request_id: str = Field(description="of the last one; the service's log knows it")

    @classmethod
    def of(cls, error: AnsweredError) -> LastError:
        """The errors as they go over the wire."""
        kind = _KINDS[error.kind]
        return cls(
            kind=kind.name,
            title=kind.title,
            status=kind.status,
            what_to_do=kind.meaning,
            route=error.route,
            count=error.count,
            last=error.last,
            request_id=error.request_id,
        )


class StatusAnswer(BaseModel):
    """How the service fares. While it starts or shuts down, there is no bundle, queue and gallery."""

    version: str
    ready: Ready | None = Field(description="as `GET /health/ready` says; null where it is not ready")
    reason: str | None = Field(description="why it is not ready")
    bundle: BundleStatus | None = None
    queue: QueueStatus | None = None
    gallery: GalleryStatus | None = Field(
        default=None, description="the default collection; null for a key that does not reach it"
    )
    stages: list[StageLatency] = Field(description="of this process; none before the first request")
    errors: list[LastError] = Field(description="answered by this process, the newest kind first")


async def _errors(request: Request) -> AnsweredErrors:
    errors: AnsweredErrors = request.app.state.errors
    return errors


@router.get("/status", summary="How the service fares", response_description="Always 200, ready or not")
async def status(
    request: Request,
    key: CallersKey,
    settings: SettingsInUse,
    metrics: MetricsInUse,
    readiness: Annotated[Readiness, Depends(readiness_of)],
    errors: Annotated[AnsweredErrors, Depends(_errors)],
) -> StatusAnswer:
    """Readiness, bundle with its measured accuracy, queue, gallery, disk, latency by stage and last errors.

    It is for people: alerts belong on `GET /metrics`. No image id or vehicle stands in it.
    """
    lifecycle: Lifecycle = request.app.state.lifecycle
    answer = _of_this_process(metrics, errors)
    try:
        resources = lifecycle.resources
    except ServiceError as error:
        return answer.model_copy(update={"reason": error.detail})
    try:
        answer = answer.model_copy(update={"ready": await readiness.check(resources)})
    except ServiceError as error:
        answer = answer.model_copy(update={"reason": error.detail})
    gallery = None
    if key is None or key.reaches(DEFAULT):
        gallery = await to_thread.run_sync(
            GalleryStatus.of, resources.gallery, settings, limiter=resources.gallery_limiter
        )
    return answer.model_copy(
        update={
            "bundle": BundleStatus.of(resources.bundle),
            "queue": _queue(resources, settings),
            "gallery": gallery,
        }
    )


def _of_this_process(metrics: Metrics, errors: AnsweredErrors) -> StatusAnswer:
    return StatusAnswer(
        version=VERSION,
        ready=None,
        reason=None,
        stages=[StageLatency.of(latency) for latency in metrics.latencies()],
        errors=[LastError.of(error) for error in errors.newest_first()],
    )


def _queue(resources: Resources, settings: Settings) -> QueueStatus:
    state = resources.embedder.state()
    return QueueStatus(
        depth=state.depth,
        limit=settings.max_queue,
        oldest_s=round(state.oldest_s, 3),
        workers=state.workers,
        is_up=state.queue_up,
        dead_letters=state.dead_letters,
    )
