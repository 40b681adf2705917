"""Networks on disk: safetensors with the configuration in the header, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from models.network import LKAReID
from models.reranker import RerankerConfig, StripReranker
from models.shape import NetworkConfig
from training.datasets.viewpoints import Viewpoints


class WeightsError(Exception):
    """Weights that cannot be used; the message names the file and, where keys do not fit, the keys."""


def save(path: Path, module: nn.Module, kind: str, config: dict[str, Any]) -> None:
    """Write a module's weights and configuration; a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    # Shared weights (a re-ranker's two directions) are stored under both their names.
    tensors = {name: value.detach().clone().contiguous() for name, value in module.state_dict().items()}
    # One key: several would stand in random order, and the same weights not give the same file.
    header = json.dumps({"kind": kind, "config": config}, sort_keys=True)
    save_file(tensors, draft, metadata={"network": header})
    draft.replace(path)


def weights_hash(module: nn.Module) -> str:
    """SHA-256 of a module's weights by name, as they are in memory: however the file was read."""
    found = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        found.update(f"{name}\t{value.dtype}\t{tuple(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def read_config(path: Path, kind: str) -> dict[str, Any]:
    """The configuration that `save` has written beside a module's weights.

    Raises:
        WeightsError: no such file, or of another kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("network", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error
    if header.get("kind") != kind:
        raise WeightsError(f"{path}: holds no {kind} that this version has written")
    config: dict[str, Any] = header["config"]
    return config


def save_embedder(path: Path, network: LKAReID, viewpoints: Viewpoints | None = None) -> None:
    """Write an embedder without its classifiers: they belong to the training vehicles.

    Args:
        path: of the file.
        network: the embedder.
        viewpoints: the names of its side information's vectors, if it has any.
    """
    bare = LKAReID(network.config, viewpoints=len(viewpoints) if viewpoints else 0)
    state = {k: v for k, v in network.state_dict().items() if ".classifier." not in k}
    bare.load_state_dict(state, strict=True)
    known = {"viewpoints": viewpoints.to_dict()} if viewpoints else {}
    save(path, bare, "embedder", network.config.to_dict() | known)


def load_embedder(path: Path) -> LKAReID:
    """Read an embedder, in evaluation mode.

    Raises:
        WeightsError: no such file, or not an embedder.
    """
    config = read_config(path, "embedder")
    config.pop("viewpoints", None)
    viewpoints = load_viewpoints(path)
    network = LKAReID(NetworkConfig.from_dict(config), viewpoints=len(viewpoints) if viewpoints else 0)
    network.load_state_dict(load_file(path), strict=True)
    return network.eval()


def load_viewpoints(path: Path) -> Viewpoints | None:
    """The cameras and views that an embedder's side information knows, or None without any.

    Raises:
        WeightsError: no such file, or not an embedder.
    """
    known = read_config(path, "embedder").get("viewpoints")
    return Viewpoints(**{key: tuple(values) for key, values in known.items()}) if known else None


def save_reranker(path: Path, reranker: StripReranker) -> None:
    """Write a re-ranker."""
    save(path, reranker, "re-ranker", reranker.config.to_dict())


def load_reranker(path: Path) -> StripReranker:
    """Read a re-ranker, in evaluation mode.

    Raises:
        WeightsError: no such file, or not a re-ranker.
    """
    reranker = StripReranker(RerankerConfig.from_dict(read_config(path, "re-ranker")))
    reranker.load_state_dict(load_file(path), strict=True)
    return reranker.eval()
