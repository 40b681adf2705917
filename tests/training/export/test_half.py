"""The embedder in 16 bits: it answers as the other one, and nothing else of the bundle changes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from models.bundle import EMBEDDER_F16, Bundle
from models.runtimes import cuda
from models.runtimes.binding import Bound
from models.runtimes.cuda import Opening
from models.runtimes.forward import Precision, RuntimeNotAvailableError, RuntimeOptions
from models.runtimes.ort import load
from tests.models.explainable import SmallBundle
from training.export import half
from training.export.bundle import Precision as Stored
from training.export.errors import ExportError
from training.export.half import add_f16

pytestmark = pytest.mark.slow  # bundles are exported

OPTIONS = RuntimeOptions(threads=1, batch_sizes=(1, 2), graphs=False)


@pytest.fixture(scope="module", params=["fp32", "fp16", "int8"])
def bundle(
    tmp_path_factory: pytest.TempPathFactory, small_bundle: SmallBundle, request: pytest.FixtureRequest
) -> Bundle:
    stored: Stored = request.param
    return small_bundle(tmp_path_factory.mktemp("half") / "bundle", stored, rerank=False)


@pytest.fixture
def processes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started; `test_a_file_that_ends_its_process_is_left_out_or_refused` starts some."""
    monkeypatch.setattr(cuda, "why_no_process_runs", lambda *_, **__: None)


def test_it_is_one_more_file_and_galleries_stay_valid(bundle: Bundle, tmp_path: Path) -> None:
    made = add_f16(bundle, tmp_path / "made")
    assert made.fingerprint == bundle.fingerprint
    assert made.manifest.files.keys() - bundle.manifest.files.keys() == {EMBEDDER_F16}
    assert made.embedder.read_bytes() == bundle.embedder.read_bytes()
    graph = onnx.load(made.path / EMBEDDER_F16).graph
    kinds = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) > 1}
    assert kinds == {onnx.TensorProto.FLOAT16}
    # Done again, in its own place.
    assert add_f16(made, made.path).manifest.files == made.manifest.files


def test_no_norm_of_vectors_is_in_16_bits(bundle: Bundle, tmp_path: Path) -> None:
    """With channels last, ONNX Runtime's kernel for it on CUDA ends the process."""
    half.write_f16(bundle.embedder, tmp_path / "half.onnx")
    assert norms(tmp_path / "half.onnx") == {(4, onnx.TensorProto.FLOAT16), (2, onnx.TensorProto.FLOAT)}


def test_a_norm_whose_input_is_of_unknown_rank_and_has_no_name_stays_in_32_bits(tmp_path: Path) -> None:
    made = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["": 20]>
        g (float[batch, 4] images, int64[rank] shape) => (float[batch, 4] descriptor)
        <float[4] one = {1, 1, 1, 1}, float[4] zero = {0, 0, 0, 0}> {
            reshaped = Reshape(images, shape)
            normed = BatchNormalization(reshaped, one, zero, zero, one)
            doubled = Add(normed, normed)
            descriptor = Relu(doubled)
        }
        """
    )
    onnx.save(made, tmp_path / "whole.onnx")
    half.write_f16(tmp_path / "whole.onnx", tmp_path / "half.onnx")
    assert norms(tmp_path / "half.onnx") == {(None, onnx.TensorProto.FLOAT)}
    kinds = {node.op_type for node in onnx.load(tmp_path / "half.onnx").graph.node}
    assert "Cast" in kinds


def norms(path: Path) -> set[tuple[int | None, int]]:
    """The input's rank and the scale's type of each BatchNormalization in a file."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in graph.value_info
        if value.type.tensor_type.HasField("shape")
    }
    scales = {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {
        (ranks.get(node.input[0]), scales[node.input[1]])
        for node in graph.node
        if node.op_type == "BatchNormalization"
    }


@pytest.mark.usefixtures("processes_agree")
def test_cuda_computes_with_it_where_it_is_there(bundle: Bundle, tmp_path: Path) -> None:
    made = add_f16(bundle, tmp_path / "made")
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), np.uint8)
    wanted, _ = load(bundle, OPTIONS).forward(images)
    tried: tuple[tuple[Precision, str], ...] = (
        ("auto", "cuda-f16"),
        ("f16", "cuda-f16"),
        ("f32", "cuda-f32"),
    )
    for precision, name in tried:
        loaded = cuda.load(
            made, RuntimeOptions(threads=1, batch_sizes=(1, 2), graphs=False, precision=precision), "cpu"
        )
        assert loaded.runtime == name
        assert loaded.left_out.keys() == {"CUDA graphs"}
        found, _ = loaded.forward(images)
        gap = np.abs(found - wanted).max()
        assert (0 < gap < 2e-3) if name == "cuda-f16" else gap < 1e-6
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.usefixtures("processes_agree")
def test_one_that_answers_something_else_is_left_out_or_refused(bundle: Bundle, tmp_path: Path) -> None:
    made = add_f16(bundle, tmp_path / "made")
    graph = onnx.load(made.path / EMBEDDER_F16)
    for tensor in graph.graph.initializer:
        if tensor.raw_data and len(tensor.dims) > 1:
            tensor.raw_data = np.random.default_rng(0).normal(0, 1, list(tensor.dims)).astype("f2").tobytes()
    onnx.save(graph, made.path / EMBEDDER_F16)
    loaded = cuda.load(made, OPTIONS, "cpu")
    assert loaded.runtime == "cuda-tf32"
    assert "cosine" in loaded.left_out["f16"]
    with pytest.raises(RuntimeNotAvailableError, match=r"does not serve: .*cosine.*LKA_REID_PRECISION=f32"):
        cuda.load(made, RuntimeOptions(threads=1, graphs=False, precision="f16"), "cpu")


def test_a_file_that_ends_its_process_is_left_out_or_refused(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does whose norms of vectors are in 16 bits, on CUDA with channels last."""
    made = add_f16(bundle, tmp_path / "made")
    tried = Opening(made, replace(OPTIONS, precision="f16"), "cpu")
    assert cuda.why_no_process_runs(tried) is None
    ended: list[Path] = []
    real = Opening.open

    def opened(opening: Opening, *, records: bool = False) -> Bound:
        # This process must not, in which the other's end would be its own.
        assert opening.options.precision != "f16"
        return real(opening, records=records)

    def command(_module: str, arguments: list[str | int]) -> list[str]:
        ended.append(Path(str(arguments[0])))
        return [sys.executable, "-c", "import os; os.abort()"]

    monkeypatch.setattr(Opening, "open", opened)
    monkeypatch.setattr(cuda, "command_line", command)
    loaded = cuda.load(made, OPTIONS, "cpu")
    assert ended == [made.path]
    assert loaded.runtime == "cuda-tf32"
    assert loaded.left_out["f16"].startswith("a process that tried it ended by signal 6 (Aborted)")
    with pytest.raises(RuntimeNotAvailableError, match=r"a process .* by signal 6 .*add-f16"):
        cuda.load(made, replace(OPTIONS, precision="f16"), "cpu")


def test_f16_without_the_file_names_the_command(bundle: Bundle) -> None:
    with pytest.raises(RuntimeNotAvailableError, match=r"embedder\.f16\.onnx .* `lka-reid add-f16`"):
        cuda.load(bundle, RuntimeOptions(threads=1, precision="f16"), "cpu")


def test_graphs_that_differ_leave_the_bundle_as_it_was(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half, "agreeing", lambda *_: "4 images have descriptors with a cosine of 0.9")
    with pytest.raises(ExportError, match=r"embedder\.onnx: in 16 bits, 4 images .* cosine of 0\.9"):
        add_f16(bundle, tmp_path / "made")
    assert list(tmp_path.iterdir()) == []
