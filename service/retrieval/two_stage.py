"""The two-stage search: the nearest by descriptor, the first of them re-ordered by their strips."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
from anyio import CapacityLimiter, to_thread

from index import ALL, Filter, Found, Gallery, Match, digest_of
from models.protocols import Reranker
from service.inference.embedder import EmbeddedImage, ImageEmbedder
from service.inference.forward import Features
from service.retrieval.batched_reranker import BatchedReranker, CandidateList
from service.retrieval.batched_search import MAX_BATCH, BatchedSearch
from service.retrieval.ranking import Judged, Ranking


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

    def over(self, gallery: Gallery) -> Self:
        """The same search of another gallery; the second stage is shared."""
        other = copy.copy(self)
        other._gallery = gallery
        other._nearest = BatchedSearch(gallery)
        return other

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
        return replace(ranking, seconds=image.seconds | ranking.seconds)

    async def query_many(
        self,
        probes: Sequence[tuple[bytes, str | None]],
        *,
        top_k: int,
        rerank: bool,
        deadline: float,
        where: Filter = ALL,
        verdicts: bool = True,
    ) -> list[Ranking | Exception]:
        """As `query`, for image files and their cameras; what became of each, in their order.

        A pass over the gallery serves as many probes as `BatchedSearch` would let share one. No probe harms
        another; the exceptions are those that `query` raises for one. `search` and `rerank` are the batch's
        seconds divided by its probes.

        Raises:
            InvalidFilterError, GalleryDamagedError, GalleryClosedError: of all of them.
        """
        images = await self._embedder.embed_many([data for data, _ in probes], deadline)
        embedded = [
            _Probe(image.features, camera_id, digest_of(data))
            for (data, camera_id), image in zip(probes, images, strict=True)
            if isinstance(image, EmbeddedImage)
        ]
        ranked = await to_thread.run_sync(
            self._rank_many, embedded, top_k, rerank, where, verdicts, limiter=self._limiter
        )
        left = iter(ranked)
        return [_timed(next(left), image) if isinstance(image, EmbeddedImage) else image for image in images]

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
        judged = self._judged(digest, respects)
        candidates = 0 if reranker is None else reranker.candidates
        # The strips come with the matches, as of one moment: an image that is deleted, or deleted and
        # enrolled anew, between the stages is ranked as the one that was found.
        found = self._nearest(
            probe.descriptor,
            max(top_k, candidates) + judged.spare,
            where=where,
            strips=candidates + judged.spare if candidates else 0,
            camera_id=camera_id,
        )
        size = self._gallery.count()
        searched = time.monotonic()
        candidate_list = None if reranker is None else _candidate_list(probe, judged.left(found)[:candidates])
        scores = [] if reranker is None or candidate_list is None else reranker.distances(candidate_list)
        ranking = judged.ranking(found, scores, candidates, top_k, size)
        spent = {"search": searched - started, "rerank": time.monotonic() - searched if reranker else 0.0}
        return replace(ranking, seconds=spent)

    def _rank_many(
        self, probes: Sequence[_Probe], top_k: int, rerank: bool, where: Filter, respects: bool
    ) -> list[Ranking | Exception]:
        if not probes:
            return []
        reranker = self._reranker if rerank and probes[0].features.strips is not None else None
        started = time.monotonic()
        candidates = 0 if reranker is None else reranker.candidates
        judged = [self._judged(probe.digest, respects) for probe in probes]
        spare = max(each.spare for each in judged)
        found: list[Found] = []
        for start in range(0, len(probes), MAX_BATCH):
            part = probes[start : start + MAX_BATCH]
            matches = self._gallery.search(
                np.stack([probe.features.descriptor for probe in part]),
                max(top_k, candidates) + spare,
                where=where,
                strips=candidates + spare if candidates else 0,
                cameras=[probe.camera_id for probe in part],
            )
            # What a query for this probe alone would have found; the other strips go before more are read.
            found += map(partial(_cut, max(top_k, candidates), candidates), matches, judged[start:])
        size = self._gallery.count()
        searched = time.monotonic()
        scores: list[list[float] | Exception] = [[] for _ in probes]
        if reranker is not None:
            lists = [
                _candidate_list(probe.features, of.left(one)[:candidates])
                for probe, of, one in zip(probes, judged, found, strict=True)
            ]
            rows = iter(reranker.distances_many([each for each in lists if each is not None]))
            scores = [[] if each is None else next(rows) for each in lists]
        reranked = time.monotonic() - searched if reranker else 0.0
        seconds = {"search": (searched - started) / len(probes), "rerank": reranked / len(probes)}
        return [
            row
            if isinstance(row, Exception)
            else replace(of.ranking(one, row, candidates, top_k, size), seconds=seconds)
            for of, one, row in zip(judged, found, scores, strict=True)
        ]

    def _judged(self, digest: str, respects: bool) -> Judged:
        return Judged(digest, tuple(self._gallery.verdicts.of(digest)) if respects else ())


def _cut(count: int, candidates: int, found: Found, judged: Judged) -> Found:
    """The matches of the first `count`, and of the spare ones, that are not left out."""
    left = judged.left(Found(found[: count + judged.spare], found.normalisation))
    bare = (replace(match, strips=None) for match in left[candidates:])
    return Found([*left[:candidates], *bare], found.normalisation, found.searched)


def _timed(outcome: Ranking | Exception, image: EmbeddedImage) -> Ranking | Exception:
    """A ranking with where the time went before it."""
    if isinstance(outcome, Exception):
        return outcome
    return replace(outcome, seconds=image.seconds | outcome.seconds)


@dataclass(frozen=True)
class _Probe:
    """A probe that was embedded."""

    features: Features
    camera_id: str | None
    digest: str


def _candidate_list(probe: Features, candidates: Sequence[Match]) -> CandidateList | None:
    """What the second stage compares; None where there is nothing."""
    scored = [match for match in candidates if match.strips is not None]
    if not scored or probe.strips is None:
        return None
    return CandidateList(
        probe.strips,
        np.stack([match.strips for match in scored if match.strips is not None]),
        np.array([match.similarity for match in scored], dtype=np.float32),
    )
