"""Inference without torch: a bundle's ONNX files run by ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.bundle import Bundle, BundleError
from models.preprocessing import InputSpec

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class RuntimeNotAvailableError(Exception):
    """The runtime that was asked for is not there; the message says what to install or choose."""


class Embeddings(NamedTuple):
    """What the embedder gives for B images.

    Attributes:
        descriptors: float32 `[B, d]`, L2-normalised.
        strips: float16 `[B, s, w]`, or None for a bundle without strips.
    """

    descriptors: Floats
    strips: Halves | None


class Embedder:
    """Images -> descriptors and strips."""

    def __init__(self, bundle: Bundle, session: ort.InferenceSession) -> None:
        self.input: InputSpec = bundle.manifest.input
        self.descriptor_dim: int = bundle.manifest.descriptor_dim
        self.strips: tuple[int, int] | None = bundle.manifest.strips
        self._session = session
        self._outputs = ["descriptor"] + (["strips"] if self.strips else [])

    def embed(self, images: Floats) -> Embeddings:
        """Embed prepared images.

        Args:
            images: float32 `[B, 3, H, W]` as `models.preprocessing.prepare` makes them, B >= 1.

        Raises:
            ValueError: another shape than the bundle's input.
        """
        shape = (3, self.input.height, self.input.width)
        if images.ndim != 4 or images.shape[1:] != shape or not len(images):
            raise ValueError(f"images are {images.shape}, the bundle wants (B, {', '.join(map(str, shape))})")
        results = self._session.run(self._outputs, {"images": images})
        descriptors = np.asarray(results[0], dtype=np.float32)
        strips = np.asarray(results[1], dtype=np.float16) if self.strips else None
        return Embeddings(descriptors, strips)


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
        runtime: the name of the runtime in use.
        embedder: first stage.
        reranker: second stage, or None for a bundle without one.
    """

    bundle: Bundle
    runtime: str
    embedder: Embedder
    reranker: Reranker | None

    @classmethod
    def load(cls, bundle: Bundle, runtime: str = "auto", threads: int | None = None) -> Models:
        """Load a checked bundle.

        Args:
            bundle: from `Bundle.load`.
            runtime: `cpu`, `cuda`, or `auto` for cuda where ONNX Runtime offers it and cpu elsewhere.
            threads: CPU threads of one inference; None for all cores.

        Raises:
            RuntimeNotAvailableError: the runtime is unknown or not there. Nothing falls back in silence.
            BundleError: a file of the bundle is no model that ONNX Runtime can load.
        """
        name = choose_runtime(runtime, ort.get_available_providers())
        embedder = Embedder(bundle, open_session(bundle.embedder, name, threads))
        reranker = None
        if bundle.reranker is not None:
            # Ten candidates are too little work for a GPU's trip there and back to pay, or for a second
            # pool of threads, which would spin while the embedder works.
            reranker = Reranker(bundle, open_session(bundle.reranker, "cpu", 1))
        return cls(bundle, name, embedder, reranker)


def choose_runtime(wanted: str, available: list[str]) -> str:
    """The runtime to use: `wanted`, or for `auto` the best that ONNX Runtime offers.

    Raises:
        RuntimeNotAvailableError: unknown, or not available.
    """
    if wanted == "auto":
        return "cuda" if PROVIDERS["cuda"] in available else "cpu"
    if wanted not in PROVIDERS:
        raise RuntimeNotAvailableError(f"unknown runtime {wanted!r}; there are auto, {', '.join(PROVIDERS)}")
    if PROVIDERS[wanted] not in available:
        raise RuntimeNotAvailableError(
            f"runtime {wanted!r} is not available: this ONNX Runtime offers {', '.join(available)}. "
            "Install the [gpu] extra in place of [cpu], or choose another runtime."
        )
    return wanted


def open_session(path: Path, runtime: str, threads: int | None) -> ort.InferenceSession:
    """An ONNX Runtime session on one runtime.

    Raises:
        BundleError: the file is no model that ONNX Runtime can load.
        RuntimeNotAvailableError: the provider is offered but does not start here.
    """
    options = ort.SessionOptions()
    # Weights may lie in the file as 8-bit integers; unfold them once, at load time.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if threads:
        options.intra_op_num_threads = threads
    provider = PROVIDERS[runtime]
    try:
        session = ort.InferenceSession(path, options, providers=[provider])
    except Exception as error:  # ONNX Runtime raises a family of its own without a common base
        raise BundleError(f"{path}: ONNX Runtime cannot load it: {error}") from error
    if provider not in session.get_providers():
        raise RuntimeNotAvailableError(
            f"{provider} does not start here; see ONNX Runtime's message above, or choose another runtime"
        )
    return session
