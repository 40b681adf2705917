"""Runtimes: which one is chosen, and that each gives the same numbers for an image."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from models.bundle import Bundle, BundleError
from models.inputspec import InputSpec
from models.manifest import EMBEDDER
from models.network import LKAReID
from models.preprocessing import Pixels, normalise, scale_and_offset
from models.runtime import Models
from models.runtimes import choice, torch_cuda
from models.runtimes.binding import NORMALISATION, Bound
from models.runtimes.choice import Trial, choose_runtime
from models.runtimes.forward import Floats, Precision, RuntimeNotAvailableError, RuntimeOptions
from models.runtimes.ort import open_session
from models.runtimes.trial import Lack
from tests.models.explainable import SmallBundle, lively
from tests.models.torch_weights import with_torch_weights
from tests.training.conftest import SMALL
from training.export.bundle import export_bundle, for_inference

OPENVINO = find_spec("openvino") is not None


def among(*there: str) -> dict[str, Trial]:
    """Runtimes of which these start, and the others say what they lack."""
    return {
        name: (lambda: None) if name in there else (lambda name=name: Lack(f"install {name}"))  # type: ignore[misc]
        for name in choice.trials()
    }


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (("cuda", "openvino", "cpu"), "cuda"),
        (("openvino", "cpu"), "openvino"),
        (("torch-cuda", "cpu"), "cpu"),
        (("cpu",), "cpu"),
    ],
)
def test_auto_takes_the_first_that_starts_and_says_why_not_those_before(
    there: tuple[str, ...], expected: str
) -> None:
    chosen = choose_runtime("auto", among=among(*there))
    assert chosen.name == expected
    before = choice.AUTO[: choice.AUTO.index(expected)]
    assert chosen.left_out == {name: f"install {name}" for name in before}


def test_auto_says_why_none_starts_rather_than_take_one_that_does_not() -> None:
    with pytest.raises(
        RuntimeNotAvailableError, match=r"cuda: install cuda; openvino: install .*; cpu: inst"
    ):
        choose_runtime("auto", among=among())


def test_auto_takes_none_that_would_not_honour_the_precision() -> None:
    chosen = choose_runtime("auto", "bf16", among("cuda", "openvino", "cpu"))
    assert chosen.name == "openvino"
    assert "computes in f32 or f16, not in bf16" in chosen.left_out["cuda"]


@pytest.mark.parametrize("wanted", list(choice.trials()))
def test_a_runtime_that_does_not_start_is_refused_and_nothing_falls_back(wanted: str) -> None:
    others = [name for name in choice.trials() if name != wanted]
    with pytest.raises(RuntimeNotAvailableError, match=f"'{wanted}' is not available: install {wanted}"):
        choose_runtime(wanted, among=among(*others))
    assert choose_runtime(wanted, among=among(wanted)).name == wanted


@pytest.mark.parametrize(
    ("runtime", "precision", "others"),
    [
        ("cpu", "bf16", "torch-cuda or openvino"),
        ("cuda", "bf16", "torch-cuda or openvino"),
    ],
)
def test_a_precision_that_a_runtime_does_not_honour_is_refused(
    runtime: str, precision: Precision, others: str
) -> None:
    with pytest.raises(RuntimeNotAvailableError, match=f"precision {precision}: .* choose {others}"):
        choose_runtime(runtime, precision, among(runtime))


def test_an_unknown_runtime_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        RuntimeNotAvailableError, match="unknown runtime 'tpu'; there are auto, cuda, torch-cuda"
    ):
        choose_runtime("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("wanted", "remedy"),
    [("cuda", r"lka-reid\[gpu\]"), ("torch-cuda", "sees no GPU")],
)
def test_without_a_gpu_its_runtimes_are_refused_with_the_remedy(wanted: str, remedy: str) -> None:
    with pytest.raises(RuntimeNotAvailableError, match=remedy):
        choose_runtime(wanted)


def test_where_the_nodes_of_the_graph_run_is_told(bundle: Bundle) -> None:
    models = Models.load(bundle, "cpu", RuntimeOptions(threads=1))
    assert list(models.nodes) == ["CPUExecutionProvider"]
    assert models.nodes["CPUExecutionProvider"] > 20


@pytest.mark.skipif(not OPENVINO, reason="the openvino package is not installed")
def test_openvino_tells_in_which_precision_its_nodes_run(bundle: Bundle) -> None:
    models = Models.load(bundle, "openvino", RuntimeOptions(threads=1, precision="f32"))
    assert models.nodes["CPU f32"] > 10
    assert not [where for where in models.nodes if "bf16" in where]


@pytest.fixture(scope="module", params=["fp32", "int8"])
def bundle(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    small_bundle: SmallBundle,
) -> Bundle:
    folder = tmp_path_factory.mktemp("runtimes") / str(request.param)
    return small_bundle(folder, request.param, rerank=False)


def images(count: int) -> Pixels:
    shades = np.random.default_rng(0).normal(118, 58, (count, 3, 64, 64))
    return shades.clip(0, 255).astype(np.uint8)


def test_a_runtime_gets_the_numbers_that_mean_and_std_were_taken_out_of(bundle: Bundle) -> None:
    for threads, count in ((1, 3), (2, 4)):
        found = Models.load(bundle, "cpu", RuntimeOptions(threads=threads)).embedder.embed(images(count))
        given = normalise(images(count), bundle.manifest.input)
        parts = np.split(given, threads)
        session = open_session(bundle.embedder, "cpu", 1)
        wanted = [session.run(["descriptor", "strips"], {"images": part}) for part in parts]
        np.testing.assert_array_equal(found.descriptors, np.concatenate([part[0] for part in wanted]))
        assert found.strips is not None
        strips = np.concatenate([part[1] for part in wanted]).astype(np.float16)
        np.testing.assert_array_equal(found.strips, strips)


def test_numbers_that_are_normalised_already_are_refused(bundle: Bundle) -> None:
    embedder = Models.load(bundle, "cpu", RuntimeOptions(threads=1)).embedder
    with pytest.raises(ValueError, match="images are float32, prepared ones are uint8"):
        embedder.embed(normalise(images(1), bundle.manifest.input))  # type: ignore[arg-type]


@pytest.mark.skipif(not OPENVINO, reason="the openvino package is not installed")
@pytest.mark.parametrize(
    ("precision", "cosine", "gap"), [("f32", 0.99999, 2e-3), ("bf16", 0.999, 5e-2), ("auto", 0.999, 5e-2)]
)
def test_openvino_agrees_with_onnx_runtime(
    bundle: Bundle, precision: Precision, cosine: float, gap: float
) -> None:
    options = RuntimeOptions(threads=1, precision=precision)
    try:
        models = Models.load(bundle, "openvino", options)
    except RuntimeNotAvailableError as error:
        pytest.skip(str(error))
    assert models.runtime in ("openvino-f32", "openvino-bf16")
    assert precision == "auto" or models.runtime == f"openvino-{precision}"
    expected = Models.load(bundle, "cpu", RuntimeOptions(threads=1)).embedder
    for count in (1, 3):
        found, wanted = models.embedder.embed(images(count)), expected.embed(images(count))
        assert (found.descriptors * wanted.descriptors).sum(axis=1).min() > cosine
        assert found.descriptors.dtype == np.float32
        assert found.strips is not None
        assert wanted.strips is not None
        np.testing.assert_allclose(
            found.strips.astype(np.float32), wanted.strips.astype(np.float32), atol=gap
        )


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_batch_that_goes_through_in_parts_says_what_its_images_say_alone(
    bundle: Bundle, count: int
) -> None:
    together = Models.load(bundle, "cpu", RuntimeOptions(threads=2)).embedder.embed(images(count))
    alone = Models.load(bundle, "cpu", RuntimeOptions(threads=1)).embedder
    assert len(together.descriptors) == count
    assert together.strips is not None
    for row, image in enumerate(images(count)):
        expected = alone.embed(image[None])
        assert expected.strips is not None
        np.testing.assert_allclose(together.descriptors[row], expected.descriptors[0], atol=1e-5)
        np.testing.assert_allclose(together.strips[row], expected.strips[0], atol=2e-3)


LET_GO_ELSEWHERE = """
import os, signal, sys, threading
from pathlib import Path
from models.bundle import Bundle
from models.runtime import Models
from models.runtimes.forward import RuntimeOptions
from models.runtimes.trial import why_not_openvino

assert why_not_openvino() is None
models = [Models.load(Bundle.load(Path(sys.argv[1])), "openvino", RuntimeOptions(threads=1))]
thread = threading.Thread(target=models.clear)
thread.start()
thread.join()
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.skipif(not OPENVINO, reason="the openvino package is not installed")
def test_a_signal_does_no_harm_after_openvino_was_let_go_on_another_thread(bundle: Bundle) -> None:
    words = [sys.executable, "-c", LET_GO_ELSEWHERE, str(bundle.path)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


@pytest.mark.skipif(not OPENVINO, reason="the openvino package is not installed")
def test_openvino_computes_no_output_that_queries_do_not_need(bundle: Bundle) -> None:
    from models.runtimes.openvino import read_model

    assert bundle.manifest.activations is not None
    model = read_model(bundle.embedder, {"descriptor", "strips"})
    assert [output.get_any_name() for output in model.outputs] == ["descriptor", "strips"]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_torch_gives_the_numbers_of_onnx_from_exported_weights(
    tmp_path: Path, precision: Literal["fp32", "int8"]
) -> None:
    network = for_inference(lively(SMALL), precision)
    export_bundle(
        tmp_path / "whole",
        name="small",
        network=network,
        reranker=None,
        precision=precision,
        torch_weights=True,
        explainable=False,
    )
    whole = Bundle.load(tmp_path / "whole")
    # Vouched for by the manifest like any other file.
    assert set(whole.manifest.files) == {EMBEDDER, torch_cuda.WEIGHTS}
    forward = torch_cuda.load(whole, RuntimeOptions(precision="f32"), device="cpu").forward
    descriptors, strips = forward(images(3))
    wanted = Models.load(whole, "cpu").embedder.embed(images(3))
    np.testing.assert_allclose(descriptors, wanted.descriptors, atol=1e-5)
    assert strips is not None
    assert wanted.strips is not None
    np.testing.assert_allclose(strips.astype(np.float32), wanted.strips.astype(np.float32), atol=2e-3)


@pytest.mark.parametrize(("precision", "cosine"), [("f32", 0.9999), ("bf16", 0.999)])
def test_torch_runs_a_bundle_that_has_its_weights(
    bundle: Bundle, tmp_path: Path, precision: Precision, cosine: float
) -> None:
    whole = with_torch_weights(bundle, tmp_path / "whole", lively(SMALL))
    forward = torch_cuda.load(whole, RuntimeOptions(precision=precision), device="cpu").forward
    descriptors, strips = forward(images(2))
    wanted = Models.load(bundle, "cpu").embedder.embed(images(2))
    assert (descriptors * wanted.descriptors).sum(axis=1).min() > cosine
    assert strips is not None
    assert strips.dtype == np.float16


def test_torch_needs_its_own_weights_and_says_so(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeNotAvailableError, match=r"embedder\.safetensors .* `lka-reid export --torch-weights`"
    ):
        torch_cuda.load(bundle, RuntimeOptions(), device="cpu")
    other = LKAReID(dataclasses.replace(SMALL, width=16))
    foreign = with_torch_weights(bundle, tmp_path / "foreign", other)
    with pytest.raises(BundleError, match="does not fit the manifest's network"):
        torch_cuda.load(foreign, RuntimeOptions(), device="cpu")


def test_memory_that_is_kept_gives_what_a_plain_run_gives(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert manifest.strips is not None
    shapes = {"descriptor": (manifest.descriptor_dim,), "strips": manifest.strips}
    sessions = {size: open_session(bundle.embedder, "cpu", 1, fixed={"batch": size}) for size in (2, 1)}
    bound = Bound(sessions, open_session(NORMALISATION, "cpu", 1), shapes, manifest.input, ("cpu", 0))
    plain = Models.load(bundle, "cpu", RuntimeOptions(threads=1)).embedder
    before: list[Floats] = []
    for count in (2, 1, 2, 3):
        descriptors, strips = bound(images(count))
        wanted = plain.embed(images(count))
        # Taken out by a graph or by numpy; in a session for the one size or for any.
        np.testing.assert_array_equal(descriptors, wanted.descriptors)
        assert strips is not None
        assert wanted.strips is not None
        np.testing.assert_array_equal(strips.astype(np.float16), wanted.strips)
        before.append(descriptors)
    # What was answered is not written to by the next batch.
    bound(images(2)[::-1].copy())
    np.testing.assert_array_equal(before[0], before[2])


def test_the_graph_that_normalises_is_a_cast_a_product_and_a_sum() -> None:
    tensor = helper.make_tensor_value_info
    shape: list[str | int | None] = ["b", 3, "h", "w"]
    one: list[str | int | None] = [3, 1, 1]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["c"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["c", "scale"], ["m"]),
            helper.make_node("Add", ["m", "offset"], ["normalised"]),
        ],
        "n",
        [
            tensor("images", TensorProto.UINT8, shape),
            tensor("scale", TensorProto.FLOAT, one),
            tensor("offset", TensorProto.FLOAT, one),
        ],
        [tensor("normalised", TensorProto.FLOAT, shape)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert onnx.load_from_string(NORMALISATION) == made


def test_the_graph_that_normalises_gives_every_byte_the_value_that_numpy_gives() -> None:
    spec = InputSpec(height=16, width=16)
    given = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(16, 16), (2, 3, 16, 16))
    scale, offset = scale_and_offset(spec)
    session = open_session(NORMALISATION, "cpu", 1)
    [found] = session.run(None, {"images": np.ascontiguousarray(given), "scale": scale, "offset": offset})
    np.testing.assert_array_equal(found, normalise(given, spec))
