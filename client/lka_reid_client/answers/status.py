"""How the service fares, and what a key may do."""

from __future__ import annotations

from datetime import datetime

from lka_reid_client.answers.base import Answer


class Live(Answer):
    """The process answers."""

    status: str = "live"


class Ready(Answer):
    """The service can answer queries: a forward pass succeeded just now or a short while ago.

    Attributes:
        runtime: what runs the embedder; several where workers differ.
        gpu_left_out: what that does without on its GPU, and why; null else.
        bundle: the model bundle's name.
        fingerprint: the model bundle's fingerprint.
        reranker: whether the bundle has a second stage.
        match_threshold: similarity from which on `is_match` is true; null for a bundle that is not
            calibrated for descriptors as the gallery compares them now.
        workers: living embedding workers; 1 where the service embeds by itself.
        index_kind: kind of the vector index in use: flat, flat16, compressed or hnsw.
        index_device: what searches it: gpu or cpu.
        index_gpu_left_out: why no GPU searches it, where one was looked for; null else.
        queue_depth: images being decoded or waiting.
        forward_age_s: s since a forward pass last succeeded.
    """

    status: str = "ready"
    runtime: str
    gpu_left_out: str | None
    bundle: str
    fingerprint: str
    reranker: bool
    match_threshold: float | None
    workers: int
    gallery_size: int | None
    index_kind: str
    index_device: str
    index_gpu_left_out: str | None
    queue_depth: int
    forward_age_s: float


class MeasuredAccuracy(Answer):
    """How accurate the bundle was on images that it was not trained on, in percent.

    Attributes:
        name: `first stage` or `both stages`.
        gallery: images in it; null where queries search different ones.
        r1: queries whose first match is correct.
        map: mean average precision.
    """

    name: str
    task: str
    queries: int
    gallery: int | None
    r1: float | None
    map: float


class BundleStatus(Answer):
    """The model bundle that is served.

    Attributes:
        measured_on: the images of the accuracy, in words; null without any.
    """

    name: str
    fingerprint: str
    measured_on: str | None
    accuracy: list[MeasuredAccuracy]


class QueueStatus(Answer):
    """Images that wait to be embedded.

    Attributes:
        oldest_s: s that the oldest has waited.
        workers: living ones.
        is_up: whether Redis answers; true without Redis.
    """

    depth: int
    limit: int
    oldest_s: float
    workers: int
    is_up: bool
    dead_letters: int


class GalleryStatus(Answer):
    """What is enrolled, and the disk that it lies on.

    Attributes:
        snapshot_age_s: of the search index on disk; null where there is none.
        fault: what keeps it from taking or giving images, with the remedy.
    """

    images: int
    snapshot_age_s: float | None
    changes_since_snapshot: int
    fault: str | None
    disk_free_bytes: int | None
    disk_total_bytes: int | None


class StageLatency(Answer):
    """How long requests spend in a stage, in ms, since the start; quantiles are estimated from buckets."""

    stage: str
    count: int
    mean_ms: float
    median_ms: float
    p95_ms: float


class LastError(Answer):
    """Errors of one kind that a route has answered since the start.

    Attributes:
        route: its template.
        last: UTC.
        request_id: of the last one; the service's log knows it.
    """

    kind: str
    title: str
    status: int
    what_to_do: str
    route: str
    count: int
    last: datetime
    request_id: str


class StatusAnswer(Answer):
    """How the service fares. While it starts or shuts down, there is no bundle, queue and gallery.

    Attributes:
        ready: as `GET /health/ready` says; null where it is not ready.
        reason: why it is not ready.
        gallery: the default collection; null for a key that does not reach it.
        stages: of this process; none before the first request.
        errors: answered by this process, the newest kind first.
    """

    version: str
    ready: Ready | None
    reason: str | None
    bundle: BundleStatus | None = None
    queue: QueueStatus | None = None
    gallery: GalleryStatus | None = None
    stages: list[StageLatency]
    errors: list[LastError]


class KeyInUse(Answer):
    """A key as its holder may see it.

    Attributes:
        id: no secret; as in `lka-reid keys list`.
        expires: from when on it is refused, UTC; null for never.
        collections: the collections that it reaches; null for all.
    """

    id: str
    name: str
    scopes: list[str]
    expires: datetime | None
    collections: list[str] | None = None


class AccessAnswer(Answer):
    """Who asks, and what they may do.

    Attributes:
        key: null where the service needs none.
        scopes: what this request may do, with what its scopes imply.
    """

    key: KeyInUse | None
    scopes: list[str]
