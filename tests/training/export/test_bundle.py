from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from models.bundle import Bundle, BundleError
from models.network import LKAReID
from models.preprocessing import normalise
from models.reranker import RerankerConfig, StripReranker, mixing
from models.runtime import Models
from models.runtimes.ort import open_session
from models.shape import NetworkConfig
from tests.models.explainable import SmallBundle, lively, opinionated_reranker
from tests.training.conftest import SMALL
from training.export import bundle as export
from training.export.bundle import (
    export_bundle,
    export_reranker,
    fold_batch_norms,
    for_inference,
    reranker_for_inference,
)
from training.export.errors import ExportError
from training.export.quantise import quantise, store_as_half


@pytest.fixture(scope="module", params=["fp32", "int8"])
def bundle(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    small_bundle: SmallBundle,
) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundles") / str(request.param), request.param)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_bundle_embeds_and_reranks_batches_of_any_size_as_torch_does(bundle: Bundle, batch: int) -> None:
    models = Models.load(bundle, "cpu")
    assert models.reranker is not None
    network = for_inference(lively(SMALL), "int8" if bundle.path.name == "int8" else "fp32")
    given = np.random.default_rng(0).integers(0, 256, (batch, 3, 64, 64)).astype(np.uint8)
    found = models.embedder.embed(given)
    images = torch.from_numpy(normalise(given, models.embedder.input))
    with torch.inference_mode():
        descriptors, strips = network(images)
        expected = opinionated_reranker()(strips, strips.flip(0).unsqueeze(1), torch.zeros(batch, 1))
    np.testing.assert_allclose(found.descriptors, descriptors.numpy(), atol=1e-5)
    assert found.strips is not None
    assert found.strips.dtype == np.float16
    np.testing.assert_allclose(found.strips, strips.numpy(), atol=1e-3)
    distances = models.reranker.distances(
        found.strips, found.strips[::-1, None], np.zeros((batch, 1), dtype=np.float32)
    )
    np.testing.assert_allclose(distances, expected.numpy(), atol=5e-3)


def test_a_bundle_names_no_path_of_the_machine_that_made_it(bundle: Bundle) -> None:
    here = str(Path(export.__file__).parents[2]).encode()
    for path in bundle.path.iterdir():
        assert here not in path.read_bytes()


def test_8_bit_weights_make_the_file_smaller(bundle: Bundle) -> None:
    model = onnx.load(bundle.embedder)
    kinds = {node.op_type for node in model.graph.node}
    assert ("DequantizeLinear" in kinds) == (bundle.path.name == "int8")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_projection_is_served_as_torch_computes_it(tmp_path: Path, precision: export.Precision) -> None:
    network = lively(SMALL)
    columns = torch.linalg.qr(torch.randn(SMALL.descriptor_dim, 24))[0]
    served = for_inference(network.with_projection(columns), precision)
    path = tmp_path / "embedder.onnx"
    export.export_embedder(served, path, precision)
    images = torch.randn(2, 3, 64, 64)
    found = open_session(path, "cpu", 1).run(["descriptor"], {"images": images.numpy()})[0]
    with torch.inference_mode():
        np.testing.assert_allclose(found, served(images)[0].numpy(), atol=1e-6)
    assert np.abs(found @ columns.numpy()).max() < (1e-6 if precision == "fp32" else 2e-3)


@pytest.mark.slow
def test_a_rerankers_weights_in_16_bits_say_what_torch_says_with_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reranker = StripReranker(RerankerConfig(strip_width=64, heads=4))
    nn.init.normal_(mixing(reranker.probe_attention).output.weight, std=0.2)
    rounded = reranker_for_inference(reranker, "int8")
    sizes = []
    for name, store in (("whole", lambda _: None), ("half", store_as_half)):
        path = tmp_path / f"{name}.onnx"
        export_reranker(rounded, 4, path)
        store(path)
        sizes.append(path.stat().st_size)
        given = (torch.randn(2, 4, 64), torch.randn(2, 3, 4, 64), torch.rand(2, 3))
        inputs = dict(zip(("probes", "candidates", "similarities"), (g.numpy() for g in given), strict=True))
        found = open_session(path, "cpu", 1).run(["distances"], inputs)[0]
        with torch.inference_mode():
            np.testing.assert_allclose(found, rounded(*given).numpy(), rtol=1e-5, atol=1e-5)
    assert sizes[1] < 0.75 * sizes[0]


def test_images_of_another_size_are_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match=r"bundle wants \(B, 3, 64, 64\)"):
        Models.load(bundle, "cpu").embedder.embed(np.zeros((1, 3, 32, 64), dtype=np.uint8))


def test_folding_the_norms_changes_nothing_but_the_rounding() -> None:
    network = lively(SMALL)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        plain, folded = network(images), fold_batch_norms(network)(images)
    torch.testing.assert_close(folded[0], plain[0], atol=1e-5, rtol=1e-4)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fold_batch_norms(network).trunk.modules())


def test_quantising_twice_is_quantising_once() -> None:
    weight = np.random.default_rng(0).normal(size=(7, 5, 3, 3)).astype(np.float32)
    levels, scale = quantise(weight)
    rounded = (levels * scale.reshape(-1, 1, 1, 1)).astype(np.float32)
    again, same_scale = quantise(rounded)
    np.testing.assert_array_equal(again, levels)
    np.testing.assert_allclose(same_scale, scale, rtol=1e-6)
    assert np.abs(rounded - weight).max() <= scale.max() / 2 + 1e-7


@pytest.mark.slow
def test_an_export_that_disagrees_with_torch_fails_and_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"files": {"old": {}}}')
    (folder / "old").touch()

    def exported_wrongly(_: LKAReID, path: Path, precision: export.Precision, *, explainable: bool) -> None:
        wrong = for_inference(lively(NetworkConfig(**{**SMALL.__dict__, "depth": (1, 2, 1, 1)})), precision)
        original(wrong, path, precision, explainable=explainable)

    original = export.export_embedder
    monkeypatch.setattr(export, "export_embedder", exported_wrongly)
    with pytest.raises(ExportError, match=r"ONNX Runtime and torch differ: cosine"):
        export_bundle(
            folder,
            name="x",
            network=for_inference(lively(SMALL), "fp32"),
            reranker=None,
            precision="fp32",
        )
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.slow
def test_explaining_parts_that_disagree_with_torch_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exported_wrongly(_: StripReranker, strips: int, path: Path) -> None:
        wrong = StripReranker(RerankerConfig(strip_width=16, heads=4))
        nn.init.normal_(wrong.probe_attention.query.weight, std=1.0)
        nn.init.normal_(wrong.probe_attention.key.weight, std=1.0)
        original(wrong, strips, path)

    original = export.export_explainer
    monkeypatch.setattr(export, "export_explainer", exported_wrongly)
    with pytest.raises(ExportError, match=r"probe_attention of ONNX Runtime and torch differ by"):
        export_bundle(
            tmp_path / "bundle",
            name="x",
            network=for_inference(lively(SMALL), "fp32"),
            reranker=opinionated_reranker(),
            precision="fp32",
        )
    assert not list(tmp_path.iterdir())


def test_a_changed_file_is_named(bundle: Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in bundle.path.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    damaged = bytearray((copy / "reranker.onnx").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (copy / "reranker.onnx").write_bytes(damaged)
    with pytest.raises(BundleError, match=r"reranker\.onnx: its SHA-256 is not the manifest's"):
        Bundle.load(copy)
    (copy / "reranker.onnx").write_bytes(damaged[:-1])
    with pytest.raises(BundleError, match=r"reranker\.onnx: has .* bytes"):
        Bundle.load(copy)
    (copy / "reranker.onnx").unlink()
    with pytest.raises(BundleError, match=r"reranker\.onnx: is missing"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{}", "name: Field required"), ("not json", "manifest.json: is not JSON")],
)
def test_a_manifest_that_does_not_read_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=message):
        Bundle.load(tmp_path)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such file; a bundle is a directory made by `lka-reid export`"):
        Bundle.load(tmp_path)
