"""A bundle on disk whose embedder ONNX Runtime really runs: the mean colours of four quarters."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from models.bundle import write_manifest
from models.inputspec import InputSpec
from models.manifest import EMBEDDER, FileEntry, Manifest

SIDE = 32
DIM = 12


def write_colour_bundle(folder: Path) -> Path:
    """A first stage alone, of 12 dimensions and 32 px."""
    folder.mkdir(parents=True)
    nodes = [
        helper.make_node(
            "AveragePool", ["images"], ["pooled"], kernel_shape=[SIDE // 2] * 2, strides=[SIDE // 2] * 2
        ),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("LpNormalization", ["flat"], ["descriptor"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("descriptor", TensorProto.FLOAT, ["batch", DIM])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / EMBEDDER
    onnx.save(model, path)
    manifest = Manifest(
        name="colours",
        input=InputSpec(height=SIDE, width=SIDE),
        descriptor_dim=DIM,
        network={},
        files={EMBEDDER: FileEntry.of(path)},
    )
    write_manifest(folder, manifest)
    return folder
