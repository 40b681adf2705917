"""The forward pass: a few images through the embedder at one of a few batch sizes, the answer checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.preprocessing import Pixels
from models.protocols import Embeddings


class EmbeddingError(Exception):
    """The embedder failed on an image, or answered something unusable."""


@dataclass(frozen=True)
class Features:
    """What the embedder says of one image.

    Attributes:
        descriptor: float32 `[d]`, L2-normalised.
        strips: float16 `[s, w]`, or None where the bundle has no re-ranker.
    """

    descriptor: NDArray[np.float32]
    strips: NDArray[np.float16] | None


def bucket_sizes(max_batch: int, steps: int = 1) -> tuple[int, ...]:
    """The batch sizes that are run: powers of two, `steps` to each doubling, and `max_batch` itself."""
    sizes = [1]
    while sizes[-1] < max_batch:
        power = 1 << (sizes[-1].bit_length() - 1)
        sizes.append(min(sizes[-1] + max(1, power // steps), max_batch))
    return tuple(sizes)


def steps_for(runtime: str) -> int:
    """How finely a runtime's batch sizes are stepped.

    A CPU takes as long for an image of padding as for one that somebody waits for: 1 to 8, 10, 12, 14, 16.
    A GPU hardly notices it, and keeps memory for each size.
    """
    return 4 if is_on_cpu(runtime) else 1


def is_on_cpu(runtime: str) -> bool:
    """Whether a runtime computes on a CPU, by its name."""
    return runtime.partition("-")[0] in ("cpu", "openvino")


class ForwardPass:
    """An embedder that is only ever run at a few batch sizes, smaller batches being padded up.

    A GPU's runtime allocates and tunes itself for each size it meets: few sizes, all met at the start, keep
    memory and latency steady. On a CPU the smallest and the largest are enough: any other then takes as long
    the first time as later, and a worker answers four seconds of a core sooner.

    Args:
        embed: prepared images uint8 `[B, 3, H, W]` -> descriptors and strips of B images.
        image_shape: `(3, H, W)`.
        max_batch: images in a batch at most.
        steps: see `bucket_sizes`.
        warms_all: whether `warm_up` runs every size, or the smallest and the largest.
    """

    def __init__(
        self,
        embed: Callable[[Pixels], Embeddings],
        image_shape: tuple[int, int, int],
        max_batch: int,
        steps: int = 1,
        *,
        warms_all: bool = True,
    ) -> None:
        self.image_shape = image_shape
        self.last_failed = False
        self._embed = embed
        self._buckets = bucket_sizes(max_batch, steps)
        self._warmed = self._buckets if warms_all else sorted({self._buckets[0], self._buckets[-1]})
        self._last_success: float | None = None

    @property
    def success_age_s(self) -> float | None:
        """Seconds since a pass last succeeded; None before the first."""
        last = self._last_success
        return None if last is None else time.monotonic() - last

    def warm_up(self) -> None:
        """Run the batch sizes that need it once, on blank images.

        Raises:
            EmbeddingError: see `__call__`.
        """
        blank = np.zeros(self.image_shape, dtype=np.uint8)
        for size in self._warmed:
            self([blank] * size)

    def __call__(self, images: Sequence[Pixels]) -> list[Features]:
        """Embed 1 to `max_batch` prepared images, each uint8 `[3, H, W]`; as many features, in their order.

        Raises:
            EmbeddingError: the embedder raised, or answered another number of images or what is not finite.
        """
        try:
            features = self._features(images)
        except Exception as error:
            self.last_failed = True
            if isinstance(error, EmbeddingError):
                raise
            raise EmbeddingError(f"the embedder failed: {error}") from error
        self.last_failed = False
        self._last_success = time.monotonic()
        return features

    def _features(self, images: Sequence[Pixels]) -> list[Features]:
        bucket = next(size for size in self._buckets if size >= len(images))
        batch = np.zeros((bucket, *self.image_shape), dtype=np.uint8)
        for row, image in enumerate(images):
            batch[row] = image
        embeddings = self._embed(batch)
        for name, rows in (("descriptors", embeddings.descriptors), ("strips", embeddings.strips)):
            if rows is None:
                continue
            if len(rows) != bucket:
                raise EmbeddingError(f"the embedder answered {len(rows)} {name} for {bucket} images")
            if not np.isfinite(rows[: len(images)]).all():
                raise EmbeddingError(f"the embedder answered {name} that are not finite")
        strips = embeddings.strips
        return [
            # Copies: a row that is kept must not keep its whole batch alive.
            Features(embeddings.descriptors[row].copy(), None if strips is None else strips[row].copy())
            for row in range(len(images))
        ]
