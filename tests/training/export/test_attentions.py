"""LKCA, DCS-Attention and the re-ranker's selection of channels, exported: ONNX gives what torch gives."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch

from models.mixers.lkca import LargeKernel
from models.network import LKAReID
from models.reranker import Distance, RerankerConfig, StripReranker, mixing
from models.shape import Branch, NetworkConfig
from training.export.bundle import export_bundle, for_inference


@pytest.mark.slow
@pytest.mark.parametrize("distance", get_args(Distance))
def test_a_bundle_of_lkca_dcs_and_a_selecting_re_ranker_has_parity(
    tmp_path: Path, distance: Distance
) -> None:
    torch.manual_seed(4)
    branches = tuple(Branch(mixer, "triplet") for mixer in ("lkca", "dcs"))
    shape = NetworkConfig(
        branches, width=4, depth=(1, 1, 1, 1), image_size=(48, 64), strips=2, strip_width=16
    )
    network = LKAReID(shape).eval()
    for module in network.modules():
        if isinstance(module, LargeKernel):
            torch.nn.init.normal_(module.kernel)
    reranker = StripReranker(
        RerankerConfig(strip_width=16, heads=4, selection=True, distance=distance)
    ).eval()
    if distance == "place":
        torch.nn.init.normal_(mixing(reranker.probe_attention).output.weight, std=0.3)
    parity = export_bundle(
        tmp_path / "bundle",
        name="attentions",
        network=for_inference(network, "int8"),
        reranker=reranker,
        precision="int8",
    )
    assert parity.cosine > 0.99999
    assert max(parity.strips, parity.distance, parity.attention) < 1e-5
