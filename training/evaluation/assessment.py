"""Networks in torch measured on a retrieval task, by the protocol that bundles are measured by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.reranker import StripReranker
from training.datasets.dataset import Task
from training.evaluation.descriptors import Described
from training.evaluation.measurement import Measurement, Way
from training.evaluation.protocol import measure
from training.evaluation.rerank import SecondStage
from training.features.extract import Features


class _Silent:
    def start(self, name: str, total: int) -> Callable[[int], None]:  # noqa: ARG002 - a protocol's signature
        """Nothing is shown."""
        return lambda _: None


SILENT = _Silent()
"""A progress that nobody sees."""


def assess(task: Task, features: Features, reranker: StripReranker | None = None) -> Measurement:
    """Measure features of a task's images: cosine, same vehicle and camera left out.

    Args:
        task: to measure on.
        features: of at least all its images.
        reranker: the second stage over the first candidates; None for the first stage alone.

    Raises:
        ValueError: features to be re-ranked have no strips.
    """
    if reranker is None:
        described = Described(features.images, features.descriptors, None)
        return measure(task, described, Way.plain, None, SILENT)
    if features.strips is None:
        raise ValueError("re-ranking needs strips")
    strips = features.strips.astype(np.float16, copy=False)
    described = Described(features.images, features.descriptors, strips)
    return measure(task, described, Way.reranked, SecondStage(reranker), SILENT)
