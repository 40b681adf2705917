"""Model bundles: a directory with a manifest and the ONNX files it vouches for."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.inputspec import InputSpec

MANIFEST = "manifest.json"
EMBEDDER = "embedder.onnx"
RERANKER = "reranker.onnx"
EXPLAINER = "explainer.onnx"
DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "default"


class BundleError(Exception):
    """A bundle that cannot be used; the message names the file, what is wrong and the remedy."""


class FileEntry(BaseModel):
    """What the manifest says of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(gt=0)


class RerankerEntry(BaseModel):
    """The second stage: how many candidates it re-orders, and its configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidates: int = Field(gt=0)
    config: dict[str, Any]


class Threshold(BaseModel):
    """From which similarity on a match is called one, as `lka-reid calibrate` found it.

    Attributes:
        similarity: of the first stage; a pair at or above it is a match.
        false_match_rate: share of pairs of different vehicles, from different cameras, that are matches.
        false_match_interval: 95 % for that rate, low and high.
        true_match_rate: share of pairs of one vehicle, from different cameras, that are matches.
        measured_on: the images, in words.
        fingerprint: of the bundle that it was measured with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    similarity: float = Field(ge=-1, le=1)
    false_match_rate: float = Field(ge=0, le=1)
    false_match_interval: tuple[float, float]
    true_match_rate: float = Field(ge=0, le=1)
    measured_on: str = Field(min_length=1)
    fingerprint: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """Everything that the service knows of a model.

    Attributes:
        name: of the model, for people.
        format: version of this layout.
        input: what the embedder wants to see.
        descriptor_dim: length of a descriptor.
        strips: (s, d) of an image's strips, or None for a first stage alone.
        reranker: the second stage, or None.
        network: the embedder's configuration.
        training: data, recipe, seed, commands.
        accuracy: measured results, each with what it was measured on.
        files: name -> size and hash.
        threshold: from which similarity on a match is called one, or None before calibration. No part of
            the fingerprint: it changes no descriptor, so galleries stay valid. It names the fingerprint
            instead, and a bundle with another one is refused.
        activations: (branches, H, W) of the embedder's output `activations`, or None where it has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    format: int = 1
    input: InputSpec
    descriptor_dim: int = Field(gt=0)
    strips: tuple[int, int] | None = None
    reranker: RerankerEntry | None = None
    network: dict[str, Any]
    training: dict[str, Any]
    accuracy: dict[str, Any]
    files: dict[str, FileEntry]
    threshold: Threshold | None = None
    activations: tuple[int, int, int] | None = None

    def fingerprint(self) -> str:
        """SHA-256 of the manifest in one canonical spelling; it covers the files by their hashes."""
        # A key that came later counts where it says something: older bundles keep their fingerprints.
        left_out = {"threshold"} | ({"activations"} if self.activations is None else set())
        covered = self.model_dump(mode="json", exclude=left_out)
        canonical = json.dumps(covered, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose every file has been checked against its manifest."""

    path: Path
    manifest: Manifest
    fingerprint: str

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Read and check a bundle.

        Raises:
            BundleError: no bundle there, a manifest that does not read, a file missing, changed or not
                vouched for, a threshold of another bundle.
        """
        manifest = _read_manifest(path / MANIFEST)
        needed = [EMBEDDER] + ([RERANKER] if manifest.reranker else [])
        for name in needed:
            if name not in manifest.files:
                raise BundleError(f"{path / MANIFEST}: lists no {name}; export the bundle again")
        for name, entry in manifest.files.items():
            _check_file(path, name, entry)
        fingerprint = manifest.fingerprint()
        if manifest.threshold is not None and manifest.threshold.fingerprint != fingerprint:
            raise BundleError(
                f"{path / MANIFEST}: threshold: was measured with another bundle "
                f"({manifest.threshold.fingerprint[:12]}); remove it or run `lka-reid calibrate` again"
            )
        return cls(path, manifest, fingerprint)

    @property
    def embedder(self) -> Path:
        """The embedder's ONNX file."""
        return self.path / EMBEDDER

    @property
    def reranker(self) -> Path | None:
        """The re-ranker's ONNX file, or None for a first stage alone."""
        return self.path / RERANKER if self.manifest.reranker else None

    @property
    def explainer(self) -> Path | None:
        """The ONNX file of the re-ranker's attention, or None for a bundle exported without one."""
        return self.path / EXPLAINER if EXPLAINER in self.manifest.files else None


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BundleError(
            f"{path}: no such file; a bundle is a directory made by `lka-reid export`"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleError(f"{path}: {where}: {first['msg']}; export the bundle again") from None
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from None


def _check_file(folder: Path, name: str, entry: FileEntry) -> None:
    if Path(name).name != name:
        raise BundleError(f"{folder / MANIFEST}: {name!r} is no plain file name")
    path = folder / name
    if not path.is_file():
        raise BundleError(f"{path}: is missing; restore it or export the bundle again")
    size = path.stat().st_size
    if size != entry.bytes:
        raise BundleError(f"{path}: has {size:,} bytes, its manifest says {entry.bytes:,}; restore the file")
    if hash_file(path) != entry.sha256:
        raise BundleError(f"{path}: its SHA-256 is not the manifest's; the file was changed, restore it")


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest beside its files, whole or not at all: the last step of making a bundle."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    draft = folder / f"{MANIFEST}.draft"
    with draft.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / MANIFEST)


def write_threshold(folder: Path, threshold: Threshold) -> None:
    """Put a threshold into a bundle's manifest, in place of any other; the fingerprint stays.

    Raises:
        BundleError: no bundle that can be used, or the threshold was measured with another one.
    """
    manifest = _read_manifest(folder / MANIFEST).model_copy(update={"threshold": threshold})
    if threshold.fingerprint != manifest.fingerprint():
        raise BundleError(f"{folder}: the threshold was measured with another bundle")
    write_manifest(folder, manifest)
