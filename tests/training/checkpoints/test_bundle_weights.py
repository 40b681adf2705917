from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from models.bundle import Bundle
from models.manifest import EMBEDDER
from models.network import LKAReID
from models.runtimes.ort import open_session
from models.shape import NetworkConfig, branches
from tests.training.conftest import SMALL
from tests.training.small import experiment
from training.checkpoints.bundle_weights import load_bundle_weights
from training.checkpoints.weights import WeightsError
from training.export.bundle import Precision, export_bundle, for_inference

SHAPE = replace(SMALL, ibn=True, branches=branches("lka", "hca"))


def bundle_of(shape: NetworkConfig, folder: Path, precision: Precision) -> Path:
    torch.manual_seed(0)
    network = LKAReID(shape).eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
        elif name.endswith("running_mean"):
            buffer.uniform_(-0.2, 0.2)
    served = for_inference(network, precision)
    export_bundle(folder, name="small", network=served, reranker=None, precision=precision)
    return Bundle.load(folder).embedder


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_a_network_started_from_a_bundle_gives_the_bundles_numbers(
    tmp_path: Path, precision: Precision
) -> None:
    path = bundle_of(SHAPE, tmp_path / "bundle", precision)
    torch.manual_seed(1)
    network = LKAReID(SHAPE, identities=5).eval()
    classifiers = {k: v.clone() for k, v in network.state_dict().items() if ".classifier." in k}
    load_bundle_weights(network, path)
    images = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        descriptors, strips = network(images)
    assert strips is not None
    expected = open_session(path, "cpu", 1).run(["descriptor", "strips"], {"images": images.numpy()})
    np.testing.assert_allclose(descriptors.numpy(), expected[0], atol=2e-5)
    np.testing.assert_allclose(strips.numpy(), expected[1], atol=2e-5)
    assert classifiers
    assert all(torch.equal(network.state_dict()[key], value) for key, value in classifiers.items())


@pytest.mark.slow
def test_the_image_size_may_differ_from_the_bundles(tmp_path: Path) -> None:
    path = bundle_of(SHAPE, tmp_path / "bundle", "int8")
    network = LKAReID(replace(SHAPE, image_size=(96, 80))).eval()
    load_bundle_weights(network, path)
    with torch.inference_mode():
        assert network(torch.randn(1, 3, 96, 80))[0].shape == (1, SHAPE.descriptor_dim)


@pytest.mark.slow
def test_weights_of_another_shape_are_refused_and_listed(tmp_path: Path) -> None:
    path = bundle_of(SHAPE, tmp_path / "bundle", "int8")
    with pytest.raises(
        WeightsError, match=r"(?s)does not hold this network's weights.*branches\.0\.0\.conv2"
    ):
        load_bundle_weights(LKAReID(replace(SHAPE, branches=branches("conv", "hca"))), path)
    with pytest.raises(WeightsError, match="has another shape"):
        load_bundle_weights(LKAReID(replace(SHAPE, width=16)), path)


def test_what_is_no_bundle_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / EMBEDDER
    with pytest.raises(WeightsError, match=EMBEDDER):
        load_bundle_weights(LKAReID(SHAPE), path)
    path.write_bytes(b"no graph at all")
    with pytest.raises(WeightsError, match=EMBEDDER):
        load_bundle_weights(LKAReID(SHAPE), path)
    onnx.save(onnx.ModelProto(), path)
    with pytest.raises(WeightsError, match="is missing"):
        load_bundle_weights(LKAReID(SHAPE), path)


def test_a_start_from_a_bundle_asks_for_frozen_norms() -> None:
    with pytest.raises(ValueError, match=r"set schedule\.freeze_norms to true"):
        experiment(weights={"layout": "bundle"})
