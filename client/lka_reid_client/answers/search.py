"""What a search found."""

from __future__ import annotations

from datetime import datetime

from lka_reid_client.answers.base import Answer, Box
from lka_reid_client.answers.frames import FoundVehicle
from lka_reid_client.answers.problem import Problem
from lka_reid_client.answers.verdicts import VerdictAnswer


class Match(Answer):
    """One enrolled image that answers a query.

    Attributes:
        rank: final place, 1 is best.
        first_stage_rank: place by similarity alone.
        captured_at: UTC.
        similarity: cosine of the two descriptors, as `normalisation` says; 1 at best.
        is_match: whether the similarity reaches the bundle's threshold; null for a bundle without one,
            and where it has none for what `normalisation` says.
        rerank_distance: the second stage's distance, less is nearer; null where it did not look.
        verdict: `same` where a person said so of this probe's file and this image.
    """

    rank: int
    first_stage_rank: int
    image_id: str
    vehicle_id: str | None
    camera_id: str | None
    captured_at: datetime | None
    view: str | None
    vehicle_type: str | None
    similarity: float
    is_match: bool | None
    rerank_distance: float | None
    verdict: str | None = None


class Timings(Answer):
    """Where the time went, in ms. `total` counts from the request's arrival and holds all the others.

    Attributes:
        decode: decoding and resizing the image.
        queue: waiting for a batch.
        embed: the batch's forward pass.
        search: the first stage, with reading the candidates' strips.
        rerank: the second stage, 0 when it was not run.
        detect: finding vehicles in the image and cutting them out; absent of a crop.
    """

    decode: float
    queue: float
    embed: float
    search: float
    rerank: float
    detect: float | None = None
    total: float


class NormalisationUsed(Answer):
    """What was taken out of the descriptors that were compared.

    Attributes:
        mode: as it is set.
        version: of the gallery's normalisation, 0 before the first; similarities of two versions cannot
            be compared.
        camera: `known`: the probe's camera has statistics of its own; `global`: half the mean of all images
            stood in for its own; `off`: descriptors were compared as they are.
    """

    mode: str
    version: int
    camera: str


class QueryAnswer(Answer):
    """The matches, best first.

    Attributes:
        vehicle: as it was found in the image; absent of a crop, and where the caller named its box.
        crop: what was cut out of the image, with its margin: left, top, width and height in px; absent
            of a crop.
        reranked: whether the second stage scored any match; false when it was not asked for, when the
            bundle has none, and when there was nothing to score.
        match_threshold: similarity from which on `is_match` is true; null where that is null.
        searched: images that the filter lets through; absent without one.
        normalisation: absent where `LKA_REID_CAMERA_NORMALISATION` is `off` and descriptors were compared as
            they are.
        probe: SHA-256 of the probe's file, or of what was cut out of it; verdicts on it are kept by it.
        verdicts: verdicts on this probe that were respected, also on images that are no matches.
    """

    vehicle: FoundVehicle | None = None
    crop: Box | None = None
    matches: list[Match]
    reranked: bool
    match_threshold: float | None = None
    gallery_size: int
    searched: int | None = None
    timings_ms: Timings
    normalisation: NormalisationUsed | None = None
    probe: str
    verdicts: list[VerdictAnswer]


class FrameAnswer(Answer):
    """What `detect=all` answers: one answer a vehicle, in the order in which they were found.

    Attributes:
        width: of the image as it is looked at, px.
        height: px.
    """

    width: int
    height: int
    answers: list[QueryAnswer]


class QueriedItem(Answer):
    """What became of one probe.

    Attributes:
        status: as the route for one image would have answered it.
        answer: where it was answered.
        problem: where it was not.
    """

    status: int
    answer: QueryAnswer | None = None
    problem: Problem | None = None


class QueryBatchAnswer(Answer):
    """What became of each probe, in their order.

    Attributes:
        answered: probes with an answer.
    """

    answered: int
    items: list[QueriedItem]
