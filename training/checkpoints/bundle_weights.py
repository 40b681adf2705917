"""Weights to start from, out of a bundle's ONNX file: 8-bit ones as floats, folded norms unfolded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import Tensor, nn

from models.network import LKAReID
from training.checkpoints.unfolding import convolution_before, unfolded
from training.checkpoints.weights import WeightsError

PREFIX = "network."
"""What the exporter's module names begin with."""


def load_bundle_weights(network: LKAReID, path: Path) -> None:
    """Start a network from a bundle's `embedder.onnx`; its classifiers keep their own initialisation.

    Export folds batch norms into the convolutions before them. Such a norm becomes one that adds the folded
    bias and does nothing else: it must keep its statistics in training (`schedule.freeze_norms`). Matrices
    that belong to a size of map are the network's own, so that the image size may differ from the bundle's.

    Args:
        network: gets them; of the bundle's branches, width and strips.
        path: the ONNX file.

    Raises:
        WeightsError: no such file, no ONNX file, or it does not hold this network's weights; keys are listed.
    """
    stored = _initializers(path)
    state = network.state_dict()
    found = {key: stored[PREFIX + key] for key in state if PREFIX + key in stored}
    for name, norm in network.named_modules():
        if isinstance(norm, nn.BatchNorm2d) and f"{name}.weight" not in found:
            convolution = convolution_before(name)
            bias = stored.get(f"{PREFIX}{convolution}.bias") if convolution is not None else None
            if bias is not None:
                found |= unfolded(network, name, norm, bias)
    own = {
        key
        for key in state
        if ".classifier." in key or key.endswith("num_batches_tracked") or key == "side_information"
    }
    problems = [f"  is missing: {key}" for key in sorted(state.keys() - found.keys() - own)]
    problems += [
        f"  has another shape: {key} {tuple(value.shape)}, and the network wants {tuple(state[key].shape)}"
        for key, value in sorted(found.items())
        if value.shape != state[key].shape
    ]
    if problems:
        raise WeightsError(f"{path}: does not hold this network's weights:\n" + "\n".join(problems[:10]))
    network.load_state_dict(found, strict=False)


def _initializers(path: Path) -> dict[str, Tensor]:
    """Every stored array by the name that the graph uses it under, as floats."""
    try:
        graph = onnx.load(path).graph
    except (OSError, DecodeError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read as a bundle's embedder: {error}") from error
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            levels, scales = (arrays[name].astype(np.float32) for name in node.input[:2])
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            shape = [1] * levels.ndim
            shape[axis] = -1
            arrays[node.output[0]] = levels * scales.reshape(shape)
        elif node.op_type == "Cast" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]].astype(np.float32)
        elif node.op_type == "BatchNormalization":
            # The exporter stores equal arrays once, under the first one's name.
            stem = node.input[3].removesuffix(".running_mean")
            for part, name in zip(
                ("weight", "bias", "running_mean", "running_var"), node.input[1:], strict=True
            ):
                arrays.setdefault(f"{stem}.{part}", arrays[name])
    return {
        name: torch.from_numpy(np.array(values))
        for name, values in arrays.items()
        if name.startswith(PREFIX) and values.dtype == np.float32
    }
