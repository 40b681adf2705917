"""Explanations agree with torch, with the re-ranker that ranks, and with themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from models.bundle import Bundle
from models.explainer import Explainer, branch_names
from models.explanation import NotExplainableError
from models.preprocessing import normalise, prepare
from models.runtime import Models
from models.runtimes import choice
from models.runtimes.forward import RuntimeOptions
from tests.models.explainable import SmallBundle, networks
from training.export.bundle import Precision
from training.export.explainer import activations


def image(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 80, 3)).astype(np.uint8)
    return Image.fromarray(pixels).resize((120, 90))


@pytest.fixture(scope="module", params=["fp32", "int8"])
def bundle(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    small_bundle: SmallBundle,
) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("explainable") / str(request.param), request.param)


@pytest.fixture(scope="module")
def explainer(bundle: Bundle) -> Explainer:
    return Explainer(bundle, threads=1)


def test_attention_and_activations_are_torch_s(bundle: Bundle, explainer: Explainer) -> None:
    precision: Precision = "int8" if bundle.path.name == "int8" else "fp32"
    network, reranker = networks(precision)
    found = explainer.explain(image(0), image(1))
    spec = bundle.manifest.input
    images = torch.from_numpy(normalise(np.stack([prepare(image(n), spec) for n in (0, 1)]), spec))
    with torch.inference_mode():
        strips = network(images)[1].half().float()
        probe = reranker.probe_attention.attention(strips[0], strips[1])
        candidate = reranker.candidate_attention.attention(strips[1], strips[0])
        maps = activations(network.maps(images))
        plain = torch.stack([branch_map.mean(dim=1) for branch_map in network.maps(images)], dim=1)
    np.testing.assert_allclose(found.probe_attention, probe.numpy(), atol=2e-3)
    np.testing.assert_allclose(found.candidate_attention, candidate.numpy(), atol=2e-3)
    np.testing.assert_allclose(found.probe_activations, maps[0].numpy(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.candidate_activations, maps[1].numpy(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(maps, plain)
    assert found.probe_attention.max() > 3 / len(found.attention("probe")), "too even to prove anything"


def test_rows_of_attention_sum_to_one(explainer: Explainer) -> None:
    found = explainer.explain(image(0), image(1))
    for direction in ("probe", "candidate"):
        assert (found.attention(direction) >= 0).all()
        np.testing.assert_allclose(found.attention(direction).sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(found.band_attention(direction).sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found.probe_attention.sum(axis=2), 1, atol=1e-5)


def test_the_distance_is_the_one_that_ranks(bundle: Bundle, explainer: Explainer) -> None:
    found = explainer.explain(image(0), image(1))
    models = Models.load(bundle, "cpu", RuntimeOptions(threads=1))
    assert models.reranker is not None
    both = models.embedder.embed(np.stack([prepare(image(n), bundle.manifest.input) for n in (0, 1)]))
    assert both.strips is not None
    similarity = both.descriptors[:1] @ both.descriptors[1:].T
    distance = models.reranker.distances(both.strips[:1], both.strips[1:][None], similarity)
    assert found.similarity == pytest.approx(float(similarity[0, 0]), abs=1e-5)
    assert found.distance == pytest.approx(float(distance[0, 0]), abs=1e-5)
    assert found.distance == pytest.approx(found.strips_part + 0.5 * (1 - found.similarity))
    assert found.strip_distances.shape == (4, 2)


def test_an_image_is_at_no_distance_from_itself(explainer: Explainer) -> None:
    found = explainer.explain(image(0), image(0))
    np.testing.assert_allclose(found.strip_distances, 0, atol=1e-5)
    np.testing.assert_allclose(found.probe_attention, found.candidate_attention, atol=1e-6)
    np.testing.assert_allclose(found.probe_activations, found.candidate_activations, atol=1e-6)
    assert found.similarity == pytest.approx(1, abs=1e-5)


def test_exchanging_the_images_exchanges_the_attention_and_nothing_else(explainer: Explainer) -> None:
    one, other = explainer.explain(image(0), image(1)), explainer.explain(image(1), image(0))
    np.testing.assert_allclose(one.probe_attention, other.candidate_attention, atol=1e-5)
    np.testing.assert_allclose(one.strip_distances, other.strip_distances, atol=1e-5)
    assert one.distance == pytest.approx(other.distance, abs=1e-5)
    assert np.abs(one.probe_attention - one.candidate_attention).max() > 1e-3


def test_branches_have_the_paper_s_names(bundle: Bundle) -> None:
    assert branch_names(bundle, 4) == ("L1", "L2", "H1", "H2")
    assert branch_names(bundle, 2) == ("B1", "B2")


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("parts", r"exported without the parts .* export it again with `lka-reid export`"),
        ("re-ranker", r"has no re-ranker, .* choose a bundle with a second stage"),
    ],
)
def test_a_bundle_without_the_parts_says_so_and_works_otherwise(
    tmp_path: Path, small_bundle: SmallBundle, lacking: str, message: str
) -> None:
    old = small_bundle(tmp_path / "old", explainable=lacking != "parts", rerank=lacking != "re-ranker")
    with pytest.raises(NotExplainableError, match=message) as caught:
        Explainer(old)
    assert str(old.path) in str(caught.value)
    assert str(old.path) not in caught.value.reason
    images = prepare(image(0), old.manifest.input)[None]
    assert Models.load(old, "cpu").embedder.embed(images).descriptors.shape == (
        1,
        old.manifest.descriptor_dim,
    )


@pytest.mark.parametrize("runtime", ["cpu", "openvino"])
def test_the_parts_change_nothing_for_queries(
    bundle: Bundle, tmp_path: Path, small_bundle: SmallBundle, runtime: str
) -> None:
    if choice.trials()[runtime]() is not None:
        pytest.skip(f"{runtime} is not installed")
    old = small_bundle(tmp_path / "old", "int8" if bundle.path.name == "int8" else "fp32", explainable=False)
    assert [output.name for output in onnx.load(old.embedder).graph.output] == ["descriptor", "strips"]
    assert len(onnx.load(bundle.embedder).graph.output) == 3
    options = RuntimeOptions(threads=1, precision="f32")
    images = np.stack([prepare(image(n), bundle.manifest.input) for n in range(3)])
    before, now = (Models.load(each, runtime, options).embedder.embed(images) for each in (old, bundle))
    np.testing.assert_allclose(now.descriptors, before.descriptors, atol=1e-5)
    assert before.strips is not None
    assert now.strips is not None
    np.testing.assert_allclose(now.strips.astype(np.float32), before.strips.astype(np.float32), atol=2e-3)
