"""The two-stage search: the nearest by descriptor, the first of them re-ordered by their strips."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from anyio import CapacityLimiter, to_thread

from index import ALL, Applied, Filter, Gallery, Match, Verdict, digest_of
from models.protocols import Reranker
from service.inference.embedder import ImageEmbedder
from service.inference.forward import Features
from service.retrieval.batched_reranker import BatchedReranker, CandidateList
from service.retrieval.batched_search import BatchedSearch


@dataclass(frozen=True)
class Ranked:
    """A match in its final place.

    Attributes:
        match: record and first-stage similarity.
        first_stage_rank: 1 is best.
        rerank_distance: the second stage's distance, less is nearer; None where it did not look.
    """

    match: Match
    first_stage_rank: int
    rerank_distance: float | None


@dataclass(frozen=True)
class Ranking:
    """What a query found.

    Attributes:
        matches: best first.
        reranked: whether the second stage scored any of them.
        gallery_size: images enrolled.
        searched: those that the filter let through; None without conditions.
        normalisation: what made the descriptors that were compared.
        probe: SHA-256 of the probe's file, in hex: what verdicts on it are kept under.
        verdicts: on the probe, those that were respected; also of images that are not among the matches.
        seconds: stage -> s.
    """

    matches: list[Ranked]
    reranked: bool
    gallery_size: int
    searched: int | None
    normalisation: Applied
    probe: str
    verdicts: tuple[Verdict, ...]
    seconds: dict[str, float]


class TwoStageSearch:
    """Probe image -> ranked matches.

    The candidate list of the second stage is always as long as the second stage takes (10 in the paper), also
    where fewer matches are asked for: the number asked for must not change the ranking.

    Args:
        embedder: images to features.
        gallery: what is searched.
        reranker: the second stage, or None for a bundle without one.
        limiter: searches under way at the same time.
        on_rerank: called with the number of probes of every forward pass of the second stage.
    """

    def __init__(
        self,
        embedder: ImageEmbedder,
        gallery: Gallery,
        reranker: Reranker | None,
        limiter: CapacityLimiter,
        on_rerank: Callable[[int], None] = lambda _probes: None,
    ) -> None:
        self._embedder = embedder
        self._gallery = gallery
        self._nearest = BatchedSearch(gallery)
        self._reranker = None if reranker is None else BatchedReranker(reranker, on_rerank)
        self._limiter = limiter

    async def query(
        self,
        data: bytes,
        *,
        top_k: int,
        rerank: bool,
        deadline: float,
        where: Filter = ALL,
        camera_id: str | None = None,
        verdicts: bool = True,
    ) -> Ranking:
        """The images nearest to the one in `data` among those that the filter lets through, at most `top_k`.

        `camera_id` is the probe's camera, where that is known. With `verdicts`, images of which a person said
        that they show another vehicle than this probe are left out before both stages, and those that show
        the same come first.

        Raises:
            ImageError, Overloaded, Expired, EmbeddingError, WorkerStoppedError: see `ImageEmbedder.embed`.
            InvalidFilterError: the gallery does not know the filter's conditions.
            RerankError: the second stage failed.
        """
        image = await self._embedder.embed(data, deadline)
        ranking = await to_thread.run_sync(
            self._rank,
            image.features,
            top_k,
            rerank,
            where,
            camera_id,
            digest_of(data),
            verdicts,
            limiter=self._limiter,
        )
        before = {"decode": image.decode_s, "queue": image.queue_s, "embed": image.embed_s}
        return replace(ranking, seconds=before | ranking.seconds)

    def _rank(
        self,
        probe: Features,
        top_k: int,
        rerank: bool,
        where: Filter,
        camera_id: str | None,
        digest: str,
        respects: bool,
    ) -> Ranking:
        reranker = self._reranker if rerank and probe.strips is not None else None
        started = time.monotonic()
        verdicts = self._gallery.verdicts.of(digest) if respects else ()
        ruled_out = {verdict.record_id for verdict in verdicts if verdict.kind == "different"}
        confirmed = {verdict.record_id for verdict in verdicts if verdict.kind == "same"}
        candidates = 0 if reranker is None else reranker.candidates
        # The strips come with the matches, as of one moment: an image that is deleted, or deleted and
        # enrolled anew, between the stages is ranked as the one that was found.
        found = self._nearest(
            probe.descriptor,
            max(top_k, candidates) + len(ruled_out),
            where=where,
            strips=candidates + len(ruled_out) if candidates else 0,
            camera_id=camera_id,
        )
        size = self._gallery.count()
        searched = time.monotonic()
        left = [match for match in found if match.record_id not in ruled_out]
        distances = [] if reranker is None else _distances(reranker, probe, left[:candidates])
        # Sorting keeps the order of those that are alike.
        ranked = sorted(
            order_matches(left, distances), key=lambda each: each.match.record_id not in confirmed
        )
        ended = time.monotonic()
        return Ranking(
            ranked[:top_k],
            reranked=any(distance is not None for distance in distances),
            gallery_size=size,
            searched=found.searched,
            normalisation=found.normalisation,
            probe=digest,
            verdicts=verdicts,
            seconds={"search": searched - started, "rerank": ended - searched if reranker else 0.0},
        )


def _distances(reranker: BatchedReranker, probe: Features, candidates: list[Match]) -> list[float | None]:
    """The second stage's distance of each candidate; None for one without strips."""
    scored = [place for place, match in enumerate(candidates) if match.strips is not None]
    distances: list[float | None] = [None] * len(candidates)
    if not scored or probe.strips is None:
        return distances
    candidate_list = CandidateList(
        probe.strips,
        np.stack([match.strips for match in candidates if match.strips is not None]),
        np.array([candidates[place].similarity for place in scored], dtype=np.float32),
    )
    for place, distance in zip(scored, reranker.distances(candidate_list), strict=True):
        distances[place] = distance
    return distances


def order_matches(found: Sequence[Match], distances: Sequence[float | None]) -> list[Ranked]:
    """Re-order the first `len(distances)` matches by ascending distance and leave the others where they are.

    A match whose distance is None keeps its place; equal distances keep the first stage's order.
    """
    scored = [place for place, distance in enumerate(distances) if distance is not None]
    order = list(range(len(found)))
    for place, source in zip(scored, sorted(scored, key=lambda place: distances[place] or 0.0), strict=True):
        order[place] = source
    return [
        Ranked(found[source], source + 1, distances[source] if source < len(distances) else None)
        for source in order
    ]
