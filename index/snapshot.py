"""The vector index on disk: written so that it is whole or not there, and checked before use."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from index.disk import sync

MANIFEST = "manifest.json"

_INDEX_NAME = re.compile(r"vectors-\d+-[0-9a-f]{8}\.faiss")
_TEMPORARY = ".tmp"


class SnapshotError(Exception):
    """A snapshot that must not be used; the message names the file and the reason."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot is: the index `file`, its sha256, and the state of the gallery it holds.

    `sequence` and `token` name the last change in it, `written_at` is in seconds since 1970.
    """

    file: str
    sha256: str
    sequence: int
    token: int
    count: int
    descriptor_dim: int
    fingerprint: str
    written_at: float


class SnapshotFolder:
    """One snapshot at a time: an index file, and the manifest that makes it count.

    The order is the protocol: index to a temporary file, fsync, rename, fsync of the folder, then the
    manifest in the same way (the commit point), then what it replaced is removed. A process killed
    in between leaves the former snapshot valid and, at most, files that the next sweep removes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(exist_ok=True)

    def manifest(self) -> Manifest | None:
        """The manifest, None where there is none. Raises SnapshotError where it is damaged."""
        file = self._path / MANIFEST
        try:
            content = json.loads(file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SnapshotError(file, f"cannot be read ({error})") from error
        manifest = _parsed(content)
        if manifest is None or not _INDEX_NAME.fullmatch(manifest.file):
            raise SnapshotError(file, "is not a snapshot's manifest")
        return manifest

    def manifest_error(self, reason: str) -> SnapshotError:
        """The error for a manifest that is in order but not this gallery's."""
        return SnapshotError(self._path / MANIFEST, reason)

    def index_file(self, manifest: Manifest) -> Path:
        """The index file, found to be what the manifest says. Raises SnapshotError."""
        file = self._path / manifest.file
        try:
            digest = _sha256(file)
        except OSError as error:
            raise SnapshotError(file, f"cannot be read ({error})") from error
        if digest != manifest.sha256:
            raise SnapshotError(file, "differs from the sha256 in its manifest")
        return file

    def stage(self, write: Callable[[BinaryIO], None]) -> Path:
        """Write an index to a temporary file, which does not count until it is published."""
        staged = self._path / f"{secrets.token_hex(4)}{_TEMPORARY}"
        try:
            with staged.open("wb") as file:
                write(file)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
        return staged

    def publish(
        self, staged: Path, *, sequence: int, token: int, count: int, descriptor_dim: int, fingerprint: str
    ) -> Manifest:
        """Make the staged index the snapshot. Raises OSError, the former snapshot then stays."""
        manifest = Manifest(
            file=f"vectors-{sequence}-{staged.stem}.faiss",
            sha256=_sha256(staged),
            sequence=sequence,
            token=token,
            count=count,
            descriptor_dim=descriptor_dim,
            fingerprint=fingerprint,
            written_at=time.time(),
        )
        self._rename(staged, self._path / manifest.file)
        note = self.stage(lambda file: _write_json(file, asdict(manifest)))
        self._rename(note, self._path / MANIFEST)
        self.sweep(manifest)
        return manifest

    def sweep(self, manifest: Manifest | None) -> None:
        """Remove index files that the manifest does not name, and what a killed process left."""
        kept = None if manifest is None else manifest.file
        for file in list(self._path.iterdir()):
            ours = file.name.endswith(_TEMPORARY) or _INDEX_NAME.fullmatch(file.name)
            if ours and file.name != kept:
                file.unlink(missing_ok=True)

    def _rename(self, source: Path, target: Path) -> None:
        try:
            sync(source)
            source.replace(target)
            sync(self._path)
        except BaseException:
            source.unlink(missing_ok=True)
            raise


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _write_json(file: BinaryIO, content: dict[str, Any]) -> None:
    file.write(json.dumps(content, indent=2).encode())


def _parsed(content: object) -> Manifest | None:
    kinds = {
        "file": str,
        "sha256": str,
        "sequence": int,
        "token": int,
        "count": int,
        "descriptor_dim": int,
        "fingerprint": str,
        "written_at": float,
    }
    if not isinstance(content, dict) or set(content) != set(kinds):
        return None
    if not all(isinstance(content[name], kind) for name, kind in kinds.items()):
        return None
    return Manifest(**content)
