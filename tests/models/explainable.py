"""Small bundles that explain matches, and the networks they are made of.

The fixture `small_bundle` (tests/conftest.py) exports each once in a run of the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from models.bundle import Bundle
from models.network import LKAReID
from models.reranker import RerankerConfig, StripReranker, mixing
from models.shape import NetworkConfig
from tests.training.conftest import SMALL
from training.export.bundle import Precision, export_bundle, for_inference

SmallBundle = Callable[..., Bundle]
"""The type of the fixture `small_bundle`."""


def lively(config: NetworkConfig) -> LKAReID:
    """A network whose norms have seen data, so that folding them matters."""
    torch.manual_seed(0)
    network = LKAReID(config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    for _ in range(3):
        network.learn(torch.randn(8, 3, *config.image_size))
    return network.eval()


def opinionated_reranker(*, shared: bool = True) -> StripReranker:
    """A re-ranker whose attention is far from even, and whose output counts."""
    torch.manual_seed(2)
    config = RerankerConfig(strip_width=SMALL.strip_width, heads=4, shared=shared, fusion=0.5)
    reranker = StripReranker(config).eval()
    for attention in (reranker.probe_attention, reranker.candidate_attention):
        for layer in (attention.query, attention.key):
            nn.init.normal_(layer.weight, std=1.0)
        nn.init.normal_(mixing(attention).output.weight, std=0.2)
    return reranker


def networks(precision: Precision = "fp32") -> tuple[LKAReID, StripReranker]:
    """Embedder and re-ranker, the same each time."""
    return for_inference(lively(SMALL), precision), opinionated_reranker()


def export_small(folder: Path, precision: Precision, *, explainable: bool, rerank: bool) -> None:
    """Export the networks; without `explainable` as bundles were exported before there were explanations."""
    network, reranker = networks(precision)
    export_bundle(
        folder,
        name="small",
        network=network,
        reranker=reranker if rerank else None,
        precision=precision,
        explainable=explainable,
    )
