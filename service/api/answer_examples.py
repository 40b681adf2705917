"""An example of each answer, for the OpenAPI document: models, so that none can lack a field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from index.cameras.estimation import DRIFT_LIMIT
from service.access.key import KeyScope
from service.api.batch_answers import EnrollBatchAnswer, EnrolledItem, QueriedItem, QueryBatchAnswer
from service.api.camera_answers import (
    CalibrationCount,
    CameraAnswer,
    CameraEffect,
    CameraEntry,
    CamerasAnswer,
    NormalisationInForce,
)
from service.api.cursor import cursor_of
from service.api.error_examples import problem_examples
from service.api.error_kinds import DUPLICATE, NOT_AN_IMAGE, OVERLOADED
from service.api.explanation import Activations, BothWays, ExplanationAnswer
from service.api.health_answers import Live, Ready
from service.api.image_answers import EnrolledFrame, EnrolledImage, EnrolledRecord, FrameAnswer, RecordPage
from service.api.problem_answers import Problem
from service.api.query_answers import NormalisationUsed, QueryAnswer, VerdictAnswer
from service.api.routes.access import AccessAnswer, KeyInUse
from service.api.routes.alterations import DeletionAnswer, RetentionAnswer
from service.api.routes.collections import CollectionAnswer, CollectionsAnswer
from service.api.routes.status import (
    BundleStatus,
    GalleryStatus,
    LastError,
    MeasuredAccuracy,
    QueueStatus,
    StageLatency,
    StatusAnswer,
)
from service.api.routes.verdicts import VerdictsAnswer
from service.api.vehicles import FoundVehicles
from service.api.watch_forms import AlertAnswer, AlertsAnswer, WatchAnswer, WatchesAnswer, WatchTestAnswer

Model = TypeVar("Model", bound=BaseModel)


def _own(model: type[Model]) -> Model:
    """The example that the model has itself."""
    extra: Any = model.model_config["json_schema_extra"]
    return model.model_validate(extra["examples"][0])


def _problem(name: str) -> Problem:
    return Problem.model_validate(problem_examples()[name]["value"])


_WHEN = datetime(2024, 5, 17, 6, 30, 2, tzinfo=UTC)
_FINGERPRINT = "9f2c0b6f5a1e4d7c"
_RECORD, _QUERY, _FRAME = _own(EnrolledRecord), _own(QueryAnswer), _own(FoundVehicles)
_ENROLLED = EnrolledImage(**_RECORD.model_dump())
_CUT_OUT: dict[str, Any] = {"vehicle": _FRAME.vehicles[0], "crop": (294, 0, 178, 243)}
_USED = NormalisationUsed(mode="auto", version=3, camera="known")
_READY = Ready(
    runtime="cpu",
    gpu_left_out=None,
    bundle="lka-reid",
    fingerprint=_FINGERPRINT,
    reranker=True,
    match_threshold=0.62,
    workers=1,
    gallery_size=1284,
    index_kind="flat",
    index_device="cpu",
    index_gpu_left_out=None,
    queue_depth=0,
    forward_age_s=1.5,
)
_CAMERA = CameraEntry(
    camera_id="cam3", enrolled=412, calibrated=20, use="known", weight=0.9537, distance=0.4121, drift=0.0113
)
_NORTH = CollectionAnswer(name="north", images=1284, bytes=153_042_944, max_images=100_000, max_bytes=None)
_KEY = KeyInUse(id="3f9a1c2e", name="Ada", scopes=[KeyScope.QUERY], expires=None, collections=["north"])

ANSWERS: tuple[BaseModel, ...] = (
    _RECORD,
    _QUERY,
    _FRAME,
    _ENROLLED,
    _own(VerdictAnswer),
    AccessAnswer(key=_KEY, scopes=[KeyScope.QUERY]),
    FrameAnswer(width=768, height=432, answers=[_QUERY.model_copy(update=_CUT_OUT)]),
    EnrolledFrame(width=768, height=432, enrolled=[_ENROLLED.model_copy(update=_CUT_OUT)]),
    RecordPage(records=[_RECORD], next=cursor_of("gallery", 1284)),
    _own(WatchAnswer),
    _own(WatchTestAnswer),
    _own(AlertAnswer),
    WatchesAnswer(watches=[_own(WatchAnswer)]),
    AlertsAnswer(alerts=[_own(AlertAnswer)], next=cursor_of("alerts", 12)),
    EnrollBatchAnswer(
        enrolled=1,
        items=[
            EnrolledItem(status=201, record=_ENROLLED),
            EnrolledItem(status=DUPLICATE.status, problem=_problem(DUPLICATE.name)),
        ],
    ),
    QueryBatchAnswer(
        answered=1,
        items=[
            QueriedItem(status=200, answer=_QUERY),
            QueriedItem(status=NOT_AN_IMAGE.status, problem=_problem(NOT_AN_IMAGE.name)),
        ],
    ),
    ExplanationAnswer(
        bundle="lka-reid",
        fingerprint=_FINGERPRINT,
        similarity=0.8127,
        is_match=True,
        rerank_distance=0.2416,
        strips_part=0.1479,
        similarity_part=0.0937,
        branches=["L1"],
        bands=2,
        strip_distances=[[0.1312, 0.1646]],
        attention=BothWays(probe=[[0.81, 0.19], [0.24, 0.76]], candidate=[[0.79, 0.21], [0.3, 0.7]]),
        activations=Activations(probe=[[[0.12, 0.4], [0.31, 0.08]]], candidate=[[[0.1, 0.37], [0.29, 0.11]]]),
        normalisation=_USED,
    ),
    VerdictsAnswer(verdicts=[_own(VerdictAnswer)], next=cursor_of("verdicts", 1284)),
    CalibrationCount(camera_id="cam3", counted=True, calibrated=20, enrolled=412),
    CameraAnswer(
        **_CAMERA.model_dump(),
        effect=CameraEffect(images=412, expected=0.3209, before=0.8114, after=0.5237),
    ),
    CamerasAnswer(
        normalisation=NormalisationInForce(
            mode="auto",
            version=3,
            is_on=True,
            made_at=_WHEN,
            drift=0.0113,
            drift_limit=DRIFT_LIMIT,
            is_renewing=False,
            renewal_seconds=0.42,
        ),
        cameras=[_CAMERA],
    ),
    _NORTH,
    CollectionsAnswer(collections=[_NORTH]),
    DeletionAnswer(dry_run=True, deleted=0, left=37),
    RetentionAnswer(days=90, expired=0, deleted=512, failed=False),
    Live(),
    _READY,
    StatusAnswer(
        version="0.2.0",
        ready=_READY,
        reason=None,
        bundle=BundleStatus(
            name="lka-reid",
            fingerprint=_FINGERPRINT,
            measured_on="an example, and no measurement",
            accuracy=[
                MeasuredAccuracy(
                    name="first stage", task="across cameras", queries=200, gallery=1000, r1=90.0, map=70.0
                )
            ],
        ),
        queue=QueueStatus(depth=0, limit=64, oldest_s=0.0, workers=1, is_up=True, dead_letters=0),
        gallery=GalleryStatus(
            images=1284,
            snapshot_age_s=310.4,
            changes_since_snapshot=12,
            fault=None,
            disk_free_bytes=48_318_382_080,
            disk_total_bytes=107_374_182_400,
        ),
        stages=[StageLatency(stage="embed", count=1520, mean_ms=82.31, median_ms=80.6, p95_ms=104.2)],
        errors=[
            LastError(
                kind=OVERLOADED.name,
                title=OVERLOADED.title,
                status=OVERLOADED.status,
                what_to_do=OVERLOADED.meaning,
                route="POST /query",
                count=3,
                last=_WHEN,
                request_id="5c1b0e4f7a9d4e2c",
            )
        ],
    ),
)
