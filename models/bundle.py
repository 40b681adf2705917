"""Model bundles: a directory with a manifest and the ONNX files that it lists."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from models.manifest import EMBEDDER, FORMAT, FileEntry, Manifest, Threshold, hash_file
from models.shift import Shift
from models.superseded import SupersededError, check_superseded

MANIFEST = "manifest.json"
RERANKER = "reranker.onnx"
EXPLAINER = "explainer.onnx"
EMBEDDER_F16 = "embedder.f16.onnx"
"""The embedder in 16 bits, which the runtime `cuda` takes; `lka-reid add-f16` writes it."""
DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "default"


class BundleError(Exception):
    """A bundle that cannot be used; the message names the file, what is wrong and the remedy."""


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose every file has been checked against its manifest.

    Attributes:
        path: its folder.
        manifest: its description.
        fingerprint: of what decides descriptors and strips; galleries keep it.
    """

    path: Path
    manifest: Manifest
    fingerprint: str

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Read and check a bundle.

        Raises:
            BundleError: no bundle there, a manifest that does not read or is of another format, a file
                missing, changed or not listed, a threshold of another bundle, a superseded
                fingerprint of another embedder.
        """
        manifest = _read_manifest(path / MANIFEST)
        check_files(path, manifest.files)
        fingerprint = manifest.fingerprint()
        for name in ("threshold", "normalised_threshold"):
            threshold: Threshold | None = getattr(manifest, name)
            if threshold is not None and threshold.fingerprint != fingerprint:
                raise BundleError(
                    f"{path / MANIFEST}: {name}: was measured with another bundle "
                    f"({threshold.fingerprint[:12]}); remove it or run `lka-reid calibrate` again"
                )
        try:
            check_superseded(path, manifest)
        except SupersededError as error:
            raise BundleError(
                f"{path / MANIFEST}: supersedes: {error}; remove the entry, or restore the bundle"
            ) from None
        return cls(path, manifest, fingerprint)

    @property
    def supersedes(self) -> tuple[str, ...]:
        """Fingerprints by format 1: galleries under them hold this bundle's descriptors and strips."""
        return self.manifest.supersedes

    @property
    def embedder(self) -> Path:
        """The embedder's ONNX file."""
        return self.path / EMBEDDER

    @property
    def embedder_f16(self) -> Path | None:
        """The embedder's ONNX file in 16 bits, or None where there is none."""
        return self.path / EMBEDDER_F16 if EMBEDDER_F16 in self.manifest.files else None

    @property
    def reranker(self) -> Path | None:
        """The re-ranker's ONNX file, or None for a first stage alone."""
        return self.path / RERANKER if self.manifest.reranker else None

    @property
    def explainer(self) -> Path | None:
        """The ONNX file of the re-ranker's attention, or None for a bundle exported without one."""
        return self.path / EXPLAINER if EXPLAINER in self.manifest.files else None


def _read_manifest(path: Path) -> Manifest:
    text = read_bytes(path)
    try:
        require_format(path, json.loads(text))
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise validation_failed(path, error) from None
    except ValueError as error:
        raise BundleError(f"{path}: is not JSON ({error}); restore it or export the bundle again") from None
    require_models(path, manifest)
    return manifest


def require_models(path: Path, manifest: Manifest) -> None:
    """See that a manifest lists the models that it describes.

    Raises:
        BundleError: it does not.
    """
    for name in [EMBEDDER] + ([RERANKER] if manifest.reranker else []):
        if name not in manifest.files:
            raise BundleError(f"{path}: lists no {name}; export the bundle again")


def read_bytes(path: Path) -> bytes:
    """A manifest's text.

    Raises:
        BundleError: there is none.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(
            f"{path}: no such file; a bundle is a directory made by `lka-reid export`"
        ) from None
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from None


def require_format(path: Path, written: object) -> None:
    """See that a manifest is of the format that is read here.

    Raises:
        BundleError: it is of an older or a newer one.
    """
    found = written.get("format", FORMAT) if isinstance(written, dict) else FORMAT
    if found == 1:
        raise BundleError(
            f"{path}: is of format 1, this version reads {FORMAT}; bring it over with "
            f"`lka-reid bundle migrate {shlex.quote(str(path.parent))}`: its models stay as they are, "
            "galleries stay valid"
        )
    if found != FORMAT:
        raise BundleError(f"{path}: is of format {found}, this version reads {FORMAT}; update lka-reid")


def validation_failed(path: Path, error: ValidationError) -> BundleError:
    """What to raise for a manifest that lacks something."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    return BundleError(f"{path}: {where}: {first['msg']}; export the bundle again")


def check_files(folder: Path, files: dict[str, FileEntry]) -> None:
    """See that every listed file is there, whole and unchanged.

    Raises:
        BundleError: one is not.
    """
    for name, entry in files.items():
        if Path(name).name != name:
            raise BundleError(f"{folder / MANIFEST}: {name!r} is no plain file name")
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{path}: is missing; restore it or export the bundle again")
        size = path.stat().st_size
        if size != entry.bytes:
            raise BundleError(
                f"{path}: has {size:,} bytes, its manifest says {entry.bytes:,}; restore the file"
            )
        if hash_file(path) != entry.sha256:
            raise BundleError(f"{path}: its SHA-256 is not the manifest's; the file was changed, restore it")


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """An empty folder to make a bundle in; it takes the place of `folder` at the end, or is removed.

    Raises:
        BundleError: `folder` is no place for a bundle, or holds what is no part of one and would be lost.
    """
    folder = folder.resolve()
    _require_replaceable(folder)
    mark = secrets.token_hex(4)  # so that neither is a folder of somebody else's
    draft, before = (folder.with_name(f".{folder.name}.{mark}.{part}") for part in ("draft", "before"))
    draft.mkdir(parents=True)
    try:
        yield draft
        with suppress(FileNotFoundError):
            folder.rename(before)
        try:
            draft.rename(folder)
        except OSError:
            with suppress(FileNotFoundError):
                before.rename(folder)
            raise
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _require_replaceable(folder: Path) -> None:
    if Path.cwd().is_relative_to(folder):
        raise BundleError(f"{folder}: this command runs in it, so that it cannot be replaced; name another")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BundleError(f"{folder}: is a file; name a folder")
    names = sorted(path.name for path in folder.iterdir())
    try:
        written = json.loads((folder / MANIFEST).read_bytes())
        own = {MANIFEST, *written["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        own = set()
    others = [name for name in names if name.removesuffix(".draft") not in own]
    if others:
        raise BundleError(
            f"{folder}: holds {shlex.quote(others[0])}, which is no part of a bundle and would be removed; "
            "name a new folder, or move it away"
        )


def write_file(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest beside its files, whole or not at all: the last step of making a bundle."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    write_file(folder / MANIFEST, f"{text}\n".encode())


def write_shift(folder: Path, shift: Shift, fingerprint: str) -> None:
    """Put results before other cameras into a bundle's manifest, in place of any others.

    Args:
        folder: of the bundle.
        shift: the results.
        fingerprint: of the bundle that was measured.

    Raises:
        BundleError: no bundle that can be used, or another one was measured.
    """
    manifest = _read_manifest(folder / MANIFEST)
    if manifest.fingerprint() != fingerprint:
        raise BundleError(f"{folder}: the results are of another bundle")
    write_manifest(folder, manifest.model_copy(update={"shift": shift}))


def write_thresholds(folder: Path, threshold: Threshold | None, normalised: Threshold | None = None) -> None:
    """Put thresholds into a bundle's manifest, in place of any others; the fingerprint stays.

    Args:
        folder: of the bundle.
        threshold: for descriptors as they are.
        normalised: for those that cameras were taken out of.

    Raises:
        BundleError: no bundle that can be used, or a threshold was measured with another one.
    """
    manifest = _read_manifest(folder / MANIFEST).model_copy(
        update={"threshold": threshold, "normalised_threshold": normalised}
    )
    if any(of and of.fingerprint != manifest.fingerprint() for of in (threshold, normalised)):
        raise BundleError(f"{folder}: the threshold was measured with another bundle")
    write_manifest(folder, manifest)
