"""The weights that the runtime `torch-cuda` needs in a bundle; they give the numbers of the ONNX file."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from models.network import LKAReID
from training.checkpoints.bundle_weights import CONVOLUTIONS


def unfold_batch_norms(folded: LKAReID) -> LKAReID:
    """The network of the same configuration that gives a folded one's numbers, within rounding.

    A runtime builds networks from the manifest's configuration, with all their norms. One that was folded
    into its convolution becomes a norm that does nothing but add the convolution's bias, where the
    configuration has none.
    """
    network = LKAReID(folded.config).eval()
    state = dict(folded.state_dict())
    for name, norm in network.named_modules():
        if not isinstance(norm, nn.BatchNorm2d) or not isinstance(folded.get_submodule(name), nn.Identity):
            continue
        stem, _, last = name.rpartition(".")
        convolution = f"{stem}.{CONVOLUTIONS[last]}".lstrip(".")
        state[f"{name}.weight"] = torch.ones_like(norm.weight)
        state[f"{name}.running_mean"] = torch.zeros_like(norm.bias)
        state[f"{name}.running_var"] = torch.full_like(norm.bias, 1 - norm.eps)
        state[f"{name}.num_batches_tracked"] = torch.zeros((), dtype=torch.long)
        has_bias = network.get_submodule(convolution).bias is not None
        bias = state[f"{convolution}.bias"] if has_bias else state.pop(f"{convolution}.bias")
        state[f"{name}.bias"] = torch.zeros_like(bias) if has_bias else bias
    network.load_state_dict(state, strict=True)
    return network


def write_torch_weights(folded: LKAReID, path: Path) -> None:
    """Write what `models.runtimes.torch_cuda` reads, for a network as `for_inference` gives it."""
    state = unfold_batch_norms(folded).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
