"""How an exported file's weights are stored: in 8 or 16 bits, and as 32 again once it is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

STORED_FROM = 4096


def quantise(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric 8-bit rounding, one scale for each output channel (axis 0); a fixed point of itself."""
    flat = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scale = np.where(flat > 0, flat / 127, 1).astype(np.float32)
    spread = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return np.rint(weight / spread).clip(-127, 127).astype(np.int8), scale


def store_as_int8(path: Path) -> None:
    """Rewrite an ONNX file: large weights become int8 with one DequantizeLinear each."""
    model = onnx.load(path)
    graph = model.graph
    kept = []
    nodes = []
    consumers = {name: node.op_type for node in graph.node for name in node.input}
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        axis = _channel_axis(graph, tensor.name, consumers.get(tensor.name, ""))
        if values.dtype != np.float32 or values.size < STORED_FROM or axis is None:
            kept.append(tensor)
            continue
        levels, scale = quantise(np.moveaxis(values, axis, 0))
        stored, scales = f"{tensor.name}.int8", f"{tensor.name}.scale"
        kept.append(numpy_helper.from_array(np.ascontiguousarray(np.moveaxis(levels, 0, axis)), stored))
        kept.append(numpy_helper.from_array(scale, scales))
        nodes.append(helper.make_node("DequantizeLinear", [stored, scales], [tensor.name], axis=axis))
    _rewrite(model, path, kept, nodes)


def store_as_half(path: Path) -> None:
    """Rewrite an ONNX file: large weights become float16 with one Cast each."""
    model = onnx.load(path)
    graph = model.graph
    kept, nodes = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < STORED_FROM:
            kept.append(tensor)
            continue
        stored = f"{tensor.name}.half"
        kept.append(numpy_helper.from_array(values.astype(np.float16), stored))
        nodes.append(helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT))
    _rewrite(model, path, kept, nodes)


def _rewrite(
    model: onnx.ModelProto, path: Path, kept: list[onnx.TensorProto], nodes: list[onnx.NodeProto]
) -> None:
    """Save a model with these constants, and these nodes before its own."""
    graph = model.graph
    rest = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes + rest)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _channel_axis(graph: onnx.GraphProto, name: str, consumer: str) -> int | None:
    if consumer == "Conv":
        return 0
    for node in graph.node:
        if name in node.input and node.op_type == "Gemm":
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            return 0 if transposed else 1
        if name in node.input and node.op_type == "MatMul":
            return 1
    return None


def widen(path: Path, target: Path) -> None:
    """Undo `store_as_half` in a copy, and turn constants where they are turned in the graph.

    For tools that look for a product's weights among the constants.
    """
    model = onnx.load(path)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        source = constants.get(node.input[0]) if node.input else None
        widened = node.op_type == "Cast" and node.input[0].endswith(".half")
        if source is None or not (widened or node.op_type == "Transpose"):
            nodes.append(node)
            continue
        values = numpy_helper.to_array(source)
        if widened:
            values = values.astype(np.float32)
        else:
            order = [list(a.ints) for a in node.attribute if a.name == "perm"]
            values = np.ascontiguousarray(values.transpose(order[0] if order else None))
        constants[node.output[0]] = numpy_helper.from_array(values, node.output[0])
    used = {name for node in nodes for name in node.input}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensor for name, tensor in constants.items() if name in used)
    onnx.checker.check_model(model)
    onnx.save(model, target)
