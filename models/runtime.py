"""A bundle's models, ready to run: the embedder on the chosen runtime, the re-ranker on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.bundle import Bundle, BundleError
from models.flip import passes, with_flip
from models.inputspec import InputSpec
from models.preprocessing import Pixels
from models.runtimes.choice import choose_runtime, trials
from models.runtimes.forward import Floats, Forward, Loaded, RuntimeOptions
from models.runtimes.ort import load as load_onnxruntime
from models.runtimes.ort import open_session

Halves = NDArray[np.float16]


class Embeddings(NamedTuple):
    """What the embedder gives for B images.

    Attributes:
        descriptors: float32 `[B, d]`, L2-normalised.
        strips: float16 `[B, s, w]`, or None for a bundle without strips.
    """

    descriptors: Floats
    strips: Halves | None


class Embedder:
    """Images -> descriptors and strips.

    Args:
        bundle: says what it wants to see.
        forward: its network.
        largest: images that go through it at once, where their mirror images do, too.
    """

    def __init__(self, bundle: Bundle, forward: Forward, largest: int = 0) -> None:
        self.input: InputSpec = bundle.manifest.input
        self.descriptor_dim: int = bundle.manifest.descriptor_dim
        self.strips: tuple[int, int] | None = bundle.manifest.strips
        self._forward = with_flip(forward, largest) if self.input.flip else forward

    def embed(self, images: Pixels) -> Embeddings:
        """Embed prepared images.

        Args:
            images: uint8 `[B, 3, H, W]` as `models.preprocessing.prepare` makes them, B >= 1.

        Raises:
            ValueError: another shape than the bundle's input, or numbers that are no bytes.
        """
        shape = (3, self.input.height, self.input.width)
        if images.ndim != 4 or images.shape[1:] != shape or not len(images):
            raise ValueError(f"images are {images.shape}, the bundle wants (B, {', '.join(map(str, shape))})")
        if images.dtype != np.uint8:
            raise ValueError(f"images are {images.dtype}, prepared ones are uint8: see models.preprocessing")
        descriptors, strips = self._forward(images)
        return Embeddings(
            np.asarray(descriptors, dtype=np.float32),
            None if strips is None else np.asarray(strips, dtype=np.float16),
        )


class Reranker:
    """Strips of a probe and its candidates -> distances."""

    def __init__(self, bundle: Bundle, session: ort.InferenceSession) -> None:
        if bundle.manifest.reranker is None:
            raise BundleError(f"{bundle.path}: has no re-ranker")
        self.candidates: int = bundle.manifest.reranker.candidates
        self._session = session

    def distances(self, probes: Halves, candidates: Halves, similarities: Floats) -> Floats:
        """Distances `[B, n]`, smaller is nearer.

        Args:
            probes: `[B, s, w]`.
            candidates: `[B, n, s, w]`, n from 1 to `self.candidates`.
            similarities: `[B, n]`, the first stage's.
        """
        inputs = {
            "probes": probes.astype(np.float32),
            "candidates": candidates.astype(np.float32),
            "similarities": similarities.astype(np.float32),
        }
        return np.asarray(self._session.run(["distances"], inputs)[0], dtype=np.float32)


@dataclass(frozen=True)
class Models:
    """A bundle's embedder and re-ranker, ready to run.

    Attributes:
        bundle: where they come from.
        runtime: the name of the runtime in use, with its precision where it has a choice.
        embedder: first stage.
        reranker: second stage, or None for a bundle without one.
        nodes: how many nodes of the embedder's graph run where.
        left_out: runtimes that `auto` would rather have taken, each with the reason.
        streams: batches that the embedder takes at the same time, each from a thread of its own.
        gpu_left_out: what the runtime does without on its GPU, each with the reason.
    """

    bundle: Bundle
    runtime: str
    embedder: Embedder
    reranker: Reranker | None
    nodes: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    streams: int = 1
    gpu_left_out: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, bundle: Bundle, runtime: str = "auto", options: RuntimeOptions | None = None) -> Models:
        """Load a checked bundle.

        Args:
            bundle: from `Bundle.load`.
            runtime: see `models.runtimes.choice`.
            options: threads, precision, batch sizes.

        Raises:
            RuntimeNotAvailableError: the runtime is unknown, does not start, or does not compute in the
                precision; for `auto`, none does. Nothing takes the place of one that is named.
            BundleError: a file of the bundle is no model that the runtime can load.
        """
        options = options or RuntimeOptions()
        if bundle.manifest.input.flip:
            options = replace(options, batch_sizes=passes(options.batch_sizes))
        chosen = choose_runtime(runtime, options.precision, trials(options.device))
        loaded = load_embedder(bundle, chosen.name, options)
        return cls(
            bundle,
            loaded.runtime,
            Embedder(bundle, loaded.forward, max(options.batch_sizes)),
            load_reranker(bundle),
            loaded.nodes,
            chosen.left_out,
            loaded.streams,
            loaded.left_out,
        )


def load_embedder(bundle: Bundle, runtime: str, options: RuntimeOptions) -> Loaded:
    """The bundle's embedder on a runtime that starts here.

    Raises:
        RuntimeNotAvailableError, BundleError: see `Models.load`.
    """
    # Imported where they are chosen: none has to be installed for another to run.
    if runtime == "openvino":
        from models.runtimes import openvino

        return openvino.load(bundle, options)
    if runtime == "torch-cuda":
        from models.runtimes import torch_cuda

        return torch_cuda.load(bundle, options)
    if runtime == "cuda":
        from models.runtimes import cuda

        return cuda.load(bundle, options)
    return load_onnxruntime(bundle, options)


def load_reranker(bundle: Bundle) -> Reranker | None:
    """The bundle's second stage, or None, on one thread of the CPU.

    Re-ordering ten candidates takes less time than sending them to a GPU and back. A second pool of threads
    would spin while the embedder works.

    Raises:
        BundleError: the file is no model that ONNX Runtime can load.
    """
    return None if bundle.reranker is None else Reranker(bundle, open_session(bundle.reranker, "cpu", 1))
