"""What requests need: models, gallery and embedder, opened in order and closed in reverse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Self

import structlog
from anyio import CapacityLimiter

from index import (
    CameraUse,
    Collections,
    Gallery,
)
from index.shared import SharedStore
from models.bundle import Bundle
from models.decoding.pool import DecodePool
from models.detection.bundle import DetectorBundle
from models.protocols import Reranker
from service.galleries import open_collections, open_local_gallery, open_shared_gallery
from service.inference.batcher import Batcher
from service.inference.embedder import ImageEmbedder, LocalEmbedder
from service.inference.forward import ForwardPass, is_on_cpu, steps_for
from service.inference.loading import load_models as load_models
from service.inference.protocols import Models
from service.observability.metrics import Metrics
from service.retrieval.batch_enrollment import BatchEnroller
from service.retrieval.cameras import CameraLearner
from service.retrieval.enrollment import Enroller
from service.retrieval.explainer import PairExplainer
from service.retrieval.frames import FrameReader
from service.retrieval.two_stage import TwoStageSearch
from service.settings import Settings
from service.watching.watching import Watching

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Resources:
    """Everything that is open while the service answers, as requests to one collection need it.

    What is opened is that of the default collection; `of` gives it for another one.
    """

    bundle: Bundle
    reranker: Reranker | None
    gallery: Gallery
    embedder: ImageEmbedder
    enroller: Enroller
    batch_enroller: BatchEnroller
    cameras: CameraLearner
    search: TwoStageSearch
    explainer: PairExplainer
    frames: FrameReader
    gallery_limiter: CapacityLimiter
    collections: Collections
    watching: Watching
    _views: dict[str, Self]
    _closing: ExitStack

    @classmethod
    def open(
        cls,
        settings: Settings,
        metrics: Metrics,
        models: Models | None = None,
        gallery: Gallery | None = None,
        pool: DecodePool | None = None,
        on_step: Callable[[str], None] = lambda _step: None,
        on_lost: Callable[[str], None] = lambda _reason: None,
        store: SharedStore | None = None,
    ) -> Self:
        """Check the bundle, open the gallery, load the models, warm them up; seconds to minutes.

        With `settings.redis_url` workers embed, and of the models only the second stage is loaded.
        Models, a gallery and a pool that are handed in are used instead; the latter two are not closed by
        `close`. `on_lost` is called with the reason, from another thread, when the embedder of this process
        will not work again. `store` is what replicas share, and is left open by `close`.

        Raises:
            BundleError, RuntimeNotAvailableError, GalleryError, EmbeddingError, DecodePoolError,
                RedisUrlError: what failed and the remedy.
            OSError: the data directory cannot be used.
        """
        on_step("checking the model bundle")
        bundle = models.bundle if models is not None else Bundle.load(settings.bundle)
        detector = None if settings.detector == "off" else DetectorBundle.load(settings.detector)
        shared = store if settings.gallery == "milvus" else None
        with ExitStack() as undo:
            if pool is None:
                pool = open_decode_pool(settings)
                undo.callback(pool.close)
            if gallery is None:
                on_step("opening the gallery")
                gallery = (
                    open_local_gallery(settings, bundle, settings.data_dir)
                    if shared is None
                    else open_shared_gallery(settings, bundle, shared)
                )
                undo.callback(gallery.close)
            collections = open_collections(settings, bundle, gallery, shared)
            undo.callback(collections.close)
            on_step("loading the models")
            embedder: ImageEmbedder
            if settings.redis_url is not None and models is None:
                reranker = load_reranker(bundle)
                embedder = connect_embedder(settings, bundle, metrics.dead_lettered)
                runtime = "redis"
            else:
                # Beside the models, which take longer.
                pool.start()
                models = models or load_models(settings, bundle)
                reranker = models.reranker
                on_step("warming the embedder up")
                batcher = start_batcher(settings, models, settings.max_queue, metrics.batch, on_lost)
                undo.callback(batcher.close, settings.drain_s)
                runtime = models.runtime
                pool.wait_until_ready()
                embedder = LocalEmbedder(batcher, bundle.manifest.input, pool, runtime, models.gpu_left_out)

            metrics.bundle(bundle.manifest.name, bundle.fingerprint, runtime)
            metrics.watch_embedder(embedder.state, settings.max_queue)
            metrics.gallery.watch(gallery, settings.data_dir if settings.gallery == "local" else None)
            metrics.watch_collections(collections)
            watching = open_watching(settings, bundle, collections, metrics, gallery)
            if store is not None:
                metrics.gallery.watch_shared_store(store.fault)
            limiter = CapacityLimiter(settings.gallery_threads)
            explainer = PairExplainer(bundle, settings.threads, pool)
            undo.callback(explainer.close)
            return cls(
                bundle=bundle,
                reranker=reranker,
                gallery=gallery,
                embedder=embedder,
                enroller=Enroller(embedder, gallery, limiter),
                batch_enroller=BatchEnroller(embedder, gallery, limiter),
                cameras=CameraLearner(embedder, gallery, limiter),
                search=TwoStageSearch(embedder, gallery, reranker, limiter, metrics.rerank_batch),
                explainer=explainer,
                frames=FrameReader(pool, detector),
                gallery_limiter=limiter,
                collections=collections,
                watching=watching,
                _views={},
                _closing=undo.pop_all(),
            )

    def of(self, name: str) -> Self:
        """The same for another collection: what it has in common is shared.

        Raises:
            UnknownCollectionError: there is none of this name.
        """
        gallery = self.collections.get(name)
        if gallery is self.gallery:
            return self
        view = self._views.get(name)
        if view is None or view.gallery is not gallery:
            limiter = self.gallery_limiter
            view = self._views[name] = replace(
                self,
                gallery=gallery,
                enroller=Enroller(self.embedder, gallery, limiter),
                batch_enroller=BatchEnroller(self.embedder, gallery, limiter),
                cameras=CameraLearner(self.embedder, gallery, limiter),
                search=self.search.over(gallery),
            )
        return view

    def drop(self, name: str) -> None:
        """Drop a collection, and all that was held for it; see `Collections.drop`."""
        try:
            self.collections.drop(name)
        finally:
            self._views.pop(name, None)

    def close(self) -> None:
        """Answer whoever is still waiting, then close what `open` opened."""
        self._closing.close()


def open_decode_pool(settings: Settings) -> DecodePool:
    """What decodes images; its processes are started when they are needed, or by its `start`."""
    return DecodePool(settings.decode_processes, lambda reason: log.warning("decoder_ended", reason=reason))


def open_watching(
    settings: Settings, bundle: Bundle, collections: Collections, metrics: Metrics, gallery: Gallery
) -> Watching:
    """What compares new images with watches, by the bundle's thresholds; it begins when it is started."""

    def threshold_for(camera: CameraUse) -> float | None:
        threshold = bundle.manifest.threshold_for(camera)
        return None if threshold is None else threshold.similarity

    return Watching(
        collections,
        threshold_for,
        metrics,
        private=settings.allow_private_webhooks,
        is_shared=gallery.watches.alerts.others_every_s is not None,
    )


def load_reranker(bundle: Bundle) -> Reranker | None:
    """The bundle's second stage alone, or None.

    Raises:
        BundleError: its file cannot be loaded.
    """
    from models.runtime import load_reranker as load

    return load(bundle)


def connect_embedder(settings: Settings, bundle: Bundle, on_dead_letter: Callable[[], None]) -> ImageEmbedder:
    """An embedder whose work is done by workers behind Redis; it connects when it is started.

    Raises:
        RedisUrlError: the URL of Redis does not read.
    """
    from service.queue.remote import RemoteEmbedder

    return RemoteEmbedder(settings, bundle.fingerprint, on_dead_letter)


def start_batcher(
    settings: Settings,
    models: Models,
    max_queue: int,
    on_batch: Callable[[int, float], None],
    on_lost: Callable[[str], None] = lambda _reason: None,
) -> Batcher:
    """A batcher in front of the embedder, warm.

    Raises:
        EmbeddingError: the embedder failed on a blank image.
    """
    spec = models.bundle.manifest.input
    batcher = Batcher(
        ForwardPass(
            models.embedder.embed,
            (3, spec.height, spec.width),
            settings.max_batch,
            steps_for(models.runtime),
            warms_all=not is_on_cpu(models.runtime),
        ),
        streams=models.streams,
        max_batch=settings.max_batch,
        max_wait_s=settings.max_wait_ms / 1000,
        max_queue=max_queue,
        on_batch=on_batch,
        on_lost=on_lost,
    )
    batcher.start()
    return batcher
