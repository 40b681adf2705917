"""A small bundle that explains matches, and the networks it was made of."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from models.bundle import Bundle
from models.network import LKAReID
from models.reranker import RerankerConfig, StripReranker, mixing
from tests.training.conftest import SMALL
from tests.training.export.test_bundle import lively
from training.export.bundle import Precision, export_bundle, for_inference


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


def write_explainable(
    folder: Path, precision: Precision = "fp32", *, explainable: bool = True, rerank: bool = True
) -> Bundle:
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
    return Bundle.load(folder)
