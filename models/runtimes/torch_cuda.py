"""torch on a GPU: bf16, channels last, one CUDA graph for each batch size.

A bundle holds its networks as ONNX, which torch does not run: this runtime needs one more file in it,
`embedder.safetensors`, the state of `models.network.LKAReID` for the manifest's `network`, listed in the
manifest like every other file; `lka-reid export --torch-weights` writes it. The only module of serving that
imports torch, and only where asked for.

The graphs were not run where this was written, for want of a GPU; on a CPU a test runs the same forward
pass without them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from models.bundle import Bundle, BundleError
from models.network import LKAReID
from models.preprocessing import Pixels, scale_and_offset
from models.runtimes.forward import Loaded, RuntimeNotAvailableError, RuntimeOptions
from models.shape import NetworkConfig

WEIGHTS = "embedder.safetensors"


def load(bundle: Bundle, options: RuntimeOptions, device: str = "cuda") -> Loaded:
    """The bundle's embedder on torch. One caller at a time.

    Args:
        bundle: one with `embedder.safetensors`.
        options: its precision (`auto` is bf16), and the batch sizes to make graphs for.
        device: a torch device; graphs are made on CUDA alone.

    Raises:
        RuntimeNotAvailableError: the bundle has no weights for torch.
        BundleError: its weights do not fit its network.
    """
    if device == "cuda":
        torch.cuda.set_device(options.device)
    network = read_network(bundle).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    dtype = torch.float32 if options.precision == "f32" else torch.bfloat16

    scale, offset = (torch.from_numpy(each).to(device) for each in scale_and_offset(bundle.manifest.input))

    def run(images: Tensor) -> tuple[Tensor, Tensor | None]:
        normalised = images * scale + offset
        with torch.autocast(device, dtype, enabled=dtype is not torch.float32):
            descriptors, strips = network(normalised.contiguous(memory_format=torch.channels_last))
        # bf16 leaves a length that is off by a few thousandths.
        return F.normalize(descriptors.float()), None if strips is None else strips.half()

    graphs: dict[int, Graph] = {}
    if device == "cuda":
        spec = bundle.manifest.input
        # The largest first: the smaller ones then share its memory.
        for size in reversed(options.batch_sizes):
            graphs[size] = Graph(run, (size, 3, spec.height, spec.width))

    def forward(images: Pixels) -> tuple[Any, Any]:
        with torch.inference_mode():
            given = torch.from_numpy(images)
            graph = graphs.get(len(images))
            descriptors, strips = run(given.to(device)) if graph is None else graph.replay(given)
            return descriptors.cpu().numpy(), None if strips is None else strips.cpu().numpy()

    layers = sum(1 for module in network.modules() if not list(module.children()))
    name = "f32" if options.precision == "f32" else "bf16"
    return Loaded(f"torch-cuda-{name}", forward, {device: layers})


def read_network(bundle: Bundle) -> LKAReID:
    """The bundle's network with its weights, for inference.

    Raises:
        RuntimeNotAvailableError: the bundle has no weights for torch.
        BundleError: its weights do not fit its network, every one by name and shape.
    """
    if WEIGHTS not in bundle.manifest.files:
        raise RuntimeNotAvailableError(
            f"runtime 'torch-cuda' needs {WEIGHTS} in the bundle, and {bundle.path} has ONNX files alone; "
            "write it with `lka-reid export --torch-weights` (an experiment's with "
            "`bundle: {torch_weights: true}`), or choose the runtime cuda"
        )
    network = LKAReID(NetworkConfig.from_dict(bundle.manifest.network)).eval()
    try:
        network.load_state_dict(load_file(bundle.path / WEIGHTS), strict=True)
    except RuntimeError as error:
        raise BundleError(f"{bundle.path / WEIGHTS}: does not fit the manifest's network: {error}") from error
    return network


class Graph:
    """A forward pass of one batch size, recorded once and replayed: no launch costs for its many kernels."""

    def __init__(
        self, run: Callable[[Tensor], tuple[Tensor, Tensor | None]], shape: tuple[int, int, int, int]
    ) -> None:
        self._images = torch.zeros(shape, dtype=torch.uint8, device="cuda")
        self._graph = torch.cuda.CUDAGraph()
        with torch.inference_mode():
            # Outside the recording and on a stream of its own, as torch asks: libraries choose their
            # algorithms on their first runs.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    run(self._images)
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(self._graph):
                self._answer = run(self._images)

    def replay(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """The answer to images of the graph's shape; it is overwritten by the next one's."""
        self._images.copy_(images)
        self._graph.replay()
        return self._answer
