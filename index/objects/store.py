"""An object store by fsspec: `file:///folder`, a folder's path, or `s3://bucket/prefix` with s3fs installed.

In a folder of this machine an object is on the disk (fsync of the file and of its folder) before `write`
returns. S3 acknowledges a PUT when it is stored durably, and reads see it at once.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from index.files.disk import create_folder, sync
from index.files.private import tighten
from index.objects.errors import ObjectStoreError, UnknownObjectError
from index.objects.protocol import Stored

SETTING: Final = "LKA_REID_OBJECTS_URL"
REMOVED_AT_ONCE: Final = 500

log = logging.getLogger(__name__)


class FsspecObjects:
    """See `index.objects.Objects`.

    Args:
        filesystem: of fsspec; its listings must not be cached.
        root: the folder or `bucket/prefix` in it that all names are below.
        is_local: whether it is a folder of this machine, which has to be synced.
    """

    def __init__(self, filesystem: Any, root: str, *, is_local: bool) -> None:
        self._files = filesystem
        self._root = root.rstrip("/")
        self._is_local = is_local

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write objects, durably; where it raises, some may be there. Raises ObjectStoreError."""
        if not contents:
            return
        with self._failures("cannot be written"):
            if not self._is_local:
                self._files.pipe({self._path(name): data for name, data in contents.items()})
                return
            folders = {Path(self._path(name)).parent for name in contents}
            for folder in folders:
                _create_folders(folder, Path(self._root))
            for name, data in contents.items():
                with self._files.open(self._path(name), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                tighten(Path(self._path(name)))
            for folder in folders:
                sync(folder)

    def read(self, name: str) -> bytes:
        """An object. Raises UnknownObjectError and ObjectStoreError."""
        with self._failures("cannot be read"):
            try:
                return bytes(self._files.cat_file(self._path(name)))
            except FileNotFoundError:
                raise UnknownObjectError(name) from None

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """Those of these objects that are there, by name. Raises ObjectStoreError."""
        if not names:
            return {}
        paths = {self._path(name): name for name in names}
        with self._failures("cannot be read"):
            found = self._files.cat(list(paths), recursive=False, on_error="return")
            read: dict[str, bytes] = {}
            for path, data in found.items():
                if isinstance(data, FileNotFoundError):
                    continue
                if isinstance(data, BaseException):
                    raise data
                read[paths[path]] = bytes(data)
            return read

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects; one that is not there is none that fails. Raises ObjectStoreError."""
        with self._failures("cannot be removed"):
            for first in range(0, len(names), REMOVED_AT_ONCE):
                paths = [self._path(name) for name in names[first : first + REMOVED_AT_ONCE]]
                if not self._is_local:
                    try:
                        self._files.rm(paths, recursive=False)
                    except FileNotFoundError:
                        log.debug("some of %d objects were gone already", len(paths))
                    continue
                for path in paths:
                    Path(path).unlink(missing_ok=True)
                for folder in {Path(path).parent for path in paths}:
                    if folder.is_dir():
                        sync(folder)

    def under(self, prefix: str) -> Iterator[Stored]:
        """All objects whose names begin with this folder, in any order. Raises ObjectStoreError."""
        with self._failures("cannot be listed"):
            try:
                found = self._files.find(self._path(prefix.rstrip("/")), detail=True)
            except FileNotFoundError:
                return
        for path, of in found.items():
            name = str(path).removeprefix(self._root).lstrip("/")
            yield Stored(name, int(of["size"]), _moment(of))

    def below(self, folder: str) -> FsspecObjects:
        """The store of the names that begin with this folder, without it."""
        return FsspecObjects(self._files, self._path(folder), is_local=self._is_local)

    def fault(self) -> str | None:
        """What keeps it from answering, with the remedy; None where nothing does."""
        try:
            with self._failures("does not answer"):
                self._files.exists(self._root)
        except ObjectStoreError as error:
            return str(error)
        return None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        try:
            yield
        except (UnknownObjectError, ObjectStoreError):
            raise
        except Exception as error:  # fsspec's file systems raise what their clients do
            # Without the error's own words, which may hold the account's name.
            raise ObjectStoreError(
                f"an object {what}: {type(error).__name__} of the store that {SETTING} names; see that "
                "it runs, that its address and keys are right, and that it has room"
            ) from error


def open_objects(url: str, options: Mapping[str, Any] | None = None) -> FsspecObjects:
    """Open an object store.

    Args:
        url: `s3://bucket/prefix`, `file:///folder`, or the path of a folder, which is made if absent.
        options: for fsspec's file system: of S3 `key`, `secret`, `endpoint_url`; what is left out s3fs takes
            from the environment as AWS' own tools do.

    Raises:
        ObjectStoreError: fsspec or the package for this kind of URL is not installed, or it cannot be opened.
    """
    protocol, found, rest = url.partition("://")
    if not found or protocol == "file":
        folder = Path(rest if found else url).absolute()
        create_folder(folder)
        return FsspecObjects(_fsspec().filesystem("file"), str(folder), is_local=True)
    if protocol != "s3":
        raise ObjectStoreError(f"{SETTING} is a URL of another kind; it takes s3://bucket/prefix or a folder")
    bucket = rest.partition("/")[0]
    if not bucket:
        raise ObjectStoreError(f"{SETTING} names no bucket; it takes s3://bucket/prefix")
    try:
        files = _fsspec().filesystem(
            "s3",
            use_listings_cache=False,
            skip_instance_cache=True,
            config_kwargs={"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 3}},
            **(options or {}),
        )
    except ImportError as error:
        raise ObjectStoreError(
            "the package s3fs is not installed, which a bucket of S3 needs; install lka-reid[milvus]"
        ) from error
    return FsspecObjects(files, rest, is_local=False)


def _fsspec() -> Any:
    try:
        return importlib.import_module("fsspec")
    except ImportError as error:
        raise ObjectStoreError(
            "the package fsspec is not installed, which an object store needs; install lka-reid[milvus]"
        ) from error


def _create_folders(folder: Path, root: Path) -> None:
    for part in reversed([folder, *(one for one in folder.parents if root in (one, *one.parents))]):
        create_folder(part)


def _moment(of: Mapping[str, Any]) -> datetime:
    """When an object was written, as the file systems of fsspec say it."""
    written = of.get("LastModified", of.get("mtime"))
    if isinstance(written, datetime):
        return written.astimezone(UTC)
    if isinstance(written, int | float):
        return datetime.fromtimestamp(written, UTC)
    # One whose age is not known is young: it is not removed.
    return datetime.now(UTC)
