"""torch on a GPU: weights and products in bf16, channels last, CUDA graphs, several batches at the same time.

A bundle holds its networks as ONNX, which torch does not run: this runtime needs one more file in it,
`embedder.safetensors`, the state of `models.network.LKAReID` for the manifest's `network`, listed in the
manifest like every other file; `lka-reid export --torch-weights` writes it. The only module of serving that
imports torch (with `torch_graphs`), and only where asked for.

Graphs and streams are tried before they serve, and left out with the reason where they fail. On a CPU tests
run the same forward pass without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from models.bundle import Bundle, BundleError
from models.network import LKAReID
from models.preprocessing import scale_and_offset
from models.runtimes.forward import Forward, Loaded, RuntimeNotAvailableError, RuntimeOptions
from models.runtimes.streams import (
    GRAPHS,
    SWITCHED_OFF,
    Stream,
    agreeing,
    open_streams,
    trial_batches,
)
from models.runtimes.torch_graphs import Eager, Graphs, Run
from models.shape import NetworkConfig

WEIGHTS = "embedder.safetensors"
Recording = Callable[[Run, Sequence[int], int, int, torch.device], Forward]


def load(
    bundle: Bundle, options: RuntimeOptions, device: str = "cuda", recording: Recording | None = None
) -> Loaded:
    """The bundle's embedder on torch, for as many threads at the same time as the answer's `streams`.

    Args:
        bundle: one with `embedder.safetensors`.
        options: its precision (`auto` is bf16), the batch sizes, whether graphs are made, how many streams.
        device: a kind of torch device; graphs and streams are made on CUDA alone.
        recording: what stands in for `Graphs`, and for a GPU, in tests.

    Raises:
        RuntimeNotAvailableError: the bundle has no weights for torch.
        BundleError: its weights do not fit its network.
    """
    where = torch.device(device, options.device) if device == "cuda" else torch.device(device)
    if options.precision == "f32":
        # Else convolutions are computed in TF32, with 10 bits of a factor's 23.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    network = prepared(bundle, options, where)
    run = forward_pass(network, bundle, options, where)
    if recording is None and device == "cuda":
        recording = Graphs
    first, spec = Stream(), bundle.manifest.input
    plain: Forward = first.run(lambda: Eager(run, where))
    layers = {device: sum(1 for module in network.modules() if not list(module.children()))}
    name = "torch-cuda-" + ("f32" if options.precision == "f32" else "bf16")
    if recording is None:
        return Loaded(name, plain, layers)

    def recorded() -> Forward:
        return recording(run, options.batch_sizes, spec.height, spec.width, where)

    batches = trial_batches(options.batch_sizes, spec.height, spec.width)

    forward, left_out = plain, {}
    more: Callable[[], Forward] = lambda: Eager(run, where)  # noqa: E731
    made = first.run(lambda: agreeing(recorded, plain, batches)) if options.graphs else SWITCHED_OFF
    if isinstance(made, str):
        left_out[GRAPHS] = made
    else:
        forward, more = made, recorded
    opened = open_streams((first, forward), more, options.streams, batches)
    return Loaded(name, opened.forward, layers, opened.count, {**left_out, **opened.left_out})


def prepared(bundle: Bundle, options: RuntimeOptions, device: torch.device) -> LKAReID:
    """The bundle's network on a device, its weights as `options.precision` has them.

    For bf16 the weights of convolutions and linear layers are stored as what autocast would round them to for
    every batch; norms, and what is added or multiplied outside of layers, stay float32.

    Raises:
        RuntimeNotAvailableError, BundleError: see `read_network`.
    """
    network = read_network(bundle)
    if options.precision != "f32":
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                module.to(torch.bfloat16)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def forward_pass(network: LKAReID, bundle: Bundle, options: RuntimeOptions, device: torch.device) -> Run:
    """From images as bytes on the device to descriptors and strips there."""
    dtype = torch.float32 if options.precision == "f32" else torch.bfloat16
    scale, offset = (torch.from_numpy(each).to(device) for each in scale_and_offset(bundle.manifest.input))

    def run(images: Tensor) -> tuple[Tensor, Tensor | None]:
        normalised = images * scale + offset
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            descriptors, strips = network(normalised.contiguous(memory_format=torch.channels_last))
        # bf16 leaves a length that is off by a few thousandths.
        return F.normalize(descriptors.float()), None if strips is None else strips.half()

    return run


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
