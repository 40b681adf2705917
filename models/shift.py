"""A bundle's accuracy before cameras, vehicles and images that nothing was tuned on, in its manifest."""

from __future__ import annotations

from pydantic import Field

from models.part import Part


class Share(Part):
    """A share of queries, or of precision, in percent, with its 95 % interval over vehicles."""

    mean: float = Field(ge=0, le=100)
    low: float = Field(ge=0, le=100)
    high: float = Field(ge=0, le=100)


class ShiftRow(Part):
    """What was measured of the bundle under one condition, by `lka-reid evaluate-shift`.

    Attributes:
        condition: queries, gallery and what was done to them, for instance "all virtual cameras".
        variant: what ranked: a stage, and whether cameras were normalised.
        queries: with a correct match.
        vehicles: of them; classes in class retrieval.
        gallery: images that a query searches, the most.
        R1: first matches that are correct; Recall@1 in class retrieval.
        R5: queries with a correct match among the first five.
        mAP: mean average precision.
    """

    condition: str = Field(min_length=1)
    variant: str = Field(min_length=1)
    queries: int = Field(gt=0)
    vehicles: int = Field(gt=0)
    gallery: int = Field(gt=0)
    R1: Share
    R5: Share
    mAP: Share  # noqa: N815 - the field's name


class Shift(Part):
    """Accuracy before cameras, vehicles and images that nothing was tuned on.

    Attributes:
        measured_on: data and seed, in words.
        rows: one for each condition and variant.
    """

    measured_on: str = Field(min_length=1)
    rows: tuple[ShiftRow, ...]
