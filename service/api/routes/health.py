"""Health and metrics."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from service.access.keyring import Keyring
from service.api.dependencies import MetricsInUse
from service.api.error_kinds import NOT_READY
from service.api.errors import ServiceError
from service.api.health_answers import Live, Ready
from service.api.lifecycle import Lifecycle
from service.api.problems import responses
from service.api.readiness import Readiness

router = APIRouter(tags=["health"])

METRICS = {
    "metrics": {
        "summary": "A few lines of it",
        "value": "# HELP lka_reid_batch_images Images in a batch.\n# TYPE lka_reid_batch_images histogram\n"
        'lka_reid_batch_images_bucket{le="1.0"} 12.0\n',
    }
}


async def readiness_of(request: Request) -> Readiness:
    readiness: Readiness = request.app.state.readiness
    return readiness


@router.get("/health/live", summary="Whether the process answers")
async def live() -> Live:
    """Always 200. Restart the process when it does not answer."""
    return Live()


@router.get("/health/ready", summary="Whether queries can be answered", responses=responses(NOT_READY))
async def ready(
    request: Request, readiness: Annotated[Readiness, Depends(readiness_of)], metrics: MetricsInUse
) -> Ready:
    """Models loaded, gallery open, and a forward pass that succeeded a short while ago.

    Where the last one failed or is too old, one is run now. While starting, the 503 says how far it is.
    """
    lifecycle: Lifecycle = request.app.state.lifecycle
    try:
        answer = await readiness.check(lifecycle.resources)
    except ServiceError:
        metrics.ready(False)
        raise
    metrics.ready(True)
    keyring: Keyring = request.app.state.keyring
    return answer.model_copy(update={"gallery_size": None}) if keyring.required else answer


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus text format",
            "content": {"text/plain": {"schema": {"type": "string"}, "examples": METRICS}},
        }
    },
)
async def metrics(metrics: MetricsInUse) -> Response:
    """A histogram for each stage, the batches, the queue, the gallery, and requests by route and status."""
    return Response(await to_thread.run_sync(metrics.exposition), media_type=CONTENT_TYPE_PLAIN_0_0_4)
