"""The weights that the runtime `torch-cuda` needs in a bundle; they give the numbers of the ONNX file."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from models.network import LKAReID
from training.checkpoints.unfolding import convolution_before, unfolded


def unfold_batch_norms(folded: LKAReID) -> LKAReID:
    """The network of the same configuration that gives a folded one's numbers, within rounding.

    A runtime builds networks from the manifest's configuration, with all their norms. One that was folded
    into its convolution becomes a norm that does nothing but add the convolution's bias, where the
    configuration has none.
    """
    network = LKAReID(folded.config).eval()
    state, wanted = dict(folded.state_dict()), network.state_dict().keys()
    for name, norm in network.named_modules():
        if not isinstance(norm, nn.BatchNorm2d) or not isinstance(folded.get_submodule(name), nn.Identity):
            continue
        bias = f"{convolution_before(name)}.bias"
        state |= unfolded(network, name, norm, state[bias])
        if bias not in wanted:
            del state[bias]
    network.load_state_dict(state, strict=True)
    return network


def write_torch_weights(folded: LKAReID, path: Path) -> None:
    """Write what `models.runtimes.torch_cuda` reads, for a network as `for_inference` gives it."""
    state = unfold_batch_norms(folded).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
