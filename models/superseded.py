"""Manifests of format 1: their fingerprint, and the proof that a bundle supersedes one.

A fingerprint of format 1 covered every word of the manifest, the files by their hashes. A bundle keeps the
manifest of format 1 that it supersedes as a file. Whoever opens the bundle computes that manifest's
fingerprint and compares what it says of the embedder with the bundle's own. So a gallery's old fingerprint is
tied to the embedder's SHA-256, and a bundle with other weights cannot claim it.

What this does not prove: manifests are not signed. It says which embedder a gallery was filled by, not who
made the bundle.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.inputspec import InputSpec
from models.manifest import EMBEDDER, Manifest, canonical_hash


class SupersededError(Exception):
    """A bundle whose manifest lists a superseded fingerprint wrongly; the message says why."""


def superseded_name(fingerprint: str) -> str:
    """Name of the file that keeps the manifest of format 1 with this fingerprint."""
    return f"superseded-{fingerprint[:12]}.json"


def fingerprint_of_format_1(written: dict[str, Any]) -> str:
    """The fingerprint of a manifest of format 1, as JSON gives it: all of it but the threshold.

    `activations` counted only where it said something.
    """
    left_out = {"threshold"} | ({"activations"} if written.get("activations") is None else set())
    return canonical_hash({key: value for key, value in written.items() if key not in left_out})


def check_superseded(folder: Path, manifest: Manifest) -> None:
    """See that galleries under each fingerprint that a manifest supersedes hold this bundle's descriptors.

    Args:
        folder: of the bundle, whose files have been checked against the manifest.
        manifest: its manifest.

    Raises:
        SupersededError: a manifest of format 1 is missing, has another fingerprint, or describes another
            embedder, input or shape.
    """
    for fingerprint in manifest.supersedes:
        name = superseded_name(fingerprint)
        if name not in manifest.files:
            raise SupersededError(f"{fingerprint[:12]} is claimed without its manifest {name}")
        try:
            check_same_embedder(json.loads((folder / name).read_bytes()), fingerprint, manifest)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SupersededError(f"{name} is no manifest of format 1 ({error!r})") from None


def check_same_embedder(written: dict[str, Any], fingerprint: str, manifest: Manifest) -> None:
    """See that a manifest of format 1 has this fingerprint and describes the embedder of another manifest.

    Raises:
        SupersededError: it does not.
    """
    if fingerprint_of_format_1(written) != fingerprint:
        raise SupersededError(f"{superseded_name(fingerprint)} is not the manifest of {fingerprint[:12]}")
    strips = written.get("strips")
    then = {
        f"the SHA-256 of {EMBEDDER}": written["files"][EMBEDDER]["sha256"],
        "the input": InputSpec.model_validate(written["input"]),
        "the descriptor's length": written["descriptor_dim"],
        "the shape of the strips": None if strips is None else tuple(strips),
    }
    now = (manifest.files[EMBEDDER].sha256, manifest.input, manifest.descriptor_dim, manifest.strips)
    for (what, old), new in zip(then.items(), now, strict=True):
        if old != new:
            raise SupersededError(f"{fingerprint[:12]} was of another embedder: {what} is {new}, was {old}")
