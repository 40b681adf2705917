"""A bundle like another, whose descriptors are made in another way from the same files."""

from __future__ import annotations

import shutil
from pathlib import Path

from models.bundle import Bundle, BundleError, replaced, write_manifest


def write_flip(bundle: Bundle, folder: Path, *, on: bool) -> Bundle:
    """Write a copy of a bundle that embeds an image together with its mirror image, or alone.

    What holds of the other descriptors is left out: accuracy, results before other cameras, thresholds,
    superseded fingerprints. Galleries have to be embedded anew.

    Args:
        bundle: a checked one.
        folder: of the copy; what was there is replaced once the copy is whole. May be the bundle's own.
        on: with mirror images, see `models.flip`.

    Raises:
        BundleError: the bundle does so already, or the folder is no place for one.
        OSError: it cannot be written.
    """
    manifest = bundle.manifest
    if manifest.input.flip == on:
        raise BundleError(f"{bundle.path}: flip is {'on' if on else 'off'} already")
    changed = manifest.model_copy(
        update={
            "input": manifest.input.model_copy(update={"flip": on}),
            "accuracy": None,
            "shift": None,
            "threshold": None,
            "normalised_threshold": None,
            "supersedes": (),
        }
    )
    with replaced(folder) as draft:
        for name in manifest.files:
            shutil.copyfile(bundle.path / name, draft / name)
        write_manifest(draft, changed)
    return Bundle.load(folder)
