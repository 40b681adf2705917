"""POST /gallery/batch and POST /query/batch: many images in a request, each answered by itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request

from service.access.audit import ItemEntry
from service.api import problems
from service.api.batch_answers import EnrollBatchAnswer, EnrolledItem, QueriedItem, QueryBatchAnswer
from service.api.batch_forms import (
    EnrollBatchForm,
    EnrollItem,
    QueryBatchForm,
    QueryItem,
    merged,
    read_images,
    read_items,
)
from service.api.dependencies import Audit, Context, MetricsInUse, OpenResources, SettingsInUse
from service.api.disconnect import while_connected
from service.api.error_kinds import DISK_FULL, OF_AN_UPLOAD, QUOTA_REACHED
from service.api.forms import only_fields_of
from service.api.image_answers import EnrolledImage
from service.api.problems import responses
from service.api.routes.gallery import described
from service.api.routes.query import answered
from service.filtering import FilterFields
from service.identifiers import new_image_id
from service.retrieval.batch_enrollment import Enrolled
from service.retrieval.filtering import filter_of
from service.retrieval.ranking import Ranking

router = APIRouter()


@router.post(
    "/gallery/batch",
    tags=["gallery"],
    summary="Enroll many images",
    response_description="What became of each image; also where none could be enrolled",
    responses=responses(*OF_AN_UPLOAD, DISK_FULL, QUOTA_REACHED),
    dependencies=[Depends(only_fields_of(EnrollBatchForm))],
)
async def enroll_batch(
    request: Request,
    form: Annotated[EnrollBatchForm, Form(media_type="multipart/form-data")],
    resources: OpenResources,
    settings: SettingsInUse,
    metrics: MetricsInUse,
    context: Context,
    audit: Audit,
) -> EnrollBatchAnswer:
    """Remember up to 256 images. Each has a status of its own, and one that fails harms no other.

    All that can be enrolled is, in one transaction, before the answer goes out. An image id that is enrolled
    already is answered by 409 in its item, as a single image's is: a batch whose answer was lost can be sent
    again. What cannot be read of the request itself is answered by a problem, and nothing is enrolled.
    """
    fields = read_items(EnrollItem, form.items, len(form.images))
    images = await read_images(form.images, settings.max_upload_bytes)
    descriptions = [described(each, each.image_id or new_image_id()) for each in fields]
    sound = [(d, each) for d, each in zip(images, descriptions, strict=True) if isinstance(d, bytes)]
    work = resources.batch_enroller.enroll(sound, context.arrived + settings.batch_deadline_s)
    outcomes = merged(images, await while_connected(request, work))
    answers = []
    for description, outcome in zip(descriptions, outcomes, strict=True):
        if isinstance(outcome, Enrolled):
            for stage, seconds in outcome.image.seconds.items():
                metrics.stage(stage, seconds)
            record = EnrolledImage.of(outcome.record)
            record.same_image = outcome.same_image
            answers.append(EnrolledItem(status=201, record=record))
        else:
            problem = problems.of_item(request, outcome)
            answers.append(EnrolledItem(status=problem.status, problem=problem))
        audit.items.append(ItemEntry("enroll", answers[-1].status, image_id=description.image_id))
    return EnrollBatchAnswer(enrolled=sum(each.record is not None for each in answers), items=answers)


@router.post(
    "/query/batch",
    tags=["query"],
    summary="Find the enrolled images most similar to many probes",
    response_description="The matches of each probe; also where none could be answered",
    responses=responses(*OF_AN_UPLOAD),
    dependencies=[Depends(only_fields_of(QueryBatchForm, FilterFields.model_fields))],
)
async def query_batch(
    request: Request,
    form: Annotated[QueryBatchForm, Form(media_type="multipart/form-data")],
    resources: OpenResources,
    settings: SettingsInUse,
    metrics: MetricsInUse,
    context: Context,
    audit: Audit,
) -> QueryBatchAnswer:
    """Answer up to 256 probes as `POST /query` answers one. Each has a status of its own, and one that fails
    harms no other.

    In an item's timings `search` and `rerank` are the batch's, divided by its probes.
    """
    items = read_items(QueryItem, form.items, len(form.images))
    images = await read_images(form.images, settings.max_upload_bytes)
    where = filter_of(form)
    probes = [(d, item.camera_id) for d, item in zip(images, items, strict=True) if isinstance(d, bytes)]
    work = resources.search.query_many(
        probes,
        top_k=form.top_k,
        rerank=form.rerank,
        deadline=context.arrived + settings.batch_deadline_s,
        where=where,
        verdicts=form.verdicts,
    )
    answers = []
    for outcome in merged(images, await while_connected(request, work)):
        if isinstance(outcome, Ranking):
            answer = answered(outcome, None, resources, settings, metrics, context)
            answers.append(QueriedItem(status=200, answer=answer))
            matches = tuple(match.image_id for match in answer.matches)
        else:
            problem = problems.of_item(request, outcome)
            answers.append(QueriedItem(status=problem.status, problem=problem))
            matches = ()
        audit.items.append(ItemEntry("query", answers[-1].status, matches=matches))
    return QueryBatchAnswer(answered=sum(each.answer is not None for each in answers), items=answers)
