"""POST /query: a probe image, and the enrolled images most similar to it."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request

from models.manifest import Threshold
from service.api.dependencies import Audit, Context, MetricsInUse, OpenResources, SettingsInUse
from service.api.disconnect import while_connected
from service.api.error_kinds import OF_AN_UPLOAD
from service.api.forms import only_fields_of, read_image
from service.api.problems import responses
from service.api.schemas import Match, NormalisationUsed, QueryAnswer, QueryForm, Timings
from service.retrieval.two_stage import Ranked

router = APIRouter(tags=["query"])


@router.post(
    "/query",
    summary="Find the enrolled images most similar to a probe",
    response_description="The matches, best first; none where the gallery is empty",
    responses=responses(*OF_AN_UPLOAD),
    dependencies=[Depends(only_fields_of(QueryForm))],
)
async def query(
    request: Request,
    form: Annotated[QueryForm, Form(media_type="multipart/form-data")],
    resources: OpenResources,
    settings: SettingsInUse,
    metrics: MetricsInUse,
    context: Context,
    audit: Audit,
) -> QueryAnswer:
    """Rank the gallery by descriptor, then re-order the first matches by their strips.

    The second stage looks at the first 10 of the first stage whatever `top_k` is, and leaves those below
    where they are. A gallery smaller than `top_k` answers with all it has. Name the probe's camera, where it
    is known: the gallery then takes out of its descriptor what it knows of that camera.
    """
    data = await read_image(form.image, settings.max_upload_bytes)
    deadline = context.arrived + settings.request_deadline_s
    work = resources.search.query(
        data, top_k=form.top_k, rerank=form.rerank, deadline=deadline, camera_id=form.camera_id
    )
    ranking = await while_connected(request, work)
    audit.matches = tuple(ranked.match.record.image_id for ranked in ranking.matches)

    if ranking.reranked:
        metrics.reranked(changed=ranking.matches[0].first_stage_rank != 1)
    seconds = ranking.seconds | {"total": time.monotonic() - context.arrived}
    for stage, spent in seconds.items():
        metrics.stage(stage, spent)
    threshold = resources.bundle.manifest.threshold_for(ranking.normalisation.camera)
    return QueryAnswer(
        matches=[_match(rank, ranked, threshold) for rank, ranked in enumerate(ranking.matches, start=1)],
        reranked=ranking.reranked,
        match_threshold=None if threshold is None else threshold.similarity,
        gallery_size=ranking.gallery_size,
        normalisation=NormalisationUsed.of(ranking.normalisation, settings.camera_normalisation),
        timings_ms=Timings(**{stage: round(1000 * spent, 3) for stage, spent in seconds.items()}),
    )


def _match(rank: int, ranked: Ranked, threshold: Threshold | None) -> Match:
    record, similarity = ranked.match.record, ranked.match.similarity
    return Match(
        rank=rank,
        first_stage_rank=ranked.first_stage_rank,
        image_id=record.image_id,
        vehicle_id=record.vehicle_id,
        camera_id=record.camera_id,
        captured_at=record.captured_at,
        similarity=similarity,
        is_match=None if threshold is None else similarity >= threshold.similarity,
        rerank_distance=ranked.rerank_distance,
    )
