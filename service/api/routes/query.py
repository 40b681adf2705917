"""POST /query: a probe image, and the enrolled images most similar to it."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request

from models.manifest import Threshold
from service.api.context import RequestContext
from service.api.dependencies import Audit, Context, MetricsInUse, OpenResources, SettingsInUse
from service.api.disconnect import while_connected
from service.api.error_kinds import OF_A_CHOICE, OF_AN_UPLOAD
from service.api.forms import only_fields_of, read_image
from service.api.frames import Shown, check_choice, look_at
from service.api.image_answers import FrameAnswer
from service.api.image_forms import QueryForm
from service.api.problems import responses
from service.api.query_answers import Match, NormalisationUsed, QueryAnswer, Timings, VerdictAnswer
from service.filtering import FilterFields
from service.observability.metrics import Metrics
from service.resources import Resources
from service.retrieval.concurrently import each
from service.retrieval.filtering import filter_of
from service.retrieval.ranking import Ranked, Ranking
from service.settings import Settings

router = APIRouter(tags=["query"])


@router.post(
    "/query",
    summary="Find the enrolled images most similar to a probe",
    response_description="The matches, best first; none where there is nothing to search",
    responses=responses(*OF_AN_UPLOAD, *OF_A_CHOICE),
    dependencies=[Depends(only_fields_of(QueryForm, FilterFields.model_fields))],
)
async def query(
    request: Request,
    form: Annotated[QueryForm, Form(media_type="multipart/form-data")],
    resources: OpenResources,
    settings: SettingsInUse,
    metrics: MetricsInUse,
    context: Context,
    audit: Audit,
) -> QueryAnswer | FrameAnswer:
    """Rank the gallery by descriptor, then re-order the first matches by their strips.

    The second stage looks at the first 10 of the first stage whatever `top_k` is, and leaves those below
    where they are. A gallery smaller than `top_k` answers with all it has. Conditions, from `only_camera_id`
    on, say which images are searched: what they leave is ranked as if nothing else were enrolled. Name the
    probe's camera, where it is known: the gallery then takes out of its descriptor what it knows of that
    camera. Verdicts on this very file (`POST /verdicts`) are respected.

    Of a frame, an image of a whole scene, name the vehicle by `box`, or have it found by `detect`.
    """
    check_choice(form.box, form.detect)
    data = await read_image(form.image, settings.max_upload_bytes)
    deadline = context.arrived + settings.request_deadline_s
    where = filter_of(form)

    async def search(file: bytes) -> Ranking:
        return await resources.search.query(
            file,
            top_k=form.top_k,
            rerank=form.rerank,
            deadline=deadline,
            where=where,
            camera_id=form.camera_id,
            verdicts=form.verdicts,
        )

    async def look_and_search() -> tuple[Shown, list[Ranking]]:
        shown = await look_at(resources.frames, data, form.box, form.detect, deadline)
        return shown, await each(search, shown.files, settings.max_batch)

    shown, rankings = await while_connected(request, look_and_search())
    audit.matches = tuple(
        dict.fromkeys(ranked.match.record.image_id for ranking in rankings for ranked in ranking.matches)
    )
    metrics.looked_at(shown.seconds, shown.frame)
    metrics.stage("total", time.monotonic() - context.arrived)
    answers = [
        answered(ranking, shown.seconds, resources, settings, metrics, context) for ranking in rankings
    ]
    if form.detect != "all" or shown.frame is None:
        return answers[0].about(shown.subjects[0]) if shown.subjects else answers[0]
    return FrameAnswer(
        width=shown.frame.width,
        height=shown.frame.height,
        answers=[answer.about(subject) for answer, subject in zip(answers, shown.subjects, strict=True)],
    )


def answered(
    ranking: Ranking,
    detect_s: float | None,
    resources: Resources,
    settings: Settings,
    metrics: Metrics,
    context: RequestContext,
) -> QueryAnswer:
    """A ranking as it is answered; it is counted."""
    if ranking.reranked:
        metrics.reranked(changed=ranking.matches[0].first_stage_rank != 1)
    seconds = ranking.seconds | {"total": time.monotonic() - context.arrived}
    for stage, spent in ranking.seconds.items():
        metrics.stage(stage, spent)
    shown = seconds if detect_s is None else seconds | {"detect": detect_s}
    confirmed = {verdict.record_id for verdict in ranking.verdicts if verdict.kind == "same"}
    threshold = resources.bundle.manifest.threshold_for(ranking.normalisation.camera)
    return QueryAnswer(
        matches=[
            _match(rank, ranked, threshold, ranked.match.record_id in confirmed)
            for rank, ranked in enumerate(ranking.matches, start=1)
        ],
        reranked=ranking.reranked,
        match_threshold=None if threshold is None else threshold.similarity,
        gallery_size=ranking.gallery_size,
        searched=ranking.searched,
        normalisation=NormalisationUsed.of(ranking.normalisation, settings.camera_normalisation),
        probe=ranking.probe,
        verdicts=[VerdictAnswer.of(verdict) for verdict in ranking.verdicts],
        timings_ms=Timings(**{stage: round(1000 * spent, 3) for stage, spent in shown.items()}),
    )


def _match(rank: int, ranked: Ranked, threshold: Threshold | None, is_confirmed: bool) -> Match:
    record, similarity = ranked.match.record, ranked.match.similarity
    return Match(
        rank=rank,
        first_stage_rank=ranked.first_stage_rank,
        image_id=record.image_id,
        vehicle_id=record.vehicle_id,
        camera_id=record.camera_id,
        captured_at=record.captured_at,
        view=record.view,
        vehicle_type=record.vehicle_type,
        similarity=similarity,
        is_match=None if threshold is None else similarity >= threshold.similarity,
        rerank_distance=ranked.rerank_distance,
        verdict="same" if is_confirmed else None,
    )
