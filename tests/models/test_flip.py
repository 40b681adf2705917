"""Flip test-time augmentation: what a bundle with it answers, and what stays as it was without."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import runtime
from models.bundle import Bundle, BundleError
from models.explainer import Explainer
from models.flip import passes, with_flip
from models.inputspec import InputSpec
from models.preprocessing import Pixels, prepare
from models.runtime import Models
from models.runtimes.forward import Answer, Loaded, RuntimeOptions
from models.variant import write_flip
from service.inference.forward import bucket_sizes
from tests.models.explainable import SmallBundle, lively
from tests.training.conftest import SMALL
from training.features.network_embedder import NetworkEmbedder


def pixels(count: int, side: int = 48, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side)).astype(np.uint8)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, small_bundle: SmallBundle) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("flip") / "plain")


@pytest.fixture(scope="module")
def flipped(plain: Bundle) -> Bundle:
    return write_flip(plain, plain.path.with_name("flipped"), on=True)


class Counting:
    """A network of means of rows of pixels, so that mirror images differ; it keeps the batch sizes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, images: Pixels) -> Answer:
        self.sizes.append(len(images))
        descriptors = images.mean(axis=(1, 2), dtype=np.float32)
        return descriptors, descriptors[:, None, :3].astype(np.float32)


@pytest.mark.parametrize("largest", [0, 4, 64])
def test_a_descriptor_is_the_mean_direction_of_both_and_strips_are_the_images_own(largest: int) -> None:
    network, images = Counting(), pixels(4, side=8)
    descriptors, strips = with_flip(network, largest)(images)
    own, mirrored = network(images)[0], network(images[..., ::-1])[0]
    expected = (own + mirrored) / np.linalg.norm(own + mirrored, axis=1, keepdims=True)
    np.testing.assert_allclose(descriptors, expected, rtol=1e-6)
    assert strips is not None
    np.testing.assert_array_equal(strips[:, 0], own[:, :3])
    assert network.sizes[:-2] == ([8] if largest == 64 else [4, 4])


@pytest.mark.parametrize("max_batch", [1, 2, 6, 8, 12, 32])
def test_every_batch_that_is_made_has_a_size_that_the_runtime_was_told_of(max_batch: int) -> None:
    sizes = bucket_sizes(max_batch)
    told = passes(sizes)
    assert told[-1] == sizes[-1]
    for size in sizes:
        network = Counting()
        with_flip(network, told[-1])(pixels(size, side=4))
        assert set(network.sizes) <= set(told), size


def test_an_image_and_its_mirror_image_get_one_descriptor(plain: Bundle, flipped: Bundle) -> None:
    spec = plain.manifest.input
    images = pixels(3, spec.height)
    both, alone = Models.load(flipped, "cpu"), Models.load(plain, "cpu")
    found, mirrored = both.embedder.embed(images), both.embedder.embed(images[..., ::-1].copy())
    np.testing.assert_allclose(found.descriptors, mirrored.descriptors, atol=1e-5)
    sums = (
        alone.embedder.embed(images).descriptors + alone.embedder.embed(images[..., ::-1].copy()).descriptors
    )
    np.testing.assert_allclose(
        found.descriptors, sums / np.linalg.norm(sums, axis=1, keepdims=True), atol=1e-5
    )
    strips = alone.embedder.embed(images).strips
    assert found.strips is not None
    assert strips is not None
    np.testing.assert_allclose(found.strips.astype(np.float32), strips.astype(np.float32), atol=1e-3)
    assert not np.allclose(found.descriptors, alone.embedder.embed(images).descriptors, atol=1e-3)


def test_a_lone_image_goes_through_with_its_mirror_image_at_once(
    flipped: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Counting()
    told: list[RuntimeOptions] = []

    def load(_bundle: Bundle, name: str, options: RuntimeOptions) -> Loaded:
        told.append(options)
        return Loaded(name, network, {})

    monkeypatch.setattr(runtime, "load_embedder", load)
    models = Models.load(flipped, "cpu", RuntimeOptions(batch_sizes=(1, 2, 4)))
    spec = flipped.manifest.input
    models.embedder.embed(pixels(1, spec.height))
    assert network.sizes == [2]
    models.embedder.embed(pixels(4, spec.height))
    assert network.sizes == [2, 4, 4]
    assert told[0].batch_sizes == (2, 4)


def test_an_explanation_has_the_similarity_that_a_search_has(flipped: Bundle) -> None:
    spec = flipped.manifest.input
    shown = [Image.fromarray(each.transpose(1, 2, 0)) for each in pixels(2, 64, seed=3)]
    prepared = np.stack([prepare(each, spec) for each in shown])
    one, other = Models.load(flipped, "cpu").embedder.embed(prepared).descriptors
    explained = Explainer(flipped, threads=1).explain(shown[0], shown[1])
    assert explained.similarity == pytest.approx(float(one @ other), abs=1e-5)


def test_a_network_in_torch_is_measured_as_its_bundle_serves_it() -> None:
    network, side = lively(SMALL), SMALL.image_size[0]
    images = pixels(5, side)
    spec = InputSpec(height=side, width=side, flip=True)
    found = NetworkEmbedder(network, spec).embed(images).descriptors
    alone = NetworkEmbedder(network, InputSpec(height=side, width=side))
    sums = alone.embed(images).descriptors + alone.embed(images[..., ::-1].copy()).descriptors
    np.testing.assert_allclose(found, sums / np.linalg.norm(sums, axis=1, keepdims=True), atol=1e-6)


def test_the_fingerprint_tells_them_apart_and_is_that_of_before_without(
    plain: Bundle, flipped: Bundle
) -> None:
    assert flipped.fingerprint != plain.fingerprint
    assert set(plain.manifest.input.model_dump(mode="json")) == {"height", "width", "mean", "std"}
    text = json.loads((plain.path / "manifest.json").read_text())
    assert "flip" not in text["input"], "what was written before there was one reads it, too"
    assert json.loads((flipped.path / "manifest.json").read_text())["input"]["flip"] is True
    off = write_flip(flipped, plain.path.with_name("off"), on=False)
    assert off.fingerprint == plain.fingerprint


def test_flip_cannot_be_set_where_it_is_set(flipped: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="flip is on already"):
        write_flip(flipped, tmp_path / "other", on=True)
