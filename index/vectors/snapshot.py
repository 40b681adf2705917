"""The vector index on disk: written so that it is whole or not there, and checked before use."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from index.cameras.normalisation import RAW_TOKEN
from index.files.disk import sync
from index.files.private import create_file, tighten
from index.vectors.vectorfile import Content, read

SNAPSHOT = "snapshot"
MANIFEST = "manifest.json"

EARLIER = ".faiss"  # index files of schema version 1
FORMAT = 2  # 1: all vectors, of descriptors that were not yet rounded to float16
PIECE = 1 << 23  # bytes that are read and hashed at a time

_SUFFIX = ".bin"
_TEMPORARY = ".tmp"
_INDEX_NAME = re.compile(rf"vectors-\d+-[0-9a-f]{{8}}({re.escape(_SUFFIX)}|{re.escape(EARLIER)})")


class SnapshotError(Exception):
    """A snapshot that must not be used; the message names the file and the reason."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")


class EarlierSnapshotError(SnapshotError):
    """One that an earlier version wrote: nothing is wrong with it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot is: the index `file`, its sha256 and bytes, and the state of the gallery it is of.

    `sequence` and `token` name the last change in it, `normalisation` is the token of what made its vectors,
    `written_at` is in seconds since 1970, `history` is the id of the database that it was made of, "" where
    an earlier version wrote it, and `format` says how to read the file.
    """

    file: str
    sha256: str
    sequence: int
    token: int
    size: int
    descriptor_dim: int
    fingerprint: str
    written_at: float
    normalisation: int = RAW_TOKEN
    history: str = ""
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that is whole but does not count yet; `size` is in bytes."""

    path: Path
    sha256: str
    size: int


class SnapshotFolder:
    """One snapshot at a time: an index file, and the manifest that makes it count.

    The order is the protocol: index to a temporary file, fsync, rename, fsync of the folder, then the
    manifest in the same way (the commit point), then what it replaced is removed. A process killed
    in between leaves the former snapshot valid and, at most, files that the next sweep removes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(exist_ok=True)
        tighten(path)

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

    def check_format(self, manifest: Manifest) -> None:
        """Raise SnapshotError unless this version reads it: EarlierSnapshotError where an earlier one did."""
        if manifest.format != FORMAT:
            kind = EarlierSnapshotError if manifest.format < FORMAT else SnapshotError
            raise kind(self._path / MANIFEST, f"is of format {manifest.format}, this version's is {FORMAT}")

    def content(self, manifest: Manifest) -> Content:
        """What is in the file that the manifest names, found to be what it says. Raises SnapshotError."""
        path = self._path / manifest.file
        if path.suffix == EARLIER:
            raise SnapshotError(path, "is of an earlier version")
        digest = hashlib.sha256()
        try:
            with path.open("rb", buffering=0) as file:
                size = path.stat().st_size
                if size != manifest.size:
                    raise SnapshotError(path, f"has {size:,} bytes, its manifest says {manifest.size:,}")

                def fill(view: memoryview) -> None:
                    while view:
                        got = file.readinto(view[:PIECE])
                        if not got:
                            raise OSError("it ended while it was read")
                        digest.update(view[:got])
                        view = view[got:]

                try:
                    content: Content | str = read(fill, size)
                except (ValueError, TypeError, KeyError) as error:
                    content = f"is not an index: {error}"
                    while rest := file.read(PIECE):
                        digest.update(rest)
        except OSError as error:
            raise SnapshotError(path, f"cannot be read ({error})") from error
        if digest.hexdigest() != manifest.sha256:
            raise SnapshotError(path, "differs from the sha256 in its manifest")
        if isinstance(content, str):
            raise SnapshotError(path, content)
        return content

    def file_error(self, manifest: Manifest, reason: str) -> SnapshotError:
        """The error for a file that is what the manifest says, and no index all the same."""
        return SnapshotError(self._path / manifest.file, reason)

    def stage(self, blocks: Iterable[bytes | memoryview]) -> Staged:
        """Write blocks to a temporary file, which does not count until it is published."""
        path = self._path / f"{secrets.token_hex(4)}{_TEMPORARY}"
        digest = hashlib.sha256()
        size = 0
        try:
            create_file(path)
            with path.open("wb") as file:
                for block in blocks:
                    digest.update(block)
                    size += file.write(block)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Staged(path, digest.hexdigest(), size)

    def publish(
        self,
        staged: Staged,
        *,
        sequence: int,
        token: int,
        descriptor_dim: int,
        fingerprint: str,
        normalisation: int = RAW_TOKEN,
        history: str = "",
    ) -> Manifest:
        """Make the staged index the snapshot. Raises OSError, the former snapshot then stays."""
        manifest = Manifest(
            file=f"vectors-{sequence}-{staged.path.stem}{_SUFFIX}",
            sha256=staged.sha256,
            sequence=sequence,
            token=token,
            size=staged.size,
            descriptor_dim=descriptor_dim,
            fingerprint=fingerprint,
            written_at=time.time(),
            normalisation=normalisation,
            history=history,
        )
        self._rename(staged.path, self._path / manifest.file)
        self._write(manifest)
        self.sweep(manifest)
        return manifest

    def restate(self, manifest: Manifest, fingerprint: str) -> Manifest:
        """The manifest under another fingerprint of the same model, in the place of the one on disk."""
        manifest = replace(manifest, fingerprint=fingerprint)
        self._write(manifest)
        return manifest

    def sweep(self, manifest: Manifest | None) -> None:
        """Remove index files that the manifest does not name, and what a killed process left."""
        kept = None if manifest is None else manifest.file
        for file in list(self._path.iterdir()):
            ours = file.name.endswith(_TEMPORARY) or _INDEX_NAME.fullmatch(file.name)
            if ours and file.name != kept:
                file.unlink(missing_ok=True)

    def _write(self, manifest: Manifest) -> None:
        content = json.dumps(asdict(manifest), indent=2).encode()
        self._rename(self.stage([content]).path, self._path / MANIFEST)

    def _rename(self, source: Path, target: Path) -> None:
        try:
            sync(source)
            source.replace(target)
            sync(self._path)
        except BaseException:
            source.unlink(missing_ok=True)
            raise


def _parsed(content: object) -> Manifest | None:
    kinds = {
        "file": str,
        "sha256": str,
        "sequence": int,
        "token": int,
        "size": int,
        "descriptor_dim": int,
        "fingerprint": str,
        "written_at": float,
        "normalisation": int,
        "history": str,
        "format": int,
    }
    if isinstance(content, dict):
        # Earlier versions knew no normalisation, history and format, and counted vectors.
        content = {"normalisation": RAW_TOKEN, "history": "", "format": 1} | content
        if content["format"] == 1:
            content["size"] = content.pop("count", None)
    if not isinstance(content, dict) or set(content) != set(kinds):
        return None
    if not all(isinstance(content[name], kind) for name, kind in kinds.items()):
        return None
    return Manifest(**content)
