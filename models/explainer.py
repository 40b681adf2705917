"""From two images to an explanation: the re-ranker's attention, its distance strip by strip, activation maps.

It runs on ONNX Runtime on the CPU, apart from the runtime that embeds queries: explanations are rare and must
not delay queries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from models import preprocessing
from models.bundle import Bundle
from models.explanation import CameraUse, Explanation, Floats, check_explainable
from models.flip import mean_direction
from models.runtimes.ort import open_session

LETTERS = {"lka": "L", "hca": "H"}
"""The paper's names of branches; others are named by their mixer."""


class Explainer:
    """Two images -> an explanation. One caller at a time.

    Args:
        bundle: one with a re-ranker and the explaining parts.
        threads: CPU threads of one inference; None for all cores.

    Raises:
        NotExplainableError: the bundle lacks a part.
        BundleError: a file of it is no model that ONNX Runtime can load.
    """

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        explainer = check_explainable(bundle)
        self.bundle = bundle
        self._embedder = open_session(bundle.embedder, "cpu", threads)
        self._explainer = open_session(explainer, "cpu", 1)

    def explain(
        self,
        probe: Image.Image,
        candidate: Image.Image,
        normalise: Callable[[Floats], Floats] = lambda descriptors: descriptors,
        camera: CameraUse = "off",
    ) -> Explanation:
        """Compare two RGB images of any size, as `models.decoding.decode` gives them.

        Args:
            probe: an image.
            candidate: the image that it is compared with.
            normalise: takes cameras out of descriptors `[2, d]`, the probe's first.
            camera: what `normalise` knows of the probe's camera.
        """
        spec = self.bundle.manifest.input
        images = preprocessing.normalise(
            np.stack([preprocessing.prepare(image, spec) for image in (probe, candidate)]), spec
        )
        wanted = ["descriptor", "strips", "activations"]
        descriptors, strips, activations = self._embedder.run(wanted, {"images": images})
        if spec.flip:
            mirrored = np.ascontiguousarray(images[..., ::-1])
            descriptors = mean_direction(
                descriptors, self._embedder.run(["descriptor"], {"images": mirrored})[0]
            )
        descriptors = normalise(descriptors)
        # Rounded as the gallery keeps them and the re-ranker gets them.
        strips = strips.astype(np.float16).astype(np.float32)
        probe_attention, candidate_attention, distances = self._explainer.run(
            ["probe_attention", "candidate_attention", "distances"],
            {"probes": strips[:1], "candidates": strips[1:]},
        )
        branches = branch_names(self.bundle, activations.shape[1])
        columns = column_names(self.bundle) or branches
        return Explanation(
            similarity=float(descriptors[0] @ descriptors[1]),
            fusion=self._fusion(),
            branches=branches,
            columns=columns,
            strip_distances=distances[0].reshape(len(columns), -1),
            probe_attention=probe_attention[0],
            candidate_attention=candidate_attention[0],
            probe_activations=activations[0],
            candidate_activations=activations[1],
            camera=camera,
        )

    def _fusion(self) -> float:
        reranker = self.bundle.manifest.reranker
        return float(reranker.config.get("fusion", 0.0)) if reranker else 0.0


def column_names(bundle: Bundle) -> tuple[str, ...]:
    """Names of the columns of a grid of parts, from left to right; none where strips are compared."""
    parts = bundle.manifest.network.get("parts")
    return tuple(f"C{number + 1}" for number in range(parts[1])) if parts else ()


def branch_names(bundle: Bundle, count: int) -> tuple[str, ...]:
    """Names of the embedder's branches: L1, L2 for LKA, H1, H2 for HCA, otherwise the mixer and a number.

    A manifest that does not describe all `count` of them gets B1, B2 and so on.
    """
    branches: Sequence[dict[str, Any]] = bundle.manifest.network.get("branches", ())
    if len(branches) != count:
        return tuple(f"B{number + 1}" for number in range(count))
    seen: Counter[str] = Counter()
    names = []
    for branch in branches:
        mixer = str(branch["mixer"])
        seen[mixer] += 1
        names.append(f"{LETTERS.get(mixer, mixer.upper())}{seen[mixer]}")
    return tuple(names)
