"""What a batch is answered with: each item's status, and its record, matches or problem."""

from __future__ import annotations

from pydantic import BaseModel, Field

from service.api.image_answers import EnrolledImage
from service.api.problem_answers import Problem
from service.api.query_answers import QueryAnswer

STATUS = "as the route for one image would have answered it"


class EnrolledItem(BaseModel):
    """What became of one image."""

    status: int = Field(description=STATUS, examples=[201])
    record: EnrolledImage | None = Field(default=None, description="where it is enrolled by this")
    problem: Problem | None = Field(default=None, description="where it is not")


class EnrollBatchAnswer(BaseModel):
    """What became of each image, in their order."""

    enrolled: int = Field(description="images enrolled by this, durably and in one transaction")
    items: list[EnrolledItem]


class QueriedItem(BaseModel):
    """What became of one probe."""

    status: int = Field(description=STATUS, examples=[200])
    answer: QueryAnswer | None = Field(default=None, description="where it was answered")
    problem: Problem | None = Field(default=None, description="where it was not")


class QueryBatchAnswer(BaseModel):
    """What became of each probe, in their order."""

    answered: int = Field(description="probes with an answer")
    items: list[QueriedItem]
