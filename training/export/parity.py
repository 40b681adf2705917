"""The proof that an exported bundle gives the numbers of torch, on random images and strips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundle import EXPLAINER, RERANKER
from models.manifest import EMBEDDER
from models.network import LKAReID
from models.reranker import CANDIDATES, StripReranker
from models.runtimes.ort import open_session
from training.export.explainer import ATTENTION_OUTPUTS, activations

PARITY_BATCHES = (1, 3, 16)
MIN_COSINE = 0.9999
MAX_GAP = 1e-4
"""Of an explanation's numbers: nothing is ranked by them, but a figure of them must be right."""


class ParityError(Exception):
    """An exported file that does not agree with torch."""


@dataclass(frozen=True)
class Parity:
    """How far ONNX Runtime is from torch on random images and strips, over all batch sizes.

    Attributes:
        cosine: smallest cosine between two descriptors of the same image.
        strips: largest absolute difference of a strip's feature.
        distance: largest absolute difference of a re-ranking distance, or of a strip's part of it.
        attention: largest absolute difference of an attention weight.
        activations: largest difference of an activation, as a share of the largest one.
    """

    cosine: float
    strips: float
    distance: float
    attention: float
    activations: float


def check_parity(network: LKAReID, reranker: StripReranker | None, folder: Path, seed: int = 0) -> Parity:
    """Compare the exported files with torch at batches of 1, 3 and 16.

    Raises:
        ParityError: a cosine under 0.9999, another order of ten candidates, or an explanation that differs.
    """
    source = torch.Generator().manual_seed(seed)
    height, width = network.config.image_size
    session = open_session(folder / EMBEDDER, "cpu", None)
    outputs = [output.name for output in session.get_outputs()]
    cosine, strip_gap, activation_gap = 1.0, 0.0, 0.0
    probes = []
    for batch in PARITY_BATCHES:
        images = torch.randn(batch, 3, height, width, generator=source)
        with torch.inference_mode():
            descriptor, strips = network(images)
        found = dict(zip(outputs, session.run(outputs, {"images": images.numpy()}), strict=True))
        if found["descriptor"].shape != tuple(descriptor.shape):
            raise ParityError(
                f"batch {batch}: descriptors {found['descriptor'].shape}, torch {tuple(descriptor.shape)}"
            )
        cosine = min(cosine, float((descriptor.numpy() * found["descriptor"]).sum(axis=1).min()))
        if cosine < MIN_COSINE:
            raise ParityError(
                f"descriptors of ONNX Runtime and torch differ: cosine {cosine:.6f} < {MIN_COSINE}"
            )
        if "activations" in found:
            activation_gap = max(activation_gap, _activation_gap(network, images, found["activations"]))
        if strips is not None:
            strip_gap = max(strip_gap, float(np.abs(strips.numpy() - found["strips"]).max()))
            probes.append(strips)
    gaps = check_second_stage(reranker, probes, folder, source) if reranker is not None else (0.0, 0.0)
    return Parity(cosine, strip_gap, *gaps, activation_gap)


def check_second_stage(
    reranker: StripReranker, probes: Sequence[Tensor], folder: Path, source: torch.Generator
) -> tuple[float, float]:
    """Compare an exported second stage with torch.

    Args:
        reranker: as it was exported.
        probes: strips `[B, s, d]` of several batch sizes; candidates are drawn near them.
        folder: with `reranker.onnx` and, if it explains, `explainer.onnx`.
        source: of the candidates; not one that starts as that of the probes did.

    Returns:
        The largest differences of a distance and of an attention weight.

    Raises:
        ParityError: another order of ten candidates, or an explanation that differs.
    """
    session = open_session(folder / RERANKER, "cpu", None)
    explainer = open_session(folder / EXPLAINER, "cpu", None) if (folder / EXPLAINER).exists() else None
    distance = attention = 0.0
    for strips in probes:
        candidates = _candidates(strips, source)
        distance = max(distance, _reranker_gap(reranker, session, strips, candidates, source))
        if explainer is not None:
            looked, explained = _explainer_gaps(reranker, explainer, strips, candidates[:, 0])
            distance, attention = max(distance, explained), max(attention, looked)
    return distance, attention


def random_strips(shape: tuple[int, int], source: torch.Generator) -> list[Tensor]:
    """Strips `[B, s, d]` of unit length for `check_second_stage`, where no embedder makes some.

    Args:
        shape: (s, d).
        source: of the strips.
    """
    return [
        nn.functional.normalize(torch.randn(batch, *shape, generator=source), dim=-1)
        for batch in PARITY_BATCHES
    ]


def _candidates(strips: Tensor, source: torch.Generator) -> Tensor:
    """Ten candidates near each of the strips `[B, s, d]`: `[B, 10, s, d]`."""
    noise = torch.randn((len(strips), CANDIDATES, *strips.shape[1:]), generator=source) * strips.std()
    return nn.functional.normalize(strips.unsqueeze(1) + noise, dim=-1)


def _reranker_gap(
    reranker: StripReranker, session: Any, strips: Tensor, candidates: Tensor, source: torch.Generator
) -> float:
    similarities = torch.rand(candidates.shape[:2], generator=source)
    with torch.inference_mode():
        expected = reranker(strips, candidates, similarities).numpy()
    names = ("probes", "candidates", "similarities")
    values = (strips, candidates, similarities)
    found = session.run(None, {name: value.numpy() for name, value in zip(names, values, strict=True)})[0]
    if found.shape != expected.shape or not np.array_equal(found.argsort(axis=1), expected.argsort(axis=1)):
        raise ParityError(f"batch {len(strips)}: ONNX Runtime and torch order the candidates differently")
    return float(np.abs(found - expected).max())


def _activation_gap(network: LKAReID, images: Tensor, found: NDArray[Any]) -> float:
    """The largest difference of an activation, as a share of the largest one in torch."""
    with torch.inference_mode():
        expected = activations(network.maps(images), signed=network.config.vit is not None).numpy()
    scale = max(float(np.abs(expected).max()), 1e-12)
    return _gap("activations", found / scale, expected / scale)


def _explainer_gaps(
    reranker: StripReranker, session: Any, probes: Tensor, candidates: Tensor
) -> tuple[float, float]:
    """The largest differences of an attention weight and of a strip's distance."""
    with torch.inference_mode():
        expected = [output.numpy() for output in reranker.explain(probes, candidates)]
    inputs = {"probes": probes.numpy(), "candidates": candidates.numpy()}
    found = session.run(list(ATTENTION_OUTPUTS), inputs)
    first, second, distance = (
        _gap(name, *pair) for name, *pair in zip(ATTENTION_OUTPUTS, found, expected, strict=True)
    )
    return max(first, second), distance


def _gap(name: str, found: NDArray[Any], expected: NDArray[Any]) -> float:
    if found.shape != expected.shape:
        raise ParityError(f"{name} of ONNX Runtime are {found.shape}, of torch {expected.shape}")
    gap = float(np.abs(found - expected).max())
    # Written so that NaN fails too.
    if not gap <= MAX_GAP:
        raise ParityError(f"{name} of ONNX Runtime and torch differ by {gap:.2g} > {MAX_GAP}")
    return gap
