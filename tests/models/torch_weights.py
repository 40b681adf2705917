"""A bundle with the weights that torch runs it by."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from models.bundle import Bundle, write_manifest
from models.manifest import FileEntry, hash_file
from models.network import LKAReID
from models.runtimes import torch_cuda


def with_torch_weights(bundle: Bundle, folder: Path, network: LKAReID) -> Bundle:
    """The bundle again, with `embedder.safetensors` in it."""
    folder.mkdir()
    for path in bundle.path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = folder / torch_cuda.WEIGHTS
    save_file(network.state_dict(), weights)
    entry = FileEntry(sha256=hash_file(weights), bytes=weights.stat().st_size)
    files = bundle.manifest.files | {weights.name: entry}
    write_manifest(folder, bundle.manifest.model_copy(update={"files": files}))
    return Bundle.load(folder)
