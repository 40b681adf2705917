"""Export to a bundle: ONNX files that are compared with torch before the manifest lists them."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.bundle import EXPLAINER, RERANKER, replaced, write_manifest
from models.inputspec import InputSpec
from models.manifest import EMBEDDER, Accuracy, FileEntry, Manifest, RerankerEntry, Training
from models.network import LKAReID
from models.projection import Projection
from models.reranker import CANDIDATES, StripReranker
from models.runtimes.torch_cuda import WEIGHTS
from models.trunk import Bottleneck, Trunk
from training.export.errors import ExportError
from training.export.explainer import ATTENTION_OUTPUTS, ActivatedEmbedder, AttentionExplainer
from training.export.parity import Parity, ParityError, check_parity
from training.export.quantise import STORED_FROM, quantise, store_as_half, store_as_int8
from training.export.torch_weights import write_torch_weights

Precision = Literal["fp32", "int8"]


def fold_batch_norms(network: LKAReID) -> LKAReID:
    """A copy for inference in which every batch norm behind a convolution is part of it."""
    folded = copy.deepcopy(network).eval()
    if isinstance(folded.trunk, Trunk):
        _fold(folded.trunk, "conv1", "bn1")
    for module in list(folded.modules()):
        if isinstance(module, Bottleneck):
            for conv, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")):
                _fold(module, conv, norm)
            if isinstance(module.downsample, nn.Sequential):
                _fold(module.downsample, "0", "1")
    return folded


def _fold(parent: nn.Module, conv_name: str, norm_name: str) -> None:
    conv, norm = parent.get_submodule(conv_name), parent.get_submodule(norm_name)
    if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
        setattr(parent, norm_name, nn.Identity())


def round_weights(network: nn.Module) -> None:
    """Round every large convolution, linear weight and projection in place to what 8 bits will hold."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() >= STORED_FROM:
            levels, scale = quantise(module.weight.detach().numpy())
            spread = scale.reshape(-1, *[1] * (levels.ndim - 1))
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(levels * spread))
        elif isinstance(module, Projection) and module.directions.numel() >= STORED_FROM:
            levels, scale = quantise(module.directions.detach().numpy().T)
            module.directions.copy_(torch.from_numpy(levels * scale[:, None]).T)


def for_inference(network: LKAReID, precision: Precision) -> LKAReID:
    """The network as it will be served: batch norms folded, weights rounded if asked for.

    Accuracy is to be measured on this one.
    """
    folded = fold_batch_norms(network)
    for parameter in folded.parameters():
        parameter.data = parameter.data.contiguous()
    if precision == "int8":
        round_weights(folded)
    return folded


def reranker_for_inference(reranker: StripReranker, precision: Precision) -> StripReranker:
    """The re-ranker as it will be served: beside 8-bit weights, its own are rounded to 16 bits."""
    rounded = copy.deepcopy(reranker).eval()
    if precision == "int8":
        with torch.no_grad():
            for parameter in rounded.parameters():
                parameter.copy_(parameter.half())
    return rounded


def export_embedder(network: LKAReID, path: Path, precision: Precision, *, explainable: bool = True) -> None:
    """Write `images [B, 3, H, W] -> descriptor [B, d], strips [B, s, w]` with a dynamic B.

    An explainable one has a third output, `activations [B, branches, h, w]`.
    """
    height, width = network.config.image_size
    outputs = ["descriptor"] + (["strips"] if network.config.tokens else [])
    outputs += ["activations"] if explainable else []
    module = ActivatedEmbedder(network).eval() if explainable else network
    _export(module, (torch.randn(2, 3, height, width),), path, ["images"], outputs, {"images": {0: "batch"}})
    if precision == "int8":
        store_as_int8(path)


def export_reranker(reranker: StripReranker, strips: int, path: Path) -> None:
    """Write `probes, candidates, similarities -> distances [B, n]` with dynamic B and n."""
    width = reranker.config.strip_width
    example = (torch.randn(2, strips, width), torch.randn(2, 3, strips, width), torch.rand(2, 3))
    axes = {
        "probes": {0: "batch"},
        "candidates": {0: "batch", 1: "candidates"},
        "similarities": {0: "batch", 1: "candidates"},
    }
    _export(reranker.eval(), example, path, list(axes), ["distances"], axes)


def export_explainer(reranker: StripReranker, strips: int, path: Path) -> None:
    """Write `probes, candidates [B, s, d] -> probe_attention, candidate_attention [B, heads, s, s],
    distances [B, s]` with a dynamic B.
    """
    example = tuple(torch.randn(2, strips, reranker.config.strip_width) for _ in range(2))
    axes = {"probes": {0: "batch"}, "candidates": {0: "batch"}}
    _export(AttentionExplainer(reranker).eval(), example, path, list(axes), list(ATTENTION_OUTPUTS), axes)


def write_second_stage(
    reranker: StripReranker, strips: int, folder: Path, precision: Precision, *, explainable: bool = True
) -> None:
    """Write a bundle's `reranker.onnx` and, for explanations, `explainer.onnx`.

    Args:
        reranker: as `reranker_for_inference` gives it.
        strips: s.
        folder: of the files.
        precision: of the bundle's weights; beside 8-bit ones these are stored in 16.
        explainable: with what `lka-reid explain` needs.
    """
    written = [folder / RERANKER]
    export_reranker(reranker, strips, written[0])
    if explainable:
        written.append(folder / EXPLAINER)
        export_explainer(reranker, strips, written[1])
    if precision == "int8":
        for path in written:
            store_as_half(path)


def _export(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> None:
    dimensions = {name: torch.export.Dim(name) for names in axes.values() for name in names.values()}
    shapes = tuple({axis: dimensions[name] for axis, name in axes[key].items()} for key in inputs)
    with _quiet_exporter():
        program = torch.onnx.export(
            module,
            example,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ExportError("torch gave no ONNX program")
    program.save(path, external_data=False)
    drop_metadata(path)


def drop_metadata(path: Path) -> None:
    """Remove the exporter's metadata from an ONNX file: it names source paths of the machine."""
    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    onnx.save(model, path)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without the exporter's warnings of its own deprecations, of torchvision and of axes that it renames."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
            warnings.filterwarnings("ignore", message=r".*axis name: \w+ will not be used")
            yield
    finally:
        logger.setLevel(level)


def export_bundle(
    folder: Path,
    *,
    name: str,
    network: LKAReID,
    reranker: StripReranker | None,
    precision: Precision,
    training: Training | None = None,
    accuracy: Accuracy | None = None,
    spec: InputSpec | None = None,
    explainable: bool = True,
    torch_weights: bool = False,
) -> Parity:
    """Write a whole bundle: files, parity check, manifest last; moved into place when complete.

    Args:
        folder: the bundle's directory; what was there is replaced.
        name: of the model.
        network: as `for_inference` gives it.
        reranker: the second stage, or None.
        precision: how weights are stored.
        training: where the model comes from, or None where that is not known.
        accuracy: measured results, or None where nothing was measured.
        spec: what the network wants to see; None for its image size and ImageNet's mean and std.
        explainable: with what `lka-reid explain` needs: the embedder's output `activations` and, for a
            bundle with a re-ranker, `explainer.onnx`.
        torch_weights: also write what the runtime `torch-cuda` needs, float32 whatever the precision.

    Raises:
        ExportError: ONNX Runtime does not agree with torch; `folder` is left as it was.
    """
    if reranker is not None and not network.config.tokens:
        raise ExportError("a re-ranker needs a network with strips")
    strips = network.config.tokens
    height, width = network.config.image_size
    with replaced(folder) as draft:
        export_embedder(network, draft / EMBEDDER, precision, explainable=explainable)
        if reranker is not None:
            reranker = reranker_for_inference(reranker, precision)
            write_second_stage(reranker, strips, draft, precision, explainable=explainable)
        if torch_weights:
            write_torch_weights(network, draft / WEIGHTS)
        try:
            parity = check_parity(network, reranker, draft)
        except ParityError as error:
            raise ExportError(str(error)) from None
        manifest = Manifest(
            name=name,
            input=spec or InputSpec(height=height, width=width),
            descriptor_dim=network.config.descriptor_dim,
            strips=(strips, network.config.strip_width) if strips else None,
            reranker=reranker_entry(reranker) if reranker is not None else None,
            network=network.config.to_dict(),
            training=training,
            accuracy=accuracy,
            files={path.name: FileEntry.of(path) for path in sorted(draft.iterdir())},
            activations=(len(network.config.branches), *network.config.map_size) if explainable else None,
        )
        write_manifest(draft, manifest)
    return parity


def reranker_entry(reranker: StripReranker) -> RerankerEntry:
    """The second stage in a manifest."""
    return RerankerEntry(candidates=CANDIDATES, config=reranker.config.to_dict())
