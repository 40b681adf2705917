"""What requests are answered with: models, gallery and batcher, opened in order and closed in reverse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from anyio import CapacityLimiter

from index import Gallery
from models.bundle import Bundle
from service.batching import Batcher
from service.embedding import ImageEmbedder
from service.enrolment import Enroller
from service.forward import ForwardPass
from service.metrics import Metrics
from service.protocols import Models
from service.search import TwoStageSearch
from service.settings import Settings


@dataclass(frozen=True)
class Resources:
    """Everything that is open while the service answers."""

    models: Models
    gallery: Gallery
    batcher: Batcher
    embedder: ImageEmbedder
    enroller: Enroller
    search: TwoStageSearch
    gallery_limiter: CapacityLimiter
    _closing: ExitStack

    @classmethod
    def open(
        cls,
        settings: Settings,
        metrics: Metrics,
        models: Models | None = None,
        gallery: Gallery | None = None,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> Self:
        """Check the bundle, open the gallery, load the models, warm them up; seconds to minutes.

        Models and a gallery that are handed in are used instead; such a gallery is not closed by `close`.

        Raises:
            BundleError, RuntimeNotAvailableError, GalleryError, EmbeddingError: what failed and the remedy.
            OSError: the data directory cannot be used.
        """
        on_step("checking the model bundle")
        bundle = models.bundle if models is not None else Bundle.load(settings.bundle)
        with ExitStack() as undo:
            if gallery is None:
                on_step("opening the gallery")
                gallery = open_gallery(settings, bundle)
                undo.callback(gallery.close)
            if models is None:
                on_step("loading the models")
                models = load_models(settings, bundle)
            on_step("warming the embedder up")
            batcher = start_batcher(settings, metrics, models)
            undo.callback(batcher.close, settings.drain_s)

            metrics.bundle(bundle.manifest.name, bundle.fingerprint, models.runtime)
            metrics.watch(lambda: batcher.depth, gallery.count)
            limiter = CapacityLimiter(settings.gallery_threads)
            embedder = ImageEmbedder(batcher, bundle.manifest.input, settings.decode_threads)
            return cls(
                models=models,
                gallery=gallery,
                batcher=batcher,
                embedder=embedder,
                enroller=Enroller(embedder, gallery, limiter),
                search=TwoStageSearch(embedder, gallery, models.reranker, limiter),
                gallery_limiter=limiter,
                _closing=undo.pop_all(),
            )

    def close(self) -> None:
        """Answer whoever is still waiting, then close what `open` opened."""
        self._closing.close()


def open_gallery(settings: Settings, bundle: Bundle) -> Gallery:
    """The gallery in the data directory, for this bundle.

    Raises:
        GalleryError: locked, damaged, or embedded by another bundle.
    """
    return Gallery.open(
        settings.data_dir,
        fingerprint=bundle.fingerprint,
        descriptor_dim=bundle.manifest.descriptor_dim,
        strips_shape=bundle.manifest.strips,
    )


def load_models(settings: Settings, bundle: Bundle) -> Models:
    """The bundle's models in the runtime that is set.

    Raises:
        BundleError: a file of the bundle cannot be loaded.
        RuntimeNotAvailableError: the runtime is not there.
    """
    # Here, and not above: ONNX Runtime takes a while to import, and fakes do without it.
    from models.runtime import Models as LoadedModels

    return LoadedModels.load(bundle, settings.runtime, settings.threads)


def start_batcher(settings: Settings, metrics: Metrics, models: Models) -> Batcher:
    """A batcher in front of the embedder, warm.

    Raises:
        EmbeddingError: the embedder failed on a blank image.
    """
    spec = models.bundle.manifest.input
    batcher = Batcher(
        ForwardPass(models.embedder.embed, (3, spec.height, spec.width), settings.max_batch),
        max_batch=settings.max_batch,
        max_wait_s=settings.max_wait_ms / 1000,
        max_queue=settings.max_queue,
        on_batch=metrics.batch,
    )
    batcher.start()
    return batcher
