"""A bundle's embedder in 16 bits, beside the one that it has: for the runtime `cuda`.

ONNX Runtime computes in what a graph says. The 8-bit weights become the float16 numbers nearest to what they
stand for, and all operators take float16 but those that bring a descriptor to unit length and the batch norms
of vectors. It needs onnx beside what serving needs, and no torch.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final, TypeGuard

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from models.bundle import EMBEDDER_F16, Bundle, replaced, write_manifest
from models.manifest import FileEntry
from models.runtimes.cuda import Opening
from models.runtimes.forward import RuntimeOptions
from models.runtimes.streams import agreeing
from training.export.errors import ExportError

IN_32_BITS: Final = ("ReduceL2", "Clip", "Div", "Expand")
"""Operators of a unit length: float16 has no number as small as the least length that is divided by."""
IN_F32: Final = RuntimeOptions(precision="f32", batch_sizes=(4,))
IN_F16: Final = RuntimeOptions(precision="f16", batch_sizes=(4,))


def add_f16(bundle: Bundle, folder: Path) -> Bundle:
    """Write a copy of a bundle that has its embedder in 16 bits, too; the fingerprint stays.

    Args:
        bundle: a checked one.
        folder: of the copy; what was there is replaced once the copy is whole. May be the bundle's own.

    Raises:
        ExportError: the two embedders do not agree on the CPU (cosine of at least `AGREE`, every image).
    """
    manifest = bundle.manifest
    with replaced(folder) as draft:
        for name in manifest.files:
            if name != EMBEDDER_F16:
                shutil.copyfile(bundle.path / name, draft / name)
        write_f16(bundle.embedder, draft / EMBEDDER_F16)
        files = {**manifest.files, EMBEDDER_F16: FileEntry.of(draft / EMBEDDER_F16)}
        write_manifest(draft, manifest.model_copy(update={"files": files}))
        written = Bundle.load(draft)
        whole, half = (Opening(written, options, "cpu") for options in (IN_F32, IN_F16))
        made = agreeing(half.open, whole.open(), half.batches)
        if isinstance(made, str):
            raise ExportError(f"{bundle.embedder}: in 16 bits, {made}; it stays as it is")
    return Bundle.load(folder)


def write_f16(embedder: Path, target: Path) -> None:
    """Write an ONNX file's network in float16; its input and its outputs stay float32."""
    # Brings the rest of `onnxruntime.transformers` in, which nothing else needs.
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    model = onnx.load(embedder)
    _unfold(model.graph)
    model = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *IN_32_BITS],
        node_block_list=_named_norms_of_vectors(model),
    )
    _without_detours(model.graph)
    onnx.save(model, target)


def _named_norms_of_vectors(model: onnx.ModelProto) -> list[str]:
    """Names, given here, of each BatchNormalization whose input is not known to be `[B, C, H, W]`.

    With channels last, ONNX Runtime's kernel for CUDA in 16 bits reads the fourth length of any input, and
    ends the process where there is none (see microsoft/onnxruntime#25230); the one in 32 bits does not.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info)
        if value.type.tensor_type.HasField("shape")
    }
    found = [
        node
        for node in model.graph.node
        if node.op_type == "BatchNormalization" and ranks.get(node.input[0]) != 4
    ]
    for node in found:
        # The converter finds nodes by names, which a file may lack or give twice.
        node.name = f"norm_in_32_bits:{node.output[0]}"
    return [node.name for node in found]


def _without_detours(graph: onnx.GraphProto) -> None:
    """Mend what the converter leaves: casts that it writes twice, and casts to 16 bits and back again.

    It has the answer of an operator in 32 bits rounded to 16, also where the next one wants 32.
    """
    made = {tuple(node.output): node for node in graph.node}
    by_output = {name: node for node in made.values() for name in node.output}
    for node in made.values():
        before = by_output.get(node.input[0]) if node.op_type == "Cast" else None
        if _casts_to(node, onnx.TensorProto.FLOAT) and _casts_to(before, onnx.TensorProto.FLOAT16):
            node.op_type = "Identity"
            node.input[0] = before.input[0]
            del node.attribute[:]
    used = {name for node in made.values() for name in node.input} | {each.name for each in graph.output}
    nodes = [node for node in made.values() if used.intersection(node.output)]
    del graph.node[:]
    graph.node.extend(nodes)


def _casts_to(node: onnx.NodeProto | None, kind: int) -> TypeGuard[onnx.NodeProto]:
    return node is not None and node.op_type == "Cast" and node.attribute[0].i == kind


def _unfold(graph: onnx.GraphProto) -> None:
    """Put the numbers that stored weights stand for in the place of nodes that make them."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type in ("DequantizeLinear", "Cast") and node.input[0] in tensors:
            tensors[node.output[0]] = numpy_helper.from_array(_numbers(node, tensors), node.output[0])
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    del graph.initializer[:]
    graph.initializer.extend(tensor for name, tensor in tensors.items() if name in used)
    # The converter takes what is said to be computed for what it has put in 16 bits.
    computed = [value for value in graph.value_info if value.name not in tensors]
    del graph.value_info[:]
    graph.value_info.extend(computed)


def _numbers(node: onnx.NodeProto, tensors: dict[str, onnx.TensorProto]) -> NDArray[np.float32]:
    """What a node of `training.export.quantise` makes of a stored weight."""
    stored = numpy_helper.to_array(tensors[node.input[0]]).astype(np.float32)
    if node.op_type == "Cast":
        return stored
    scale = numpy_helper.to_array(tensors[node.input[1]])
    shape = [1] * stored.ndim
    shape[next((each.i for each in node.attribute if each.name == "axis"), 1)] = -1
    return np.asarray(stored * scale.reshape(shape), np.float32)
